"""Changes without an effect on the loss of the first step, although they act before it."""

from __future__ import annotations

import math
from typing import Any

from ablate.evidence.seeds import SAME, Seeds
from ablate.recipe.settings import Choice, Settings
from ablate.schedules import Schedule
from ablate.tricks.trick import Trick, overrides

AT_ONCE = ("data", "model", "init", "loss", "batch_size", "shuffle", "precision")
"""Settings that change the first batch, the network or the loss. Optimizers act after the first loss, epochs later
still.
"""

HOOKS = ("on_data", "on_model", "on_batch", "on_loss")
"""Hooks that are called before the first loss is known."""


def inert(row: Seeds, parent: Seeds) -> bool:
    """Whether every seed's first loss equals the parent's, although the variant's change acts before it."""
    common = [seed for seed in row.finished if seed in parent.finished]
    pairs = [
        (mine.first_loss, theirs.first_loss)
        for seed in common
        for mine, theirs in zip(row.runs[seed], parent.runs[seed], strict=False)
    ]
    return (
        bool(pairs)
        and all(same(*pair) for pair in pairs)
        and acts_at_once(row.variant.settings, parent.variant.settings)
    )


def same(mine: float | None, theirs: float | None) -> bool:
    """Whether both are known and differ at most by rounding."""
    return mine is not None and theirs is not None and math.isclose(mine, theirs, rel_tol=SAME)


def acts_at_once(row: Settings, parent: Settings) -> bool:
    """Whether a difference between the two acts before the first loss. A trick with a schedule may start without
    effect.
    """
    if any(plain(getattr(row, field)) != plain(getattr(parent, field)) for field in AT_ONCE):
        return True
    mine, theirs = ([(choice, choice.dump()) for choice in side.tricks] for side in (row, parent))
    differing = [choice for choice, dumped in mine if all(dumped != other for _, other in theirs)]
    differing += [choice for choice, dumped in theirs if all(dumped != other for _, other in mine)]
    return any(early(choice) for choice in differing)


def early(choice: Choice) -> bool:
    """Whether a trick certainly acts before the first loss; for custom tricks, this is unknown."""
    trick = choice.options
    return (
        isinstance(trick, Trick)
        and trick.shows_at_once
        and not in_time(tuple(trick.__dict__.values()))
        and any(overrides(trick, hook) for hook in HOOKS)
    )


def in_time(value: Any) -> bool:
    """Whether a value contains a schedule."""
    return isinstance(value, Schedule) or (isinstance(value, tuple) and any(map(in_time, value)))


def plain(value: Any) -> Any:
    """A choice as plain values; anything else as it is."""
    return value.dump() if isinstance(value, Choice) else value
