"""How far predicted numbers are from the true ones: root mean squared and mean absolute error, and the share of the variance that is explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.metrics.known import numbers
from ablate.metrics.metric import Metric
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "metric",
    "rmse",
    card=Card(
        "Root mean squared error, in the targets' unit.",
        source="torchmetrics.functional.mean_squared_error(squared=False), over all known numbers",
        helps="Regression with errors of one size; the square root of mse in a readable unit.",
        costs="A few large errors decide it: look at mae too.",
    ),
)
class Rmse(Metric):
    """√(Σ (prediction − target)²/n) over the n known numbers of all outputs; NaN where none is known."""

    better = "lower"
    task = "regression"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        prediction, target = numbers("rmse", prediction, target)
        known = ~target.isnan()
        return (prediction - target)[known].square().mean().sqrt()


@register(
    "metric",
    "mae",
    card=Card(
        "Mean absolute error, in the targets' unit.",
        source="torchmetrics.functional.mean_absolute_error, over all known numbers",
        helps="Regression with outliers: each error counts by its size.",
    ),
)
class Mae(Metric):
    """Σ |prediction − target|/n over the n known numbers of all outputs; NaN where none is known."""

    better = "lower"
    task = "regression"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        prediction, target = numbers("mae", prediction, target)
        known = ~target.isnan()
        return (prediction - target)[known].abs().mean()


@register(
    "metric",
    "r2",
    card=Card(
        "Share of the targets' variance that predictions explain.",
        source="torchmetrics.functional.r2_score, each output by itself, then their mean",
        helps="Outputs of unlike units; 0 is what the mean of the targets gets, 1 is perfect.",
        costs="Says nothing in the data's unit; below 0 for predictions worse than the mean.",
    ),
)
class R2(Metric):
    """1 − Σ (prediction − target)²/Σ (target − mean)² over an output's known targets; the mean over outputs with two known targets or more."""

    better = "higher"
    task = "regression"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """NaN where no output has two known targets."""
        from torchmetrics.functional import r2_score

        prediction, target = numbers("r2", prediction, target)
        known = ~target.isnan()
        scores = [
            r2_score(prediction[rows, i], target[rows, i]) for i, rows in enumerate(known.unbind(1)) if rows.sum() > 1
        ]
        return torch.stack(scores).mean() if scores else prediction.new_tensor(torch.nan)
