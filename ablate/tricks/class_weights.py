"""Weight the loss by class."""

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
    version=2,
    card=Card(
        "Weights the loss of each sample by its class.",
        source="King and Zeng 2001, Logistic Regression in Rare Events Data; torch.nn.CrossEntropyLoss(weight=…)",
        helps="When classes are imbalanced but equally important.",
        costs=(
            "Lower accuracy on frequent classes and possibly overall; outputs are no longer calibrated to the class "
            "frequencies."
        ),
        interacts=(
            "Requires loss cross_entropy. The validation loss is not weighted, so compare a metric such as f1. "
            "Applied after mixup and label_smoothing."
        ),
    ),
)
class ClassWeights(Trick):
    """The loss of a batch is Σ w[class]·loss / Σ w[class], as in torch.nn.CrossEntropyLoss, also with label smoothing.

    ``balanced``: w = samples/(classes · samples of the class), counted in the training set. In means over several
    batches, a batch counts by its Σ w[class].

    Cross-entropy is linear in the targets, so the weights are applied to these: the probabilities t become t·w/mean(Σ
    s·w), where s are the probabilities before label smoothing.
    """

    stacked = True
    any_inputs = True
    shorthand = "weights"
    order = 36
    examples = ({}, {"weights": [1, 0.5, 2, 0]})
    example_needs = "classes"

    weights: Literal["balanced"] | tuple[Weight, ...] = Field(
        default="balanced", description="balanced, or one weight per class, in the order of the classes"
    )

    _weights: Tensor | None = PrivateAttr(default=None)

    def check(self, spec: Spec) -> None:
        """Raises ValueError if targets are not classes or the number of weights is not the number of classes."""
        check_classes("class_weights", spec)
        if self.weights != "balanced" and len(self.weights) != spec.outputs:
            raise ValueError(
                f"class_weights.weights (={list(self.weights)}) must have one weight for each of the "
                f"{spec.outputs} classes."
            )
        if self.weights != "balanced" and not any(self.weights):
            raise ValueError(f"class_weights.weights (={list(self.weights)}) must not all be 0.")

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError for a loss other than cross_entropy."""
        if settings.loss.name != "cross_entropy":
            raise ValueError(
                f"trick (=class_weights) requires loss (=cross_entropy), but the loss is {settings.loss.label}. "
                "Use cross_entropy, or weight the classes in a custom loss."
            )
        return settings

    def on_data(self, data: Parts) -> Parts:
        """Counts the classes of the training set. Raises ValueError if it is streamed or has no class indices."""
        targets = data.train.targets
        if self.weights != "balanced":
            self._weights = torch.tensor(self.weights, dtype=torch.float64, device=self.context.device)
            return data
        if targets is None or targets.is_floating_point():
            what = "are floats" if targets is not None else "are streamed"
            raise ValueError(
                "class_weights.weights (=balanced) requires class indices in memory, but the training targets "
                f"{what}. List the weights."
            )
        self._weights = balanced(targets, data.spec.outputs).to(self.context.device)
        return data

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        assert self._weights is not None, "on_data comes before on_batch"
        targets = soft(batch)
        axis = class_axis(batch, targets)
        weights = self._weights.to(targets.dtype).view(-1, *(1 for _ in range(-1 - axis)))
        each = ((targets if batch.unsmoothed is None else batch.unsmoothed) * weights).sum(dim=axis, keepdim=True)
        # ignored samples are NaN; the loss of a batch is 0 if all of its classes have weight 0
        mean = each.nanmean(dim=tuple(range(axis - 1, 0)), keepdim=True).nan_to_num(0.0)
        targets = targets * weights / torch.where(mean == 0, 1.0, mean)
        return replace(batch, targets=targets, weight=mean.reshape(targets.shape[: axis - 1]))


def balanced(targets: Tensor, classes: int) -> Tensor:
    """samples/(classes · samples of the class), float64 (classes,); 0 for classes without samples."""
    counts = torch.bincount(targets[targets >= 0].flatten(), minlength=classes).double()
    return torch.where(counts > 0, counts.sum() / ((counts > 0).sum() * counts.clamp(min=1)), 0.0)
