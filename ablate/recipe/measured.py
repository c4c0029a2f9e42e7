"""The losses and metrics of variants, and the keys that refer to them: ``monitor published compare reach``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ablate.recipe.changes import Assignment
from ablate.recipe.comparison import at_rule, read_at, read_failed, read_smallest_effect, read_word
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.own_training import own_training
from ablate.recipe.rows import Row
from ablate.recipe.settings import Choice, Monitor, Settings
from ablate.recipe.shape import Shape, available, did_you_mean
from ablate.recipe.variant import Compare, Variant
from ablate.registry import Named, entries

LOSSES = ("train_loss", "train_loss_clean", "valid_loss")
"""Measured by every run, in addition to the recipe's metrics."""


OWN_LOSSES = ("train_loss", "valid_loss")
"""Losses that the user's own training may report."""


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


TEST_LOSS = "test_loss"
"""The loss on the test set, if there is one."""


def metrics_of(settings: Settings) -> dict[str, Choice | None]:
    """The losses (None) and metrics of a variant by label; also on the test set if its data can have one."""
    if own_training(settings.trainer) is not None:
        return dict.fromkeys(OWN_LOSSES) | {choice.label: choice for choice in settings.metrics}
    known: dict[str, Choice | None] = dict.fromkeys(LOSSES)
    if settings.data.target is not None or getattr(settings.data.options, "test", None):
        known |= {TEST_LOSS: None} | {f"test_{choice.label}": choice for choice in settings.metrics}
    return known | {choice.label: choice for choice in settings.metrics}


def scaled_by(settings: Settings) -> list[dict[str, Any]]:
    """The tricks that change the unit of targets, and so of losses (``scales_targets = True``), as plain values."""
    return [choice.dump() for choice in settings.tricks if getattr(choice.options, "scales_targets", False)]


def read_published(row: Row, settings: Settings | None, problems: Problems) -> dict[str, float]:
    """Published results for this variant."""
    node = row.published
    if node is None:
        return {}
    found: dict[str, float] = {}
    shape = Shape(Node({"published": node}, node.position), row.where, "", problems)
    for name, value, place in shape.pairs("published", "{valid_loss: 0.0033}"):
        number = value.value
        if settings is not None and name not in metrics_of(settings):
            rule = f"is not a metric of this variant.{available(name, metrics_of(settings))}"
            problems.add(place, f"{row.where}.published.{show(name)} {rule}")
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            problems.wrong(value, f"{row.where}.published.{show(name)}", "must be a number.")
        else:
            found[name] = float(number)
    return found


def stages(variants: Sequence[Variant]) -> set[str]:
    """Names of the variants that others require.

    They may have other losses and metrics, as an autoencoder used for pretraining has, and are then not compared.
    """
    return {source for variant in variants for source in variant.settings.sources}


def measuring(variants: Sequence[Variant], metric: str) -> list[Variant]:
    """The variants that must have a metric: all except those that others require and that do not have it."""
    passed = stages(variants)
    return [one for one in variants if metric in metrics_of(one.settings) or one.name not in passed]


def read_compare(
    top: Shape, variants: Sequence[Variant], problems: Problems, overrides: Sequence[Assignment] = ()
) -> Compare:
    """Read ``compare``. All variants must have the metric, and a loss is only compared if all of them minimize it.

    Variants that others require are excepted.
    """
    node = overridden(top.get("compare"), overrides)
    compare = _read(node, variants, problems) if node is not None else Compare()
    passed = stages(variants)
    alike = [variant for variant in variants if variant.name not in passed]
    first = alike[0] if alike and compare.metric in (*LOSSES, TEST_LOSS) else None
    for variant in alike:
        if first and scaled_by(variant.settings) != scaled_by(first.settings):
            why = f"The targets are scaled differently from those of {show(first.name)}"
            way = "Compare a metric instead, which uses the original unit: compare: {metric: …}."
            problems.add(variant.position, f"{show(variant.name)}: {why}, so {compare.metric} is not comparable. {way}")
            break
        mine, theirs = variant.settings.loss, first.settings.loss if first else variant.settings.loss
        if first and mine.dump() != theirs.dump():
            other = f"the loss of {show(first.name)}"
            what = f"differs from {other} (={theirs.label})"
            if mine.label == theirs.label:
                what = f"has different settings from {other}"
            why = f"loss (={mine.label}) {what}, so {compare.metric} is not comparable."
            way = "Compare a metric instead, such as compare: {metric: accuracy}."
            problems.add(variant.position, f"{show(variant.name)}: {why} {way}")
            break
    return compare


