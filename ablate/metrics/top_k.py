"""Top-k accuracy and error rate."""

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
        "Fraction of samples whose true class is among the k largest outputs.",
        source="torchmetrics.functional.classification.multiclass_accuracy(top_k=k, average='micro')",
        helps="For many, partly similar classes, such as top 5 on ImageNet.",
        costs="Close to 1 if there are few classes.",
    ),
)
class TopK(Metric):
    """From 0 to 1; ties among outputs go to the lower class index. k = 1 is accuracy."""

    better = "higher"
    task = "classification"
    shorthand = "k"

    k: int = Field(default=5, ge=1, description="number of largest outputs to consider")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not classes, or there are at most k classes."""
        super().check(name, spec)
        if self.k >= spec.outputs:
            raise ValueError(f"{name}.k (={self.k}) must be less than the number of classes ({spec.outputs}).")

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("top_k", prediction, target)
        own = logits.gather(1, truth.unsqueeze(1))
        lower = torch.arange(logits.shape[1], device=logits.device) < truth.unsqueeze(1)
        # number of classes ranked before the true one; NaN is never ranked
        before = ((logits > own) | ((logits == own) & lower)).sum(dim=1)
        return ((before < self.k) & ~own.squeeze(1).isnan()).to(torch.float64).mean()


@register(
    "metric",
    "error",
    card=Card(
        "Fraction of samples whose largest output is not the true class.",
        source="1 − accuracy; percent divided by 100",
        helps=(
            "For balanced classes, as reported in papers; shows improvements that are hard to see in accuracies near 1."
        ),
        costs="Changes in steps of 1/n; less sensitive than the loss.",
    ),
)
class Error(Metric):
    """From 0 to 1; ties among outputs go to the first class."""

    better = "lower"
    task = "classification"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("error", prediction, target)
        return (logits.argmax(dim=1) != truth).to(torch.float64).mean()
