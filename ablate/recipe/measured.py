"""The metrics of variants, and the keys of a recipe that refer to them: ``published`` and ``compare``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ablate.recipe.changes import Assignment
from ablate.recipe.monitored import LOSSES, better
from ablate.recipe.node import Node, show
from ablate.recipe.problems import Problems
from ablate.recipe.rows import Row
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.shape import Shape, available, did_you_mean
from ablate.recipe.variant import Compare, Variant

TEST_LOSS = "test_loss"
"""The loss on the test set, if there is one."""


def metrics_of(settings: Settings) -> dict[str, Choice | None]:
    """The losses (None) and metrics of a variant by label; also on the test set if its data can have one."""
    known: dict[str, Choice | None] = dict.fromkeys(LOSSES)
    known |= {choice.label: choice for choice in settings.metrics}
    if settings.data.target is not None or getattr(settings.data.options, "test", None):
        tested = [(TEST_LOSS, None), *((f"test_{choice.label}", choice) for choice in settings.metrics)]
        known = dict(tested) | known
        known = {name: known[name] for name in (*LOSSES, *known)}
    return known


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
            problems.add(value.position, f"{row.where}.published.{show(name)} (={show(value)}) must be a number.")
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
    """Read ``compare``. All variants must have the metric, and a loss is only compared if all of them minimise it.

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
            text = f"{show(variant.name)}: {why}, so {compare.metric} is not comparable. {way}"
            problems.add(variant.position, text)
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
    shape.only(("metric", "better", "at", "smallest_effect"))
    metric = shape.text("metric", "valid_loss")
    directions = set()
    for variant in measuring(variants, metric):
        known = metrics_of(variant.settings)
        if metric in known:
            directions.add(better(known[metric]))
            continue
        names = ", ".join(known)
        hint = did_you_mean(metric, known) or f" Add {show(metric)} to 'metrics'."
        shape.wrong("metric", f"must be a metric of all variants, but {show(variant.name)} only has {names}.{hint}")
        break
    own = {"at": _one_of(shape, "at", ("selected", "last", "best"))}
    own["better"] = _one_of(shape, "better", ("lower", "higher"))
    if own["better"] is None and "better" not in shape.entries:
        own["better"] = directions.pop() if len(directions) == 1 else None
        if own["better"] is None and variants and "metric" in shape.entries and len(problems) == 0:
            shape.wrong("metric", "requires compare.better. Set it to lower or higher.")
    given: dict[str, Any] = {key: value for key, value in own.items() if value is not None}
    return Compare(metric, **given, smallest_effect=_positive(shape, "smallest_effect"))


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
    directions = {better(metrics_of(variant.settings)[metric]) for variant in asked}
    if directions == {"lower"}:
        return Compare(metric, "lower", compare.at)
    if directions == {"higher"}:
        return Compare(metric, "higher", compare.at)
    raise ValueError(f"metric (={show(metric)}) requires a direction. Set compare.metric and compare.better instead.")


def overridden(node: Node | None, overrides: Sequence[Assignment]) -> Node | None:
    """``compare`` with what ``--set`` changes. Another metric has a direction and a smallest effect of its own."""
    for line in sorted(overrides, key=lambda line: line.path != "compare.metric"):
        key = line.path.partition(".")[2]
        if node is not None and node.mapping is None:  # reported where it is read
            return node
        node = node or Node({}, line.position)
        if key == "metric" and (there := node.child(key)) is not None and there.value != line.value.value:
            node = node.without("better", "smallest_effect")
        node = node.with_child(key, line.value, line.position)
    return node


def _positive(shape: Shape, key: str) -> float | None:
    node = shape.get(key)
    if node is None:
        return None
    number = node.value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number <= 0:
        shape.wrong(key, "must be a number greater than 0, in the unit of compare.metric.")
        return None
    return float(number)


def _one_of(shape: Shape, key: str, known: tuple[str, ...]) -> str | None:
    word = shape.text(key)
    if word and word not in known:
        shape.wrong(key, f"must be one of {', '.join(known)}.{did_you_mean(word, known)}")
        return None
    return word or None
