"""What tricks that move pictures ask of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ablate.data.dataset import Spec


def check_pictures(trick: str, spec: Spec) -> None:
    """Raise ValueError in one line unless samples are pictures (C, H, W)."""
    if len(spec.input_shape) != 3:
        raise ValueError(
            f"trick (={trick}) needs pictures (C, H, W); the data's samples have shape {spec.input_shape}. Drop it, or use data of pictures."
        )
