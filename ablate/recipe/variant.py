"""A loaded variant with its parent, changes and resolved settings, and the metric that verdicts compare."""

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

    ``row`` is the variant's name; ``subject`` the trick's name or the dotted path; ``value`` as in the recipe.
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
    """The metric that verdicts compare.

    ``at``: the epoch that each variant reports (its ``select``), or the last or the best epoch of all variants.
    ``smallest_effect``, in the metric's unit: the verdict is ``no difference`` if the whole interval lies below it.
    ``prior``: whether the scatter of earlier studies of the same data is used.
    """

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"
    at: Literal["selected", "last", "best"] = "selected"
    smallest_effect: float | None = None
    prior: Literal["on", "off"] = field(default="on", repr=False)  # a family of earlier versions stays the same


@dataclass(frozen=True)
class Variant:
    """A variant: its name, parent, own changes, and resulting settings.

    ``of``: in the design ``pairs``, the two variants that this one combines, the first of which is its parent.
    ``tricks``: in a design, all tricks of the variant.
    """

    name: str
    parent: str | None
    description: str
    changes: tuple[Change, ...]
    settings: Settings
    published: Mapping[str, float] = field(default_factory=dict)
    position: Position = field(default=Position(""), compare=False)
    of: tuple[str, ...] = ()
    tricks: tuple[str, ...] = field(default=(), compare=False)
