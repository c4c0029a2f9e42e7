"""``monitor`` of a recipe or of a trick: a loss or metric of every epoch, and which direction is better."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.recipe.node import Node, show
from ablate.recipe.problems import Problems
from ablate.recipe.settings import Choice, Monitor
from ablate.registry import Named

LOSSES = ("train_loss", "train_loss_clean", "valid_loss")
"""Measured by every run, in addition to the recipe's metrics."""


def better(metric: Choice | None) -> str | None:
    """Which direction of a metric is better: lower for losses (None), unknown (None) for a target."""
    if metric is None:
        return "lower"
    return getattr(metric.options, "better", None) if isinstance(metric.options, Named) else None


class Monitored:
    """The losses and metrics that a variant can monitor. ``clean``: ``train_loss_clean`` is measured every epoch."""

    def __init__(self, metrics: Sequence[Choice], *, clean: bool, problems: Problems) -> None:
        self.known: dict[str, Choice | None] = dict.fromkeys(LOSSES) | {choice.label: choice for choice in metrics}
        self.clean, self.problems = clean, problems

    def direction(self, metric: Node, given: str | None, path: str) -> str | None:
        """Which direction is better: the given one, or the metric's own. None, and a problem, for an invalid metric."""
        text = rule = None
        if metric.text not in self.known:
            rule = f"must be one of {', '.join(self.known)}. Add other metrics to 'metrics'."
        elif metric.text == "train_loss_clean" and not self.clean:
            rule = "must be computed every epoch. Set clean_train_loss: every, or monitor train_loss."
        elif (direction := given or better(self.known[metric.text])) is None:
            text = f"{path}.better is required for a custom metric. Set it to lower or higher."
        else:
            return direction
        self.problems.add(metric.position, text or f"{path}.metric (={show(metric)}) {rule}")
        return None

    def in_trick(self, choice: Choice, arguments: Node) -> Choice | None:
        """A trick with its own ``monitor`` completed; None, and a problem, for an invalid metric."""
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
