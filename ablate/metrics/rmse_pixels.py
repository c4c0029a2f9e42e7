"""Distance between predicted and true landmarks, in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.metrics.metric import Metric
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "metric",
    "rmse_pixels",
    card=Card(
        "Root mean squared error of landmark coordinates, in the original image's pixels.",
        source="Kaggle, Facial Keypoints Detection: the competition's score",
        helps="For landmarks: √(mse)·48 for facial_keypoints, whatever image size the network gets.",
    ),
)
class RmsePixels(Metric):
    """√(Σ (prediction − target)²/n)·scale over the n known coordinates; NaN if none is known."""

    better = "lower"

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not landmarks."""
        if spec.landmarks is None:
            raise ValueError(
                "metric (=rmse_pixels) requires landmarks as targets. Use rmse, or data such as facial_keypoints."
            )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """Raises ValueError if targets are not landmarks."""
        self.check("rmse_pixels", spec)
        assert spec.landmarks is not None
        known = ~target.isnan()
        error = torch.where(known, prediction.double() - target.double(), 0.0)
        return (error.square().sum() / known.sum()).sqrt() * spec.landmarks.scale
