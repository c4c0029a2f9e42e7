"""How well predicted and true classes overlap: F1, Dice and intersection over union."""

from __future__ import annotations

from abc import abstractmethod
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
    "f1",
    card=Card(
        "Harmonic mean of precision and recall, averaged over classes.",
        source="torchmetrics.functional.classification.multiclass_f1_score; scikit-learn's f1_score",
        helps="Classes of unlike size, where accuracy only counts the frequent ones.",
        costs="Says nothing of confidence; jumps where a class has few samples.",
    ),
)
class F1(Metric):
    """2TP/(2TP + FP + FN) of each class over the whole part, then their average; classes that are neither true nor predicted anywhere do not count."""

    better = "higher"
    task = "classification"
    shorthand = "average"

    average: Literal["macro", "micro", "weighted", "positive"] = Field(
        default="macro",
        description="macro: all classes alike; weighted: by their samples; micro: over all samples (= accuracy); positive: class 1 alone",
    )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        from torchmetrics.functional.classification import multiclass_f1_score

        logits, truth = classes("f1", prediction, target)
        average = self.average if self.average != "positive" else "none"
        score: Tensor = multiclass_f1_score(logits.argmax(dim=1), truth, logits.shape[1], average=average)
        return score.double() if self.average != "positive" else score[1].double()


class Overlap(Metric):
    """Of predicted and true masks, from 0 to 1. ``per: set`` counts pixels over the whole part; ``picture`` takes each picture's and then their mean.

    Classes that are neither true nor predicted (there) do not count.
    """

    better = "higher"
    task = "classification"
    shorthand = "per"

    per: Literal["set", "picture"] = Field(default="set", description="count over the whole part, or in each picture")
    background: bool = Field(default=True, description="whether class 0 counts too")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError where targets are no masks: a sample has one class, not one for each place."""
        super().check(name, spec)
        if spec.task == "classification" and not spec.places:
            raise ValueError(f"metric (={name}) needs masks; the data's targets are one class for each sample. Use f1.")

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """NaN where no class counts. Raises ValueError where targets are no masks."""
        both, either = counted(type(self).__name__.lower(), prediction, target, self.per, self.background)
        return self.share(both, either).nanmean(dim=-1).nanmean()

    @abstractmethod
    def share(self, both: Tensor, either: Tensor) -> Tensor:
        """The overlap from |P∩T| and |P| + |T|, elementwise."""


@register(
    "metric",
    "dice",
    card=Card(
        "Overlap of predicted and true masks, 2|P∩T|/(|P| + |T|), averaged over classes.",
        source="Dice 1945, Measures of the Amount of Ecologic Association Between Species",
        helps="Segmentation, where most pixels are background.",
        costs="Small objects move it much.",
        interacts="Of a set it is f1 over pixels; the loss dice is 1 minus its soft form.",
    ),
)
class Dice(Overlap):
    """2|P∩T|/(|P| + |T|)."""

    def share(self, both: Tensor, either: Tensor) -> Tensor:
        return 2 * both / either


@register(
    "metric",
    "iou",
    card=Card(
        "Intersection over union of predicted and true masks, averaged over classes.",
        source="Jaccard 1912, The Distribution of the Flora in the Alpine Zone; torchmetrics' multiclass_jaccard_index",
        helps="Segmentation: what most benchmarks report (mIoU).",
        costs="Small objects move it much.",
    ),
)
class Iou(Overlap):
    """|P∩T|/|P∪T|, which is TP/(TP + FP + FN)."""

    def share(self, both: Tensor, either: Tensor) -> Tensor:
        return both / (either - both)


def counted(
    name: str, prediction: Tensor, target: Tensor, per: Literal["set", "picture"], background: bool
) -> tuple[Tensor, Tensor]:
    """|P∩T| and |P| + |T| of each class in places, float64 (groups, classes), where a group is the set or a picture."""
    if prediction.dim() < 3:
        raise ValueError(
            f"metric (={name}) needs masks, targets (n, H, W) or alike; predictions are {tuple(prediction.shape)}. Use f1."
        )
    groups = [slice(None)] if per == "set" else [slice(i, i + 1) for i in range(len(target))]
    first = 0 if background else 1
    pairs = []
    for rows in groups:
        logits, truth = classes(name, prediction[rows], target[rows])
        n = logits.shape[1]
        guess = logits.argmax(dim=1)
        both = torch.bincount(truth[guess == truth], minlength=n)
        pairs.append((both[first:], (torch.bincount(guess, minlength=n) + torch.bincount(truth, minlength=n))[first:]))
    both, either = (torch.stack(column).double() for column in zip(*pairs, strict=True))
    return both, either
