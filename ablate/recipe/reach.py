"""``reach``: target values of metrics. The table shows the epochs and seconds until a variant reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ablate.recipe.measured import measuring, metrics_of
from ablate.recipe.monitored import better
from ablate.recipe.node import show
from ablate.recipe.problems import Problems
from ablate.recipe.shape import Shape, available
from ablate.recipe.variant import Compare, Variant


@dataclass(frozen=True)
class Reach:
    """A target value of a metric of every epoch; ``better`` is the side on which it counts as reached."""

    metric: str
    value: float
    better: Literal["lower", "higher"] = "lower"

    def reached(self, value: float | None) -> bool:
        """Whether a value is at least as good as the target; False for None."""
        if value is None:
            return False
        return value <= self.value if self.better == "lower" else value >= self.value


def read_reach(top: Shape, variants: Sequence[Variant], compare: Compare, problems: Problems) -> tuple[Reach, ...]:
    """``reach: {valid_loss: 0.0015}``: target values of losses or metrics that all variants compute every epoch."""
    found = []
    for name, node, place in top.pairs("reach", "{valid_loss: 0.0015}"):
        where, value = f"reach.{show(name)}", node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            problems.add(node.position, f"{where} (={show(node)}) must be a number.")
            continue
        if name == "train_loss_clean" or name.startswith("test_"):
            problems.add(place, f"{where} must be train_loss, valid_loss or a metric.")
            continue
        asked = measuring(variants, name)
        lacking = next((one for one in asked if name not in metrics_of(one.settings)), None)
        if lacking is not None:
            hint = available(name, metrics_of(lacking.settings))
            problems.add(place, f"{where} must be a metric of all variants; {show(lacking.name)} lacks it.{hint}")
            continue
        ways = {better(metrics_of(one.settings)[name]) for one in asked}
        way = compare.better if name == compare.metric else ways.pop() if len(ways) == 1 else None
        if way not in ("lower", "higher"):
            problems.add(place, f"{where} requires a direction. Set compare.metric to it, and compare.better.")
            continue
        found.append(Reach(name, float(value), "lower" if way == "lower" else "higher"))
    return tuple(found)
