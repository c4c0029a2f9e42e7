"""Metrics of numbers, in the unit of the targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ablate.metrics.metric import MeanMetric, Metric, errors, numbers
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
        source="torchmetrics.functional.mean_squared_error(squared=False), over all non-missing targets",
        helps="For regression with errors of similar size; the square root of mse, in the unit of the targets.",
        costs="A few large errors dominate it: compare mae.",
    ),
)
class Rmse(Metric):
    """√(Σ (prediction − target)²/n) over the n known targets of all outputs; NaN if none is known."""

    better = "lower"
    task = "regression"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        return errors("rmse", prediction, target).square().mean().sqrt()


@register(
    "metric",
    "mae",
    card=Card(
        "Mean absolute error, in the targets' unit.",
        source="torchmetrics.functional.mean_absolute_error, over all non-missing targets",
        helps="For regression with outliers: errors count linearly.",
    ),
)
class Mae(MeanMetric):
    """Σ |prediction − target|/n over the n known targets of all outputs; NaN if none is known."""

    better = "lower"
    task = "regression"

    def elements(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        prediction, target = numbers("mae", prediction, target)
        return (prediction - target).abs(), ~target.isnan()


@register(
    "metric",
    "r2",
    version=2,
    card=Card(
        "Fraction of the targets' variance that predictions explain.",
        source="sklearn.metrics.r2_score, for each output separately, then their mean",
        helps="For outputs in different units; 0 for predicting the mean, 1 for perfect predictions.",
        costs="Not in the unit of the data; negative for predictions worse than the mean.",
    ),
)
class R2(Metric):
    """1 − Σ (prediction − target)²/Σ (target − mean)² over an output's known targets; the mean over outputs with at
    least two known targets. The unit and the mean of the targets make no difference.

    If all targets of an output are equal, 1 for perfect predictions, else 0.
    """

    better = "higher"
    task = "regression"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """NaN if no output has two known targets."""
        prediction, target = numbers("r2", prediction, target)
        known = ~target.isnan()
        scores = [
            explained(prediction[rows, i], target[rows, i]) for i, rows in enumerate(known.unbind(1)) if rows.sum() > 1
        ]
        return torch.stack(scores).mean() if scores else prediction.new_tensor(torch.nan)


def explained(prediction: Tensor, target: Tensor) -> Tensor:
    """The fraction of the variance of targets (n,) that predictions (n,) explain, 0-d."""
    left = (prediction - target).square().sum()
    # the mean of equal numbers may differ from them by a rounding error
    if (target == target[0]).all():
        return torch.where(left.isnan(), left, (left == 0).to(left.dtype))
    return 1 - left / (target - target.mean()).square().sum()


Value = TypeVar("Value")


def in_original_unit(measure: Callable[[Tensor, Tensor], Value], spec: Spec) -> Callable[[Tensor, Tensor], Value]:
    """A metric that gets predictions and targets (n, outputs) in the unit before `Spec.target_scaling`; ``measure``
    itself without scaling.

    For built-in and custom metrics. The scaling is undone in float64 at least, so that small differences of large
    numbers are kept.
    """
    scaling = spec.target_scaling
    if scaling is None:
        return measure

    def undone(prediction: Tensor, target: Tensor) -> Value:
        # a single target may be (n,) or (n, 1)
        flat = target.unsqueeze(-1) if target.dim() == 1 else target
        return measure(scaling.original(prediction.double()), scaling.original(flat.double()).view(target.shape))

    return undone


@register(
    "metric",
    "rmse_pixels",
    card=Card(
        "Root mean squared error of keypoint coordinates, in the original image's pixels.",
        source="Kaggle, Facial Keypoints Detection: the competition's score",
        helps="For keypoints: √(mse)·48 for facial_keypoints, whatever image size the network gets.",
    ),
)
class RmsePixels(Metric):
    """√(Σ ((prediction − target)·scale)²/n) over the n known coordinates; NaN if none is known."""

    better = "lower"

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not keypoints."""
        if spec.keypoints is None:
            raise ValueError(
                "metric (=rmse_pixels) requires keypoints as targets. Use rmse, or data such as facial_keypoints."
            )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """Raises ValueError if targets are not keypoints, or shapes differ."""
        self.check("rmse_pixels", spec)
        assert spec.keypoints is not None
        prediction, target = numbers("rmse_pixels", prediction, target)
        known = ~target.isnan()
        error = torch.where(known, prediction - target, 0.0)
        x, y = spec.keypoints.axes
        error[..., 1::2] *= y.scale / x.scale
        return (error.square().sum() / known.sum()).sqrt() * x.scale
