"""Overlap of predicted and true classes: F1, Dice and intersection over union."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.metrics.metric import Metric, classes
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
        helps="For imbalanced classes, for which accuracy mainly counts the frequent ones.",
        costs="Ignores confidence; changes in large steps if a class has few samples.",
    ),
)
class F1(Metric):
    """2TP/(2TP + FP + FN) of each class over the whole split, then their average; classes that are neither true nor
    predicted are ignored.
    """

    better = "higher"
    task = "classification"
    shorthand = "average"

    average: Literal["macro", "micro", "weighted", "positive"] = Field(
        default="macro",
        description=(
            "macro: mean over classes; weighted: by their number of samples; micro: over all samples (= accuracy); "
            "positive: class 1 only"
        ),
    )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        from torchmetrics.functional.classification import multiclass_f1_score

        logits, truth = classes("f1", prediction, target)
        average = self.average if self.average != "positive" else "none"
        score: Tensor = multiclass_f1_score(logits.argmax(dim=1), truth, logits.shape[1], average=average)
        return score.double() if self.average != "positive" else score[1].double()


class Overlap(Metric):
    """Overlap of predicted and true masks, from 0 to 1.

    ``per: set`` counts pixels over the whole split; ``per: picture`` averages over images.

    Classes that are neither true nor predicted (in the set or the image) are ignored.
    """

    better = "higher"
    task = "classification"
    shorthand = "per"

    per: Literal["set", "picture"] = Field(
        default="set", description="set: compute over the whole split; picture: compute per image and average"
    )
    background: bool = Field(default=True, description="include class 0")

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not masks but one class per sample."""
        super().check(name, spec)
        if spec.task == "classification" and not spec.places:
            raise ValueError(
                f"metric (={name}) requires segmentation masks, but the targets are one class per sample. Use f1."
            )

    def measure(self, prediction: Tensor, target: Tensor, spec: Spec) -> Tensor:
        """NaN if there is no class to count. Raises ValueError if targets are not masks."""
        both, either = counted(type(self).__name__.lower(), prediction, target, self.per, self.background)
        return self.share(both, either).nanmean(dim=-1).nanmean()

    def each(self, prediction: Tensor, target: Tensor, spec: Spec) -> tuple[Tensor, Tensor] | None:
        """Of an average over images, the overlap of each image; those without a class to count have no weight."""
        if self.per == "set":
            return None
        both, either = counted(type(self).__name__.lower(), prediction, target, self.per, self.background)
        found = self.share(both, either).nanmean(dim=-1)
        return found.nan_to_num(0.0), (~found.isnan()).to(torch.float64)

    @abstractmethod
    def share(self, both: Tensor, either: Tensor) -> Tensor:
        """The overlap from |P∩T| and |P| + |T|, elementwise."""


@register(
    "metric",
    "dice",
    card=Card(
        "Overlap of predicted and true masks, 2|P∩T|/(|P| + |T|), averaged over classes.",
        source="Dice 1945, Measures of the Amount of Ecologic Association Between Species",
        helps="For segmentation, if most pixels are background.",
        costs="Sensitive to small objects.",
        interacts="With per: set, it equals f1 over pixels; the loss dice is 1 minus its soft form.",
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
        helps="For segmentation: reported by most benchmarks (mIoU).",
        costs="Sensitive to small objects.",
    ),
)
class Iou(Overlap):
    """|P∩T|/|P∪T|, which is TP/(TP + FP + FN)."""

    def share(self, both: Tensor, either: Tensor) -> Tensor:
        return both / (either - both)


def counted(
    name: str, prediction: Tensor, target: Tensor, per: Literal["set", "picture"], background: bool
) -> tuple[Tensor, Tensor]:
    """|P∩T| and |P| + |T| of each class, float64 (groups, classes); a group is the set or an image."""
    if prediction.dim() < 3:
        raise ValueError(
            f"metric (={name}) requires segmentation masks as targets, such as (n, H, W), but predictions are "
            f"{tuple(prediction.shape)}. Use f1."
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
