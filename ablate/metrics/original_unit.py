"""Compute metrics in the original unit if the network is trained on scaled targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


def in_original_unit(measure: Measure, spec: Spec) -> Measure:
    """A metric that gets predictions and targets (n, outputs) in the unit before `Spec.target_scaling`; ``measure``
    itself without scaling.

    For built-in and custom metrics. The scaling is undone in float64 at least, so that small differences of large
    numbers are kept.
    """
    scaling = spec.target_scaling
    if scaling is None:
        return measure

    def undone(prediction: Tensor, target: Tensor) -> Tensor:
        # a single target may be (n,) or (n, 1)
        flat = target.unsqueeze(-1) if target.dim() == 1 else target
        return measure(scaling.original(prediction.double()), scaling.original(flat.double()).view(target.shape))

    return undone
