"""Classes that count more or less in the loss."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tricks.shared.soft_targets import check_classes, class_axis, soft
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Parts, Spec
    from ablate.recipe.settings import Settings
    from ablate.rng.noise import Noise

Weight = Annotated[float, Range(ge=0)]


@register(
    "trick",
    "class_weights",
    card=Card(
        "Weighs the loss of each sample by its class.",
        source="King and Zeng 2001, Logistic Regression in Rare Events Data; torch.nn.CrossEntropyLoss(weight=…)",
        helps="Classes of unlike size that matter alike: the rare ones are no longer given up.",
        costs="Frequent classes get worse, and so may accuracy; outputs are no longer the data's probabilities.",
        interacts="Only with cross_entropy. The valid loss stays unweighted, so compare a metric such as f1. Weighs what mixup and label_smoothing leave.",
    ),
)
class ClassWeights(Trick):
    """Σ w[class]·loss / Σ w[class] over a batch, as torch weighs. ``balanced``: w = samples/(classes · samples of the class) in the training part.

    Cross-entropy is linear in its targets, so they carry the weights: probabilities t become t·w/mean(Σ t·w).
    """

    stacked = True
    shorthand = "weights"
    order = 36

    weights: Literal["balanced"] | tuple[Weight, ...] = Field(
        default="balanced", description="balanced, or a weight for each class, in the order of the classes"
    )

    _weights: Tensor | None = PrivateAttr(default=None)

    def check(self, spec: Spec) -> None:
        """Raises ValueError where targets are no classes, or as many weights as classes are not there."""
        check_classes("class_weights", spec)
        if self.weights != "balanced" and len(self.weights) != spec.outputs:
            raise ValueError(
                f"class_weights.weights (={list(self.weights)}) must have a number for each of the {spec.outputs} classes."
            )
        if self.weights != "balanced" and not any(self.weights):
            raise ValueError(f"class_weights.weights (={list(self.weights)}) must not all be 0.")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError with any loss that is not known to be linear in its targets."""
        if settings.loss.name != "cross_entropy":
            raise ValueError(
                f"trick (=class_weights) needs loss (=cross_entropy); it is {settings.loss.label}. Use that, or weigh in a loss of your own."
            )
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Counts the training part's classes. Raises ValueError where it is streamed or has no class numbers."""
        targets = data.train.targets
        if self.weights != "balanced":
            self._weights = torch.tensor(self.weights, dtype=torch.float64, device=self.context.device)
            return data
        if targets is None or targets.is_floating_point():
            what = "are floats" if targets is not None else "are streamed"
            raise ValueError(
                f"class_weights.weights (=balanced) needs class numbers in memory; the train part's targets {what}. Give a list of weights."
            )
        self._weights = balanced(targets, data.spec.outputs).to(self.context.device)
        return data

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        assert self._weights is not None, "on_data comes before on_batch"
        targets = soft(batch)
        axis = class_axis(batch, targets)
        weighted = targets * self._weights.to(targets.dtype).view(-1, *(1 for _ in range(-1 - axis)))
        each = weighted.sum(dim=axis, keepdim=True)
        mean = each.mean(dim=tuple(range(axis - 1, 0)), keepdim=True)
        # a batch of nothing but classes of weight 0 has loss 0
        return replace(batch, targets=weighted / torch.where(mean == 0, 1.0, mean))


def balanced(targets: Tensor, classes: int) -> Tensor:
    """samples/(classes · samples of the class), float64 (classes,); 0 for a class without any, whose weight nobody asks for."""
    counts = torch.bincount(targets[targets >= 0].flatten(), minlength=classes).double()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
