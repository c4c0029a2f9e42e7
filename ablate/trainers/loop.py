"""The built-in training loop, and variants that combine the predictions of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ablate.registry import Card, register
from ablate.trainers.trainer import Trainer

if TYPE_CHECKING:
    from ablate.data.dataset import Parts
    from ablate.engine.contract import Assignment, Outcome, Report, State


@register(
    "trainer",
    "loop",
    card=Card("The built-in training loop for all models, losses and tricks; the default."),
)
class Loop(Trainer):
    """Trains with the sections and tricks of the recipe (`ablate.engine.training`)."""

    stacks: ClassVar[bool] = True

    def train(self, assignment: Assignment, report: Report, state: State | None) -> Sequence[Outcome]:
        from ablate.engine.training import train

        return train(assignment, _data(assignment), report, state)


@register(
    "trainer",
    "joined",
    card=Card(
        "Evaluates the combined predictions of other variants. Written as joined: [a, b] in a variant.",
        costs="Nothing is trained.",
    ),
)
class Joined(Trainer):
    """Evaluates the combined predictions of its members; nothing is trained."""

    stacks: ClassVar[bool] = True
    members: tuple[str, ...] = Field(description="the variants whose predictions are combined")

    def train(self, assignment: Assignment, report: Report, state: State | None) -> Sequence[Outcome]:
        from ablate.trainers.shared.joint_evaluation import judge

        return judge(assignment, _data(assignment), report, state)


def _data(assignment: Assignment) -> Parts:
    """The data of an assignment, none of which the variants that it requires were trained on if they are judged."""
    from ablate.data.load import load_parts
    from ablate.trainers.shared.leakage import check_leaks

    settings = assignment.settings
    double = settings.precision == "float64"
    parts = load_parts(
        settings.data, assignment.folder, assignment.folds, assignment.fold, double=double, form=settings.batch
    )
    if settings.sources:
        check_leaks(assignment, parts)
    return parts
