"""What tricks that add, mean or scale inputs ask of the data: inputs that are measurements, not tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.data.dataset import Spec


def check_measurements(trick: str, spec: Spec) -> None:
    """Raise ValueError in one line where inputs are tokens, of which no mean or sum says anything."""
    if spec.vocabulary:
        raise ValueError(f"trick (={trick}) needs inputs that are measurements; the data's are tokens. Drop it.")
