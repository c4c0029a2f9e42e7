"""Marks that rows are to reach: how many epochs and seconds they take for it is part of the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.recipe.measured import measuring, metrics_of
from ablate.recipe.monitored import better
from ablate.recipe.node import show
from ablate.recipe.problems import Problems
from ablate.recipe.shape import Shape, did_you_mean
from ablate.recipe.variant import Compare, Variant


@dataclass(frozen=True)
class Reach:
    """A value of a metric that is measured every epoch, and from which side it is reached."""

    metric: str
    value: float
    better: Literal["lower", "higher"] = "lower"

    def reached(self, value: float | None) -> bool:
        """Whether a value is as good as that; what is not known is not."""
        if value is None:
            return False
        return value <= self.value if self.better == "lower" else value >= self.value


def read_reach(top: Shape, variants: Sequence[Variant], compare: Compare, problems: Problems) -> tuple[Reach, ...]:
    """``reach: {valid_loss: 0.0015}``: values of losses or metrics that every row measures each epoch."""
    found = []
    for name, node, place in top.pairs("reach", "{valid_loss: 0.0015}"):
        where, value = f"reach.{show(name)}", node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            problems.add(node.position, f"{where} (={show(node)}) must be a number.")
            continue
        if name == "train_loss_clean" or name.startswith("test_"):
            problems.add(place, f"{where} is not measured every epoch. Name train_loss, valid_loss or a metric.")
            continue
        asked = measuring(variants, name)
        lacking = next((one for one in asked if name not in metrics_of(one.settings)), None)
        if lacking is not None:
            known = metrics_of(lacking.settings)
            hint = did_you_mean(name, known) or f" {lacking.name} has {', '.join(known)}."
            problems.add(place, f"{where} must be measured in every row.{hint}")
            continue
        ways = {better(metrics_of(one.settings)[name]) for one in asked}
        way = compare.better if name == compare.metric else ways.pop() if len(ways) == 1 else None
        if way not in ("lower", "higher"):
            problems.add(
                place,
                f"{where} does not say which direction is better. Name the metric under 'compare', with 'better'.",
            )
            continue
        found.append(Reach(name, float(value), "lower" if way == "lower" else "higher"))
    return tuple(found)
