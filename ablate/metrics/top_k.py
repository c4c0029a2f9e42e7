"""How often the true class is among the first guesses, and how often it is not the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ablate.metrics.known import classes
from ablate.metrics.metric import Metric
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "metric",
    "top_k",
    card=Card(
        "Share of samples whose true class is among the k largest outputs.",
        source="torchmetrics.functional.classification.multiclass_accuracy(top_k=k, average='micro')",
        helps="Many classes, some of them alike: top 5 of ImageNet.",
        costs="Close to 1 with few classes.",
    ),
)
class TopK(Metric):
    """From 0 to 1; ties among outputs go to the lower class number. k = 1 is accuracy."""

    better = "higher"
    task = "classification"
    shorthand = "k"

    k: int = Field(default=5, ge=1, description="how many guesses count")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError where targets are no classes, or there are no more than k of them."""
        super().check(name, spec)
        if self.k >= spec.outputs:
            raise ValueError(
                f"metric.k (={self.k} of {name}) must be less than the {spec.outputs} classes: it would always be 1."
            )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("top_k", prediction, target)
        own = logits.gather(1, truth.unsqueeze(1))
        lower = torch.arange(logits.shape[1], device=logits.device) < truth.unsqueeze(1)
        # how many classes stand before the true one; NaN stands nowhere
        before = ((logits > own) | ((logits == own) & lower)).sum(dim=1)
        return ((before < self.k) & ~own.squeeze(1).isnan()).to(torch.float64).mean()


@register(
    "metric",
    "error",
    card=Card(
        "Share of samples whose largest output is not the true class.",
        source="1 − accuracy; per cent divided by 100",
        helps="What papers report for balanced classes; halving it is progress that accuracy hides near 1.",
        costs="It jumps by 1/n; the loss moves before it does.",
    ),
)
class Error(Metric):
    """From 0 to 1; ties among outputs go to the first class."""

    better = "lower"
    task = "classification"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("error", prediction, target)
        return (logits.argmax(dim=1) != truth).to(torch.float64).mean()
