"""A loaded variant with its parent, changes and resolved settings, and the metric that verdicts compare."""

from __future__ import annotations

import math
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
class MeanOfLast:
    """Compare the mean over the last ``count`` points of each run's curve.

    ``unit``: what points are; not ``epochs`` if a variant is also evaluated within epochs, or trained by other code.
    """

    count: int
    unit: Literal["epochs", "points"] = "epochs"

    def __str__(self) -> str:
        """As it is stored, whatever points are."""
        return f"mean_of_last: {self.count}"

    @property
    def words(self) -> str:
        """``mean of the last 5 epochs``."""
        return f"mean of the last {self.count} {self.unit if self.count > 1 else self.unit[:-1]}"


At = Literal["selected", "last", "best"] | MeanOfLast
"""The epoch at which a metric is compared, or the epochs over which it is averaged."""


@dataclass(frozen=True)
class Failed:
    """The values of the compared metric that count as a failed training: above (``>``) or below (``<``) a limit."""

    sign: Literal[">", "<"]
    limit: float

    def __str__(self) -> str:
        return f"{self.sign} {self.limit!r}"

    def __contains__(self, value: float) -> bool:
        return value > self.limit if self.sign == ">" else value < self.limit


@dataclass(frozen=True)
class Compare:
    """The metric that verdicts compare.

    ``at``: the epoch that each variant reports (its ``select``), the last or the best epoch of all variants, or the
    mean over the last epochs. ``scale``: differences of values, or of their natural logarithms. ``smallest_effect``, in
    the metric's unit (with ``scale: log`` a ratio above 1): the verdict is ``no difference`` if the whole interval lies
    below it. Without ``failed``, no value counts as a failed training. ``prior``: whether the scatter of
    earlier studies of the same data is used.
    """

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"
    at: At = "selected"
    smallest_effect: float | None = None
    scale: Literal["linear", "log"] = "linear"
    failed: Failed | None = None
    prior: Literal["on", "off"] = "on"

    def __str__(self) -> str:
        """The text that families of verdicts are identified by. A setting at its default leaves no trace."""
        shown = [f"{key}={getattr(self, key)!r}" for key in ("metric", "better")]
        shown += [f"at={str(self.at)!r}", f"smallest_effect={self.smallest_effect!r}"]
        shown += [f"scale={self.scale!r}"] * (self.scale != "linear")
        shown += [f"failed={str(self.failed)!r}"] * (self.failed is not None)
        return f"Compare({', '.join(shown)})"

    @property
    def log(self) -> bool:
        """Whether logarithms are compared."""
        return self.scale == "log"

    @property
    def margin(self) -> float | None:
        """`smallest_effect` on the scale of the differences."""
        return math.log(self.smallest_effect) if self.log and self.smallest_effect is not None else self.smallest_effect

    @property
    def value_key(self) -> str:
        """What of a run's metric is compared, as recorded with a verdict: ``last``, ``mean_of_last: 5, log``."""
        return f"{self.at}, log" if self.log else str(self.at)

    @property
    def when(self) -> str:
        """`` at the last epoch``, or `` (mean of the last 5 epochs)``; empty for the selected epoch."""
        if isinstance(self.at, MeanOfLast):
            return f" ({self.at.words})"
        return "" if self.at == "selected" else f" at the {self.at} epoch"


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
