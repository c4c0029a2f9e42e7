"""Confidence of a classifier: perplexity and calibration error."""

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
        "Exponential of the mean cross-entropy: the effective number of choices.",
        source="Jelinek et al. 1977; torchmetrics.functional.text.perplexity",
        helps="For language models: prediction of the next token.",
        costs="A single token with a very low probability can dominate it.",
    ),
)
class Perplexity(Metric):
    """exp(−Σ log softmax(prediction)[target]/n) over all n known targets, at least 1; infinite on overflow."""

    better = "lower"
    task = "classification"

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        logits, truth = classes("perplexity", prediction, target)
        return torch.nn.functional.cross_entropy(logits.double(), truth).exp()


@register(
    "metric",
    "ece",
    card=Card(
        "Expected calibration error: the difference between confidence and accuracy.",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks; torchmetrics' multiclass_calibration_error",
        helps="When the probabilities themselves are used, not only the predicted class.",
        costs="Depends on the bins; noisy if bins have few samples.",
    ),
)
class Ece(Metric):
    """Σ (fraction of samples in the bin) · |accuracy − mean top probability| (l1), or its maximum over bins; bins of
    equal width in [0, 1].
    """

    better = "lower"
    task = "classification"
    shorthand = "bins"

    bins: int = Field(default=15, ge=1, description="number of bins of equal width")
    norm: Literal["l1", "max"] = Field(default="l1", description="l1: mean over bins; max: the worst bin")

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        from torchmetrics.functional.classification import multiclass_calibration_error

        logits, truth = classes("ece", prediction, target)
        # torchmetrics would treat logits that are all in [0, 1] as probabilities
        share = logits.double().softmax(dim=1)
        value: Tensor = multiclass_calibration_error(share, truth, logits.shape[1], n_bins=self.bins, norm=self.norm)
        # torchmetrics would assign NaN to some bin
        return torch.where(share.isfinite().all(), value.double(), torch.nan)
