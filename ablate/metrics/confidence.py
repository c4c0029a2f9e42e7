"""How sure a network is, and whether it is right to be: perplexity and calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

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
    "perplexity",
    card=Card(
        "Exponential of the mean cross-entropy: how many classes it wavers between.",
        source="Jelinek et al. 1977; torchmetrics.functional.text.perplexity",
        helps="Language models: the next token out of so many.",
        costs="One token that is thought impossible can decide it.",
    ),
)
class Perplexity(Metric):
    """exp(−Σ log softmax(prediction)[target]/n) over all n known targets, at least 1; infinite where that overflows."""

    better = "lower"
    task = "classification"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("perplexity", prediction, target)
        return torch.nn.functional.cross_entropy(logits.double(), truth).exp()


@register(
    "metric",
    "ece",
    card=Card(
        "Expected calibration error: how far confidence is from accuracy.",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks; torchmetrics' multiclass_calibration_error",
        helps="Where probabilities are used as such, not only the largest one's class.",
        costs="Depends on the bins; a few samples in a bin make it noisy.",
    ),
)
class Ece(Metric):
    """Σ bins' share of samples · |accuracy − mean top probability| (l1), or its maximum over bins; bins of equal width in [0, 1]."""

    better = "lower"
    task = "classification"
    shorthand = "bins"

    bins: int = Field(default=15, ge=1, description="bins of equal width that top probabilities fall into")
    norm: Literal["l1", "max"] = Field(default="l1", description="l1: the mean over bins; max: the worst bin")

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        from torchmetrics.functional.classification import multiclass_calibration_error

        logits, truth = classes("ece", prediction, target)
        # given logits that happen to lie in [0, 1], torchmetrics would take them for probabilities
        share = logits.double().softmax(dim=1)
        value: Tensor = multiclass_calibration_error(share, truth, logits.shape[1], n_bins=self.bins, norm=self.norm)
        # torchmetrics would put what is no number into some bin
        return torch.where(share.isfinite().all(), value.double(), torch.nan)
