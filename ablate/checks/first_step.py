"""Checks of the first pass: the training's own errors, the loss at the start, and what the loss expects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.checks.shared.probe import Probe

SQUARED = ("mse", "l1", "smooth_l1", "huber")
"""Losses that compare predictions with targets of the same shape."""

OF_LOGITS = ("cross_entropy", "focal", "mse_on_softmax", "dice_ce", "bce")
"""Losses that apply softmax or sigmoid themselves."""


@register(
    "check",
    "first_step",
    card=Card(
        "Builds the training, takes a step and evaluates; the loss must be a finite number.",
        source="Karpathy 2019, A Recipe for Training Neural Networks",
        helps="To find errors in shapes, data and custom code before the first epoch.",
    ),
)
class FirstStep(Check):
    """An error if the loss of 64 samples is NaN or infinite, in training or evaluation mode. Whatever building the
    training or its first step raises is an error of this check, too.
    """

    quick = True

    def look(self, probe: Probe) -> Iterable[Finding]:
        with probe.restored(), torch.no_grad():
            losses = {
                "training": float(probe.run(probe.batch, train=True).loss),
                "evaluation": float(probe.run(probe.batch, train=False).loss),
            }
        for mode, loss in losses.items():
            if not math.isfinite(loss):
                yield Finding(
                    "error",
                    f"The loss in {mode} mode is not a finite number before training.",
                    f"{loss:g}",
                    "a finite number",
                    "Look for NaN and infinite values in the data, log(0) and division by 0, and weights that are too "
                    "large.",
                )
                return


@register(
    "check",
    "loss_at_start",
    card=Card(
        "Compares the loss before training with that of an uninformed prediction.",
        source="Karpathy 2019, A Recipe for Training Neural Networks: verify loss @ init",
        helps="To find weights or inputs that are far too large, and targets that are not what the loss expects.",
        interacts="Only for cross_entropy, bce and squared or absolute errors; for one prediction per sample.",
    ),
)
class LossAtStart(Check):
    """For classes, the uniform prediction has the loss ln C. For continuous targets, the reference is predicting the
    mean of the targets.
    """

    quick = True

    high: Annotated[float, Range(gt=1)] = Field(
        default=3.0, description="largest loss, as a multiple of the uninformed prediction's"
    )
    high_numbers: Annotated[float, Range(gt=1)] = Field(
        default=100.0, description="the same for continuous targets, whose mean the network has not learned yet"
    )
    low: Annotated[float, Range(ge=0, lt=1)] = Field(
        default=0.5, description="smallest loss, as a multiple of the uninformed prediction's"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        reference = uninformed(probe)
        if reference is None or reference < 1e-12:
            return
        loss = float(probe.first.loss.detach())
        numbers = probe.loss_name in SQUARED
        high = self.high_numbers if numbers else self.high
        seen = f"{loss:.3g} (uninformed: {reference:.3g})"
        if loss > high * reference:
            yield Finding(
                "warning",
                "The loss before training is much larger than that of an uninformed prediction.",
                seen,
                f"at most {high:g} times the uninformed loss",
                "Scale the targets, for example with normalise_targets, or subtract their mean."
                if numbers
                else "Use smaller initial weights (init), normalize the inputs (standardise), or add a norm.",
            )
        elif loss < self.low * reference:
            yield Finding(
                "warning",
                "The loss before training is too small for an untrained network.",
                seen,
                f"at least {self.low:g} times the uninformed loss",
                "Check whether the inputs contain the target, whether the weights are already trained, and how the "
                "loss is averaged.",
            )


def uninformed(probe: Probe) -> float | None:
    """The loss of the best constant prediction for the fixed samples, or None if it is not known."""
    from ablate.checks.shared.trainings import constant_loss

    name, targets, prediction = probe.loss_name, probe.batch.targets, probe.first.prediction
    if not isinstance(targets, torch.Tensor) or not isinstance(prediction, torch.Tensor):
        return None
    if name == "cross_entropy" and not targets.is_floating_point():
        return math.log(prediction.shape[1]) if prediction.shape[1] > 1 else None
    if name == "bce" and getattr(probe.settings.loss.options, "positive", 1.0) == 1.0:
        return math.log(2)
    if name in SQUARED and targets.shape == prediction.shape:
        return constant_loss(probe, probe.batch)
    return None


@register(
    "check",
    "output_and_loss",
    card=Card(
        "Checks whether the network's last operation is one that the loss applies itself.",
        source="torch.nn.CrossEntropyLoss and BCEWithLogitsLoss: the input contains unnormalized logits",
        helps="To find a softmax before cross_entropy or a sigmoid before bce: the loss cannot approach 0 then, and "
        "gradients vanish.",
        interacts="For custom losses, the checks overfits and uses_inputs find the same mistakes.",
    ),
)
class OutputAndLoss(Check):
    """An error for a softmax or sigmoid before a loss of logits, a warning for a log_softmax, which changes nothing.

    The operation is read from the autograd graph; reshaping after it does not hide it.
    """

    quick = True

    def look(self, probe: Probe) -> Iterator[Finding]:
        prediction = probe.first.prediction
        if probe.loss_name not in OF_LOGITS or not isinstance(prediction, torch.Tensor):
            return
        last = last_operation(prediction)
        for name, harmless in (("LogSoftmax", True), ("Softmax", False), ("Sigmoid", False), ("LogSigmoid", False)):
            if last.startswith(f"{name}Backward"):
                function = {"LogSoftmax": "log_softmax", "LogSigmoid": "logsigmoid"}.get(name, name.lower())
                yield Finding(
                    "warning" if harmless else "error",
                    f"The network ends in {function}, but the loss {probe.loss_name} expects logits.",
                    f"outputs from {float(prediction.detach().min()):.3g} to {float(prediction.detach().max()):.3g}",
                    "outputs without an activation",
                    f"Remove the {function} from the network."
                    + (" It has no effect before this loss." if harmless else ""),
                )
                return


def last_operation(prediction: Tensor) -> str:
    """The name of the last node of the graph that does more than reshape, such as ``SoftmaxBackward0``; empty if there
    is none.
    """
    node = prediction.grad_fn
    reshaping = ("View", "Unsafe", "Reshape", "Squeeze", "Unsqueeze", "Permute", "Transpose", "T", "Select", "Clone")
    names = tuple(f"{name}{more}Backward" for name in reshaping for more in ("", "View"))
    while node is not None and node.name().startswith(names) and node.next_functions:
        node = node.next_functions[0][0]
    return node.name() if node is not None else ""


@register(
    "check",
    "loss_reduction",
    card=Card(
        "Checks whether a custom loss is a sum over the batch instead of a mean.",
        source="torch.nn.functional: reduction='mean' is the default",
        helps="To find reduction='sum': the step then depends on the batch size, and so does the reported loss.",
        interacts="Only for custom losses (target) of tensors.",
    ),
)
class LossReduction(Check):
    """A warning if the loss doubles, within 1%, when each sample is used twice. A mean does not change."""

    quick = True

    def look(self, probe: Probe) -> Iterator[Finding]:
        prediction, targets = probe.first.prediction, probe.batch.targets
        if probe.settings.loss.target is None:
            return
        if not isinstance(prediction, torch.Tensor) or not isinstance(targets, torch.Tensor):
            return
        made = probe.assembly
        with torch.no_grad():
            once, twice = (
                float(made.whole_loss(made.loss(torch.cat([prediction.detach()] * n), torch.cat([targets] * n))))
                for n in (1, 2)
            )
        if abs(once) > 1e-12 and abs(twice / once - 2) < 0.01:
            yield Finding(
                "warning",
                "The loss is a sum over the batch.",
                f"{once:.4g} for {len(targets)} samples, {twice:.4g} if each is used twice",
                "a mean, which is the same for both",
                "Use reduction='mean', or divide by the number of samples.",
            )
