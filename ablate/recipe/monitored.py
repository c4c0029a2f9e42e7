"""What is monitored, by a recipe or by one of its tricks: a number that every epoch measures, better in its own direction."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.recipe.node import Node, show
from ablate.recipe.problems import Problems
from ablate.recipe.settings import Choice, Monitor
from ablate.registry import Named

LOSSES = ("train_loss", "train_loss_clean", "valid_loss")
"""What every run measures, beside the recipe's metrics."""


def better(metric: Choice | None) -> str | None:
    """Which direction of a metric is better; losses (None) are better lower, a target's metric does not say."""
    if metric is None:
        return "lower"
    return getattr(metric.options, "better", None) if isinstance(metric.options, Named) else None


class Monitored:
    """What can be monitored in a row with these metrics. ``clean``: whether every epoch measures ``train_loss_clean``."""

    def __init__(self, metrics: Sequence[Choice], *, clean: bool, problems: Problems) -> None:
        self.known: dict[str, Choice | None] = dict.fromkeys(LOSSES) | {choice.label: choice for choice in metrics}
        self.clean, self.problems = clean, problems

    def direction(self, metric: Node, given: str | None, path: str) -> str | None:
        """Which direction is better: the one given, else the metric's own. None, and a problem, where it cannot be monitored."""
        text = rule = None
        if metric.text not in self.known:
            rule = f"must be one of {', '.join(self.known)}. Name other metrics under 'metrics' first."
        elif metric.text == "train_loss_clean" and not self.clean:
            rule = "is measured at the reported and the last epoch only. Set clean_train_loss: every, or monitor train_loss."
        elif (direction := given or better(self.known[metric.text])) is None:
            text = f"{path}.better is missing: a target's metric does not say it. Write lower or higher."
        else:
            return direction
        self.problems.add(metric.position, text or f"{path}.metric (={show(metric)}) {rule}")
        return None

    def in_trick(self, choice: Choice, arguments: Node) -> Choice | None:
        """A trick whose own ``monitor`` is complete; None, and a problem, where that cannot be monitored."""
        monitor = getattr(choice.options, "monitor", None)
        node = arguments.child("monitor")
        metric = node.child("metric") if node is not None and node.mapping is not None else None
        if not isinstance(choice.options, Named) or not isinstance(monitor, Monitor) or metric is None:
            return choice
        given = monitor.better if "better" in monitor.model_fields_set else None
        direction = self.direction(metric, given, f"tricks.{choice.label}.monitor")
        if direction is None:
            return None
        complete = Monitor.model_validate({"metric": monitor.metric, "better": direction})
        return Choice(choice.kind, choice.name, None, choice.options.model_copy(update={"monitor": complete}))