def _read(node: Node, variants: Sequence[Variant], problems: Problems) -> Compare:
    shape = Shape(node, "compare", "compare", problems)
    shape.only(("metric", "better", "at", "scale", "smallest_effect", "failed", "prior"))
    metric = shape.text("metric", "valid_loss")
    directions = set()
    for variant in measuring(variants, metric):
        known = metrics_of(variant.settings)
        if metric in known:
            directions.add(better(known[metric]))
            continue
        names = ", ".join(known)
        free = own_training(variant.settings.trainer) is not None
        hint = did_you_mean(metric, known) or (
            f" Add {show(metric)} to 'metrics'."
            if free or metric in {entry.name for entry in entries("metric")}
            else " For a list, run: ablate catalog metric"
        )
        shape.wrong("metric", f"must be a metric of all variants, but {show(variant.name)} only has {names}.{hint}")
        break
    way = read_word(shape, "better", ("lower", "higher"))
    if way is None and "better" not in shape.entries:
        way = directions.pop() if len(directions) == 1 else None
        if way is None and variants and "metric" in shape.entries and len(problems) == 0:
            shape.wrong("metric", "requires compare.better. Set it to lower or higher.")
    scale = read_word(shape, "scale", ("linear", "log"))
    asked = [one for one in measuring(variants, metric) if metric in metrics_of(one.settings)]
    own = {"better": way, "at": read_at(shape, metric, asked), "scale": scale}
    own |= {"smallest_effect": read_smallest_effect(shape, scale), "failed": read_failed(shape, way)}
    own["prior"] = read_word(shape, "prior", ("on", "off"))
    given: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
    return Compare(metric, **given)


def comparing(variants: Sequence[Variant], compare: Compare, metric: str) -> Compare:
    """The same comparison for another metric. Raises ValueError if a variant lacks it or its direction is unknown."""
    if metric == compare.metric:
        return compare
    asked = measuring(variants, metric)
    for variant in asked:
        known = metrics_of(variant.settings)
        if metric not in known:
            rule = f"must be a metric of all variants, but {show(variant.name)} only has {', '.join(known)}."
            raise ValueError(f"metric (={show(metric)}) {rule}{did_you_mean(metric, known)}")
    if (broken := at_rule(compare.at, metric, asked)) is not None:
        raise ValueError(f"metric (={show(metric)}) cannot be compared: compare.at (={compare.at}) {broken}")
    directions = {better(metrics_of(variant.settings)[metric]) for variant in asked}
    if directions == {"lower"}:
        return Compare(metric, "lower", compare.at, prior=compare.prior)
    if directions == {"higher"}:
        return Compare(metric, "higher", compare.at, prior=compare.prior)
    raise ValueError(f"metric (={show(metric)}) requires a direction. Set compare.metric and compare.better instead.")


def overridden(node: Node | None, overrides: Sequence[Assignment]) -> Node | None:
    """``compare`` with what ``--set`` changes. Another metric has settings of its own, except ``at``."""
    for line in sorted(overrides, key=lambda line: line.path != "compare.metric"):
        key = line.path.partition(".")[2]
        if node is not None and node.mapping is None:  # reported where it is read
            return node
        node = node or Node({}, line.position)
        if key == "metric" and (there := node.child(key)) is not None and there.value != line.value.value:
            node = node.without("better", "scale", "smallest_effect", "failed")
        node = node.with_child(key, line.value, line.position)
    return node


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
            problems.wrong(node, where, "must be a number.")
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
