"""Metrics in the unit of the data, also where a network learns scaled targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


def in_original_unit(measure: Measure, spec: Spec) -> Measure:
    """A metric of predictions and targets (n, outputs) that sees both as the data had them before `Spec.target_scaling`; without one, ``measure`` itself.

    For a metric of the library and the user's own alike. Predictions are undone in float64 where they are narrower, so that small differences of large numbers
    survive.
    """
    scaling = spec.target_scaling
    if scaling is None:
        return measure

    def undone(prediction: Tensor, target: Tensor) -> Tensor:
        # a single target may be (n,) or (n, 1)
        flat = target.unsqueeze(-1) if target.dim() == 1 else target
        return measure(scaling.original(prediction.double()), scaling.original(flat.double()).view(target.shape))

    return undone
