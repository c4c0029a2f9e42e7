"""Metrics of classes and their probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.metrics.metric import MeanMetric, Metric, classes, scores
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


@register(
    "metric",
    "accuracy",
    card=Card(
        "Fraction of samples whose largest output is the true class.",
        source="torch.argmax over the classes, ties to the first",
        helps="For balanced classes.",
        costs="Changes in steps of 1/n and ignores confidence; less sensitive than the loss.",
    ),
)
class Accuracy(MeanMetric):
    """From 0 to 1, over all samples with a class (not −100).

    Predictions are (n, classes, …), or (n, 1, …) scores of class 1 against 0; targets are class indices (n, …).
    """

    better = "higher"
    task = "classification"

    def elements(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if prediction.dim() < 2 or target.shape != prediction.shape[:1] + prediction.shape[2:]:
            raise ValueError(
                "metric (=accuracy) requires class indices as targets, but predictions are "
                f"{tuple(prediction.shape)}, targets {tuple(target.shape)}. Use a metric for regression, such as "
                "rmse."
            )
        guess = prediction.argmax(dim=1) if prediction.shape[1] > 1 else (prediction[:, 0] > 0).long()
        return guess == target, target >= 0


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
class TopK(MeanMetric):
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

    def elements(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits, truth = scores("top_k", prediction, target)
        own = logits.gather(2, truth.clamp(min=0).unsqueeze(2))
        lower = torch.arange(logits.shape[2], device=logits.device) < truth.unsqueeze(2)
        # number of classes ranked before the true one; NaN is never ranked
        before = ((logits > own) | ((logits == own) & lower)).sum(dim=2)
        return (before < self.k) & ~own.squeeze(2).isnan(), truth >= 0


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
class Error(MeanMetric):
    """From 0 to 1; ties among outputs go to the first class."""

    better = "lower"
    task = "classification"

    def elements(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits, truth = scores("error", prediction, target)
        return logits.argmax(dim=2) != truth, truth >= 0


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
    version=2,
    card=Card(
        "Expected calibration error: the difference between confidence and accuracy.",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks; torchmetrics' multiclass_calibration_error, "
        "but summed in float64",
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
        logits, truth = classes("ece", prediction, target)
        confidence, guess = logits.double().softmax(dim=1).max(dim=1)
        if not confidence.isfinite().all():
            return confidence.new_tensor(torch.nan)
        place = (confidence * self.bins).long().clamp(max=self.bins - 1)
        # |accuracy − mean confidence| of a bin, times its number of samples
        gaps = torch.bincount(place, (guess == truth).double() - confidence, minlength=self.bins).abs()
        if self.norm == "l1":
            return gaps.sum() / len(truth)
        return (gaps / torch.bincount(place, minlength=self.bins).clamp(min=1)).max()
