"""Classification losses, for targets in any form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.losses.loss import Loss
from ablate.losses.regression import same_shape
from ablate.registry import Card, register
from ablate.registry.constants import constant_like
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec


def probabilities(loss: str, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Targets as probabilities (N, classes, …), and a mask (N, …) of the samples or positions that are not ignored.

    Class indices (N, …) become one-hot; invalid ones, such as −100, are ignored. Probabilities, as from mixup and
    label_smoothing, are kept, or ignored if they are NaN, and are then 0. Raises ValueError for other shapes.
    """
    check_class_axis(loss, prediction, target)
    classes = prediction.shape[1] if prediction.dim() > 1 else 0
    places = prediction.shape[:1] + prediction.shape[2:]
    if target.is_floating_point() and target.shape == prediction.shape and classes:
        known = has_class(target)
        return torch.where(known.unsqueeze(1), target, 0.0), known
    if target.is_floating_point() or target.shape != places or not classes:
        kind = "numbers" if target.is_floating_point() else "class indices"
        raise ValueError(
            f"loss (={loss}) requires predictions (N, classes, …) and class indices (N, …) or probabilities (N, "
            f"classes, …), but predictions are {tuple(prediction.shape)}, targets {tuple(target.shape)} {kind}. "
            "Use a loss for such targets, such as mse."
        )
    numbers = torch.arange(classes, device=target.device).view(-1, *(1 for _ in places[1:]))
    hot = (target.unsqueeze(1) == numbers).to(prediction.dtype)
    return hot, has_class(target)


def check_class_axis(loss: str, prediction: Tensor, target: Tensor) -> None:
    """Raise ValueError for predictions (N, …, classes) of class indices (N, …): classes belong on axis 1."""
    if prediction.dim() == 2:  # no other axis than that of the samples can be confused with the classes
        return
    shape = tuple(prediction.shape)
    if shape[:1] + shape[2:] == target.shape or shape[:-1] != target.shape or target.is_floating_point():
        return
    expected = (*shape[:1], shape[-1], *shape[1:-1])
    raise ValueError(
        f"loss (={loss}) requires predictions of shape {expected}, but the network returns {shape}. Return "
        "prediction.movedim(-1, 1)."
    )


def has_class(target: Tensor) -> Tensor:
    """Which samples or positions (N, …) are not ignored: class indices from 0, probabilities that are not NaN."""
    return ~target[:, 0].isnan() if target.is_floating_point() else target >= 0


def mean_of(each: Tensor, counts: Tensor) -> Tensor:
    """The mean over the values that are not ignored; 0 if there are none."""
    return torch.where(counts, each, 0.0).sum() / counts.sum().clamp(min=1)


class ClassLoss(Loss):
    """A mean over all samples or positions that have a class."""

    task = "classification"

    def weight(self, target: Tensor) -> Tensor | int:
        return has_class(target).sum() if self._missing else len(target)


@register(
    "loss",
    "cross_entropy",
    card=Card(
        "Negative log of the true class's softmax probability.",
        source="torch.nn.functional.cross_entropy",
        helps="For classification with mutually exclusive classes. Unlike mse_on_softmax, its gradient is large if the "
        "network is confident and wrong.",
        interacts="The network must output logits: do not add a softmax.",
    ),
)
class CrossEntropy(ClassLoss):
    """−log softmax(prediction)[target], averaged over the batch; predictions (N, classes, …), targets class indices (N,
    …) or probabilities (N, classes, …). Indices of −100 and probabilities of NaN are ignored; 0 if all are.
    """

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        check_class_axis("cross_entropy", prediction, target)
        if not self._missing:
            return torch.nn.functional.cross_entropy(prediction, target)
        if target.is_floating_point() and target.shape == prediction.shape:
            known = has_class(target)
            loss = torch.nn.functional.cross_entropy(prediction, torch.where(known.unsqueeze(1), target, 0.0))
            # torch divides by the number of all positions
            return loss * (known.numel() / known.sum().clamp(min=1).to(loss.dtype))
        # torch divides by the number of known positions, so its mean over none is NaN
        loss = torch.nn.functional.cross_entropy(prediction, target)
        return torch.where((target >= 0).any(), loss, 0.0)


