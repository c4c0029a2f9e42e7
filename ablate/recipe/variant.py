"""A variant after reading: its parent, its changes and its resolved settings; and what verdicts compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ablate.recipe.node import show
from ablate.recipe.problems import Position
from ablate.recipe.settings import Settings


@dataclass(frozen=True)
class Change:
    """One entry of a variant's ordered list of changes.

    ``row`` is the variant that made it; ``subject`` the trick's name or the dotted path; ``value`` what a recipe says about it.
    """

    row: str
    kind: Literal["add", "remove", "set"]
    subject: str
    value: Any = None

    def __str__(self) -> str:
        if self.kind == "set":
            return f"{self.subject} = {show(self.value, limit=200)}"
        if self.kind == "add":
            return f"+ {self.subject}" + ("" if self.value is None else f" {show(self.value, limit=200)}")
        return f"− {self.subject}"


@dataclass(frozen=True)
class Compare:
    """What verdicts are about. ``at``: the epoch that each row reports (its ``select``), or the last or best one for all rows.

    ``smallest_effect``, in the metric's unit and above zero: differences that are surely smaller than that are called ``no difference``.
    """

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"
    at: Literal["selected", "last", "best"] = "selected"
    smallest_effect: float | None = None


@dataclass(frozen=True)
class Variant:
    """One row: a name, a parent, its own changes, and the settings that result.

    ``of`` names the two rows whose effects a row of the design ``pairs`` puts together; the first of them is its parent.
    """

    name: str
    parent: str | None
    description: str
    changes: tuple[Change, ...]
    settings: Settings
    published: Mapping[str, float] = field(default_factory=dict)
    position: Position = field(default=Position(""), compare=False)
    of: tuple[str, ...] = ()
