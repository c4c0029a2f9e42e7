"""The effects of a design's tricks as numbers: one row per trick, in full precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.evidence.paired import LEVEL
from ablate.recipe.screening import Alias


@dataclass(frozen=True)
class Estimate:
    """A contrast of several variants, averaged over seeds: its 95% interval, p-value, and p-value corrected over its
    family. None: not known.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is below the level."""
        return self.p_adjusted is not None and self.p_adjusted < LEVEL


@dataclass(frozen=True)
class Interaction:
    """The interaction of two or more tricks, in the order of the design."""

    tricks: tuple[str, ...]
    effect: Estimate


@dataclass(frozen=True)
class TrickRow:
    """One trick. All effects are in the unit of the compared metric; None: not known, or not in the design.

    ``alone`` is the mean difference of the trick alone from the baseline, ``last`` that of all tricks from all but this
    one, and ``differs`` the first minus the second. ``shapley`` is the trick's Shapley value, ``strongest`` the
    interaction with the smallest p-value (or the largest, without p-values) that includes it. ``main`` is the mean
    result of the variants with the trick minus that of those without it; ``aliases`` are the two-way interactions that
    bias it.
    """

    trick: str
    alone: float | None = None
    last: float | None = None
    differs: Estimate | None = None
    shapley: Estimate | None = None
    strongest: Interaction | None = None
    main: Estimate | None = None
    aliases: tuple[Alias, ...] = ()


@dataclass(frozen=True)
class TrickTable:
    """The tricks of a design. ``total`` is all tricks minus the baseline; ``families`` has the planned number of tests
    that p-values of each kind of effect are corrected over.
    """

    design: str
    rows: tuple[TrickRow, ...]
    interactions: tuple[Interaction, ...] = ()
    total: float | None = None
    families: Mapping[str, int] = field(default_factory=dict)