@register(
    "loss",
    "mse_on_softmax",
    card=Card(
        "Mean squared error between softmax probabilities and one-hot targets.",
        source=(
            "Brier 1950, Verification of Forecasts Expressed in Terms of Probability, divided by the number of classes"
        ),
        helps="As a comparison with cross_entropy; wrong labels have less effect, because the loss is bounded.",
        costs="The gradient is nearly 0 if the network is confident and wrong, so training stalls.",
        interacts="The network must output logits: do not add a softmax.",
    ),
)
class MseOnSoftmax(ClassLoss):
    """Σ (softmax(prediction) − target)²/classes, averaged over the samples.

    Predictions are (N, classes, …), targets class indices (N, …) or probabilities (N, classes, …).
    """

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not classes."""
        truth, counts = probabilities("mse_on_softmax", prediction, target)
        return mean_of((prediction.softmax(dim=1) - truth).square().mean(dim=1), counts)


@register(
    "loss",
    "focal",
    card=Card(
        "Cross-entropy that gives well-classified samples less weight.",
        source="Lin et al. 2017, Focal Loss for Dense Object Detection, equation 5",
        helps="For strong class imbalance, if many easy samples dominate the loss.",
        costs="Underconfident probabilities; wrong labels count as hard samples.",
        interacts=(
            "gamma: 0 equals cross_entropy. Use alpha to balance classes instead of class_weights or balanced_sampling."
        ),
    ),
)
class Focal(ClassLoss):
    """−α(1 − p)^γ log p of the true class's softmax probability p, averaged over the samples.

    Targets are class indices (N, …), or probabilities (N, classes, …), which weight the losses of the classes.
    """

    shorthand = "gamma"

    gamma: Annotated[float, Range(ge=0)] = Field(
        default=2.0, description="focusing parameter: larger values give easy samples less weight"
    )
    alpha: Annotated[float, Range(gt=0, lt=1)] | tuple[Annotated[float, Range(ge=0)], ...] | None = Field(
        default=None,
        description="one weight per class; for two classes, one number for class 1, with 1 - alpha for class 0",
    )

    def check(self, name: str, spec: Spec) -> None:
        """Raises ValueError if targets are not classes, or alpha does not match the number of classes."""
        super().check(name, spec)
        if self.alpha is not None and len(self._weights()) != spec.outputs:
            shown = list(self.alpha) if isinstance(self.alpha, tuple) else self.alpha
            raise ValueError(f"loss.alpha (={shown}) must have one number for each of the {spec.outputs} classes.")

    def _weights(self) -> tuple[float, ...]:
        assert self.alpha is not None
        return self.alpha if isinstance(self.alpha, tuple) else (1 - self.alpha, self.alpha)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if targets are not classes."""
        truth, counts = probabilities("focal", prediction, target)
        log_p = prediction.log_softmax(dim=1)
        each = -truth * log_p
        if self.gamma:
            # 1 − p without cancellation; above 0, where the power with gamma below 1 has no gradient
            rest = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny)
            each = each * rest**self.gamma
        if self.alpha is not None:
            each = each * constant_like(self._weights(), each).view(-1, *(1 for _ in each.shape[2:]))
        return mean_of(each.sum(dim=1), counts)


@register(
    "loss",
    "bce",
    card=Card(
        "Binary cross-entropy, with a sigmoid for each output.",
        source="torch.nn.functional.binary_cross_entropy_with_logits",
        helps="For labels that are not mutually exclusive, and for two classes with one output.",
        costs="With many classes, most targets are negative: compare cross_entropy and focal.",
        interacts="The network must output logits: do not add a sigmoid. Missing targets (NaN) are ignored.",
    ),
)
class Bce(Loss):
    """−Σ (w·t·log σ(x) + (1 − t)·log(1 − σ(x)))/n over the n known targets t in [0, 1]; 0 if none is known.

    Class indices (N, …) are used one class against the rest, with predictions (N, classes, …); with a single output,
    class 1 is positive and class 0 negative. Negative class indices are missing targets.
    """

    positive: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="w: weight of positive targets; negative targets have weight 1"
    )

    def for_data(self, targets: Tensor | None, spec: Spec) -> Bce:
        """Raises ValueError if a target is not a probability."""
        if targets is not None and targets.is_floating_point():
            known = targets[~targets.isnan()]
            low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
            if low < 0 or high > 1:
                raise ValueError(
                    f"loss (=bce) requires targets between 0 and 1, but they range from {low:g} to "
                    f"{high:g}. Use a regression loss, such as mse."
                )
        return self

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Raises ValueError if the shapes do not match."""
        if target.is_floating_point():
            target = same_shape("bce", prediction, target)
            if not self._missing:
                return self._each(prediction, target).mean()
            known = ~target.isnan()
        else:
            target, known = self._answers(prediction, target)
        each = self._each(prediction, torch.where(known, target, 0.0))
        return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)

    def weight(self, target: Tensor) -> Tensor | int:
        if not target.is_floating_point():
            return (target >= 0).sum()
        return (~target.isnan()).sum() if self._missing else len(target)

    def _each(self, prediction: Tensor, target: Tensor) -> Tensor:
        weight = None if self.positive == 1 else constant_like(self.positive, prediction)
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        return loss(prediction, target.to(prediction.dtype), reduction="none", pos_weight=weight)

    def _answers(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Class indices as 0 and 1 of the prediction's shape, and which of them are known."""
        if prediction.shape == target.shape:
            return target.to(prediction.dtype), target >= 0
        if target.shape != prediction.shape[:1] + prediction.shape[2:]:
            same_shape("bce", prediction, target)
        column = target.unsqueeze(1)
        classes = torch.arange(prediction.shape[1], device=target.device) if prediction.shape[1] > 1 else None
        if classes is None:
            return column.to(prediction.dtype), column >= 0
        hot = (column == classes.view(-1, *(1 for _ in target.shape[1:]))).to(prediction.dtype)
        return hot, (column >= 0).expand_as(hot)
