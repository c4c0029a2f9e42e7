"""Checks that train for a few hundred steps on a few samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe

LARGE = 0.3
"""A step of this share of the weights is large: if the loss does not fall, the learning rate is too high."""


@register(
    "check",
    "overfits",
    card=Card(
        "Trains on 32 samples only: the loss must fall to nearly 0.",
        source="Karpathy 2019, A Recipe for Training Neural Networks: overfit one batch; TheDeepChecker (16 samples, "
        "1,000 steps)",
        helps="To find everything that keeps a network from learning at all: wrong targets, detached layers, an "
        "activation before the loss, dead units.",
        costs="Up to 300 steps with each of two learning rates, without dropout, augmentation and penalties.",
        interacts="Networks with fewer trained parameters than there are targets are left out. The smallest value "
        "of a custom loss is unknown, so it only has to halve, as do losses of several classes per sample.",
    ),
)
class Overfits(Check):
    """Adam with each learning rate in turn; fails if no loss falls below a share of the loss at the start."""

    rates: tuple[float, ...] = Field(default=(3e-3, 1e-4), description="learning rates of Adam")
    steps: int = Field(default=300, ge=1, description="number of steps with each rate")
    share: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.05, description="largest loss at the end, as a share of that at the start"
    )
    share_others: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.5,
        description="the same for custom losses, whose smallest value is unknown, and for several classes per sample",
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import memory_of

        share = self.share if probe.loss_floor_is_zero and not probe.spec.places else self.share_others
        memory = memory_of(probe, self.rates, self.steps, share)
        if memory is None or memory.best <= share * memory.start:
            return
        yield Finding(
            "warning",
            "The network cannot memorize a few samples.",
            f"loss {memory.best:.3g} after {memory.steps} steps, {memory.best / memory.start:.0%} of that at the start",
            f"at most {share:.0%}",
            "Check the targets, the output and the loss, that all layers are trained, and that the network is large "
            "enough.",
        )


@register(
    "check",
    "evaluation_gap",
    card=Card(
        "Compares the losses in training and evaluation mode on memorized samples.",
        source="TheDeepChecker (gap of at most 50%)",
        helps="To find a batch norm whose running statistics do not fit the data, and layers that behave "
        "differently in evaluation mode.",
        costs="The training of the check overfits, and 40 passes.",
    ),
)
class EvaluationGap(Check):
    """After memorizing 32 samples, batch norm sees them 40 more times; then the losses are compared."""

    share: Annotated[float, Range(gt=0)] = Field(
        default=0.5, description="largest difference, as a share of the loss at the start"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import memory_of

        memory = memory_of(probe)
        if memory is None or not math.isfinite(memory.evaluated):
            return
        gap = abs(memory.evaluated - memory.settled)
        if gap > self.share * memory.start:
            yield Finding(
                "warning",
                "The loss in evaluation mode differs from that in training mode on the same samples.",
                f"{memory.evaluated:.3g} in evaluation mode, {memory.settled:.3g} in training mode",
                f"a difference of at most {self.share:.0%} of the loss at the start ({memory.start:.3g})",
                "Check the momentum of batch norm, track_running_stats, and what the network does differently in "
                "evaluation mode.",
            )


@register(
    "check",
    "uses_inputs",
    card=Card(
        "Trains on 32 samples with and without their inputs: the loss must be lower with them.",
        source="Karpathy 2019, A Recipe for Training Neural Networks: input-independent baseline; TheDeepChecker",
        helps="To find a network that ignores its inputs, a broadcast of (N, 1) and (N,), or inputs without "
        "information.",
        costs="Up to 100 steps.",
    ),
)
class UsesInputs(Check):
    """The loss with inputs, as a share of that with zeros (or of the best constant prediction, if it is known)."""

    share: Annotated[float, Range(gt=0)] = Field(
        default=0.9, description="largest loss with inputs, as a share of that with zeros"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import memory_of, without_inputs

        memory = memory_of(probe)
        if memory is None:
            return
        blind = without_inputs(probe, memory)
        if blind is not None and blind > 0 and memory.best > self.share * blind:
            yield Finding(
                "warning",
                "The network learns no more from the inputs than from zeros.",
                f"loss {memory.best:.3g} with inputs, {blind:.3g} with zeros",
                f"at most {self.share:.0%} of the loss with zeros",
                "Check that the network uses its inputs, that predictions and targets have the same shape in the loss, "
                "and what the inputs are.",
            )


@register(
    "check",
    "labels",
    card=Card(
        "Trains with true and with shuffled labels: the true ones must give the lower validation loss.",
        source="Karpathy 2019, A Recipe for Training Neural Networks; Zhang et al. 2017, Understanding Deep Learning "
        "Requires Rethinking Generalization",
        helps="To find labels that do not belong to their inputs, in one split or in both.",
        costs="Up to twice 60 steps on up to 128 samples.",
        interacts="For one target per sample. A finding may also mean that the labels are hard to predict.",
    ),
)
class Labels(Check):
    """The smallest validation loss during training, as a share of that with shuffled labels."""

    share: Annotated[float, Range(gt=0)] = Field(
        default=0.97, description="largest validation loss, as a share of that with shuffled labels"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import labels

        found = labels(probe)
        if found is None:
            return
        true, shuffled = found
        if true > self.share * shuffled:
            yield Finding(
                "warning",
                "The labels do not help to predict validation samples.",
                f"validation loss {true:.3g}, with shuffled labels {shuffled:.3g}",
                f"at most {self.share:.0%} of the loss with shuffled labels",
                "Check that inputs and labels have the same order in both splits, and that both number the classes "
                "in the same way.",
            )


@register(
    "check",
    "learning_rate",
    card=Card(
        "Trains for 100 steps with the settings of the recipe: the loss must fall.",
        source="TheDeepChecker; Smith 2017, Cyclical Learning Rates",
        helps="To find a learning rate that is far too high or far too low.",
        costs="Up to 100 steps on at least 64 samples, with the tricks of the recipe.",
        interacts="The whole schedule of the learning rate, including warmup, is compressed into these steps.",
    ),
)
class LearningRate(Check):
    """The loss of fixed samples without dropout, after 100 steps on them. Too high: above the start, or not a number;
    too low: it has hardly fallen.
    """

    steps: int = Field(default=100, ge=1, description="number of steps")
    fall: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.01, description="smallest fall of the loss, as a share of the loss at the start"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import drill_of

        drill = drill_of(probe, self.steps)
        if drill is None:
            return
        start, end = drill.losses[0], drill.losses[-1]
        rate = f"learning rate {drill.rate:.3g}, " if drill.rate is not None else ""
        seen = f"{rate}loss {start:.3g} before and {end:.3g} after {drill.steps} steps"
        large = drill.ratio is not None and drill.ratio > LARGE
        if not math.isfinite(end) or end > start * (1.005 if not large else 1 - self.fall):
            yield Finding(
                "warning",
                "The loss does not fall: the learning rate of the recipe is too high.",
                seen,
                "a lower loss than at the start",
                "Use a smaller learning rate (a tenth), a warmup, or clip_norm.",
            )
        elif end > (1 - self.fall) * start:
            yield Finding(
                "warning",
                "The loss hardly falls with the learning rate of the recipe.",
                seen,
                f"a fall of at least {self.fall:.0%}",
                "Use a larger learning rate (ten times), and check that the network is trained.",
            )


@register(
    "check",
    "update_size",
    card=Card(
        "Compares the size of a step with the size of the weights.",
        source="CS231n, Neural Networks 3: the ratio should be around 1e-3; TheDeepChecker (1e-4 to 1e-1)",
        helps="To find a learning rate that is far too high or far too low, even if the loss does not show it yet.",
        costs="The steps of the check learning_rate.",
    ),
)
class UpdateSize(Check):
    """The largest ‖change‖/‖weights‖ in the first 20 steps, the median over the layers with weights."""

    low: Annotated[float, Range(ge=0)] = Field(default=1e-6, description="smallest ratio")
    high: Annotated[float, Range(gt=0)] = Field(default=1.0, description="largest ratio")

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.trainings import drill_of

        drill = drill_of(probe)
        if drill is None or drill.ratio is None or not math.isfinite(drill.ratio):
            return
        if not self.low <= drill.ratio <= self.high:
            large = drill.ratio > self.high
            yield Finding(
                "warning",
                f"The steps are too {'large' if large else 'small'} relative to the weights.",
                f"ratio of step to weights: {drill.ratio:.2g}",
                f"{self.low:g} to {self.high:g}",
                f"Use a {'smaller' if large else 'larger'} learning rate.",
            )
