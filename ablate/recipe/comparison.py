"""The settings of ``compare`` beside the metric: ``at scale smallest_effect failed``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

from ablate.recipe.node import FLOAT, show
from ablate.recipe.own_training import own_training
from ablate.recipe.shape import Shape, did_you_mean
from ablate.recipe.variant import At, Failed, MeanOfLast, Variant

EPOCHS = ("selected", "last", "best")
FAILED = re.compile(rf"([<>]) ?({FLOAT.pattern})")


def read_at(shape: Shape, metric: str, variants: Sequence[Variant]) -> At | None:
    """``at: last`` or ``at: {mean_of_last: 5}``, of a metric that all ``variants`` have. None, and a problem, for
    anything else.
    """
    node = shape.get("at")
    if node is None:
        return None
    if node.mapping is None:
        if node.value in EPOCHS:
            if (rule := at_rule(node.value, metric, variants)) is not None:  # type: ignore[arg-type]
                shape.wrong("at", rule)
            return node.value  # type: ignore[return-value]  # one of them
        hint = did_you_mean(node.text, EPOCHS) if node.text else ""
        shape.wrong("at", f"must be one of {', '.join(EPOCHS)}, or {{mean_of_last: 5}}.{hint}")
        return None
    below = Shape(node, "compare.at", "compare.at", shape.problems)
    below.only(("mean_of_last",))
    count = below.get("mean_of_last")
    if count is None:
        shape.wrong("at", f"must be one of {', '.join(EPOCHS)}, or {{mean_of_last: 5}}.")
    elif type(count.value) is not int or count.value < 1:
        below.wrong("mean_of_last", "must be an integer of at least 1: the number of epochs to average over.")
    elif (rule := at_rule(MeanOfLast(count.value), metric, variants)) is not None:
        below.wrong("mean_of_last", rule)
    else:
        within = any(one.settings.evaluate.every or own_training(one.settings.trainer) for one in variants)
        return MeanOfLast(count.value, "points" if within else "epochs")
    return None


def at_rule(at: At, metric: str, variants: Sequence[Variant]) -> str | None:
    """The rule that comparing the metric at these epochs breaks, as the end of a sentence."""
    if isinstance(at, MeanOfLast):
        return _averaged_rule(at.count, metric, variants)
    if metric != "train_loss_clean" or at == "selected":
        return None
    for one in variants:
        settings = one.settings
        if own_training(settings.trainer) is None and settings.clean_train_loss != "every" and settings.select != at:
            return (
                f"requires {metric} of every epoch, but {show(one.name)} computes it only at its selected epoch "
                f"(={settings.select}). Set clean_train_loss: every, or compare.at: selected."
            )
    return None


def _averaged_rule(count: int, metric: str, variants: Sequence[Variant]) -> str | None:
    """The rule that a mean of the metric over the last ``count`` epochs breaks, as the end of a sentence."""
    for one in variants:
        settings, name = one.settings, show(one.name)
        clean = metric == "train_loss_clean" and settings.clean_train_loss != "every"
        if clean or metric.startswith("test_") or settings.joined:
            way = "Set clean_train_loss: every, or compare" if clean else "Compare"
            return f"requires a metric of every epoch, but {name} computes {metric} once. {way} another metric."
        if settings.select == "best":
            return f"cannot be combined with select: best ({name}). Set select: last."
        if settings.trick("early_stop") is not None:
            return f"cannot be combined with early_stop ({name}), which ends a run by its results. Remove it."
        if 0 < settings.planned_epochs < count and not settings.evaluate.every:
            return f"must be at most the number of epochs of {name} (={settings.epochs:g})."
    return None


def read_smallest_effect(shape: Shape, scale: str | None) -> float | None:
    """A difference above 0, or a ratio above 1."""
    if (node := shape.get("smallest_effect")) is None:
        return None
    number = node.value
    log = scale == "log"
    if isinstance(number, bool) or not isinstance(number, (int, float)) or number <= int(log):
        rule = "must be a ratio greater than 1 with compare.scale: log, such as 1.02 (a factor of 1.02 either way)."
        shape.wrong(
            "smallest_effect", rule if log else "must be a number greater than 0, in the unit of compare.metric."
        )
        return None
    return float(number)


def read_failed(shape: Shape, better: str | None) -> Failed | None:
    """``failed: "> 1.5"``: on the worse side of a limit."""
    if (node := shape.get("failed")) is None:
        return None
    found = FAILED.fullmatch(node.text.strip()) if node.text else None
    if found is None or not math.isfinite(float(found[2])):
        shape.wrong("failed", 'must be a limit of compare.metric, such as "> 1.5" or "< 0.2" in quotes.')
        return None
    sign: Literal[">", "<"] = ">" if found[1] == ">" else "<"
    if better is not None and (sign == ">") != (better == "lower"):
        other = "<" if sign == ">" else ">"
        shape.wrong("failed", f'must be the worse side, as {better} is better: "{other} {found[2]}".')
        return None
    return Failed(sign, float(found[2]))


def read_word(shape: Shape, key: str, known: tuple[str, ...]) -> Any:
    """One of these words, None if it is missing."""
    word = shape.text(key)
    if word and word not in known:
        shape.wrong(key, f"must be one of {', '.join(known)}.{did_you_mean(word, known)}")
        return None
    return word or None
