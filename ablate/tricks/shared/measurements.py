"""Check that inputs are floating-point values, not tokens, for tricks that add, average or scale them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.data.dataset import Spec


def check_measurements(trick: str, spec: Spec) -> None:
    """Raise ValueError (one line) if inputs are tokens."""
    if spec.vocabulary:
        raise ValueError(f"trick (={trick}) requires floating-point inputs, but the data are tokens. Remove it.")
