"""The second table of some designs: the effects of their tricks, one row per trick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ablate.evidence.table import Table
from ablate.evidence.trick_table import Estimate, Interaction, TrickRow, TrickTable
from ablate.evidence.verdicts import Better
from ablate.recipe.screening import Alias
from ablate.report.column import FOUND, Alignment, Cells
from ablate.report.notes import counted
from ablate.report.numbers import fixed, typical
from ablate.report.wording import plain

TIMES = " × "
"""Between the tricks of an interaction."""


@dataclass(frozen=True)
class Second:
    """A table as text, and the lines below it."""

    cells: Cells
    lines: list[str]


def second_table(table: Table) -> Second | None:
    """The table of the effects of tricks, if the design has one and any of them is known."""
    effects = table.tricks
    if effects is None or all(row == TrickRow(row.trick) for row in effects.rows):
        return None
    decimals = effect_places(effects)
    columns = COLUMNS[effects.design](decimals, table.compare.better)
    titles, alignments, texts = zip(*columns, strict=True)
    rows = [[plain(text(row)) for text in texts] for row in effects.rows]
    lines = [legend(table, effects, decimals), *meaning(effects, decimals)]
    return Second(Cells(list(titles), rows, list(alignments)), [plain(line) for line in lines])


Texts = Callable[[TrickRow], str]
Written = tuple[str, Alignment, Texts]
"""A column: its title, its alignment, and the text of a row."""


def both_ends(decimals: int, better: Better) -> list[Written]:
    """The columns of ``both-ends``."""
    return [
        *ends(decimals),
        ("Alone − last ± 95%", "right", lambda row: interval(row.differs, decimals)),
        ("Verdict", "left", lambda row: differs(row.differs)),
    ]


def factorial(decimals: int, better: Better) -> list[Written]:
    """The columns of ``factorial``."""
    return [
        *ends(decimals),
        ("Shapley ± 95%", "right", lambda row: interval(row.shapley, decimals)),
        (
            "Strongest interaction ± 95%",
            "right",
            lambda row: interval(row.strongest.effect, decimals) if row.strongest else "",
        ),
        ("With", "left", partner),
    ]


def ends(decimals: int) -> list[Written]:
    """The columns of both designs."""
    return [
        ("Trick", "left", lambda row: row.trick),
        ("Alone", "right", lambda row: signed(row.alone, decimals)),
        ("Last", "right", lambda row: signed(row.last, decimals)),
    ]


def screen(decimals: int, better: Better) -> list[Written]:
    """The columns of ``screen``."""
    return [
        ("Trick", "left", lambda row: row.trick),
        ("Main effect ± 95%", "right", lambda row: interval(row.main, decimals)),
        ("Verdict", "left", lambda row: direction(row.main, better)),
        ("Aliased with", "left", lambda row: confounded(row.aliases)),
    ]


COLUMNS: dict[str, Callable[[int, Better], list[Written]]] = {
    "both-ends": both_ends,
    "factorial": factorial,
    "screen": screen,
}

MOST_ALIASES = 3
"""Interactions that are named in a cell."""


def effect_places(effects: TrickTable) -> int:
    """Decimals that show two significant digits of half the intervals, or of the effects without intervals."""
    found = [one for row in effects.rows for one in (row.differs, row.shapley, row.main) if one is not None]
    found += [one.effect for one in effects.interactions]
    halves = [half(one) for one in found]
    known = [value for row in effects.rows for value in (row.alone, row.last)] + [one.value for one in found]
    return typical(halves if any(halves) else known, 2)


def half(effect: Estimate) -> float | None:
    """Half of the interval."""
    return None if effect.low is None or effect.high is None else effect.high / 2 - effect.low / 2


def signed(value: float | None, decimals: int) -> str:
    """``-0.012``; empty if it is not known."""
    return "" if value is None else fixed(value, decimals, "+")


def interval(effect: Estimate | None, decimals: int) -> str:
    """``*-0.012 ±0.004``, with a mark if it is significant."""
    if effect is None:
        return ""
    width = half(effect)
    mark = FOUND if effect.significant else ""
    return f"{mark}{signed(effect.value, decimals)}" + ("" if width is None else f" ±{fixed(width, decimals, '-')}")


def differs(effect: Estimate | None) -> str:
    """``differs`` only for a significant difference."""
    if effect is None or effect.p_adjusted is None:
        return ""
    return "differs" if effect.significant else "unclear"


def direction(effect: Estimate | None, better: Better) -> str:
    """``helps`` or ``hurts`` only for a significant effect."""
    if effect is None or effect.p_adjusted is None:
        return ""
    if not effect.significant:
        return "unclear"
    return "helps" if (effect.value < 0) == (better == "lower") else "hurts"


def confounded(found: Sequence[Alias]) -> str:
    """The interactions with which a main effect is fully aliased, or the number of those that bias it in part."""
    full = [TIMES.join(one.tricks) for one in found if abs(one.share) == 1]
    if not found:
        return "no two-way interaction"
    if full:
        more = f" and {len(full) - MOST_ALIASES} more" if len(full) > MOST_ALIASES else ""
        return ", ".join(full[:MOST_ALIASES]) + more
    size = max(abs(one.share) for one in found)
    return f"{len(found)} two-way {counted('interaction', len(found))}, each by at most {size:.2f}"


def partner(row: TrickRow) -> str:
    """The other tricks of the strongest interaction."""
    others = row.strongest.tricks if row.strongest else ()
    return TIMES.join(one for one in others if one != row.trick)


def legend(table: Table, effects: TrickTable, decimals: int) -> str:
    """What the columns are."""
    compare, unit = table.compare, table.unit
    if effects.design == "screen":
        return (
            f"Main effect on {compare.metric}: mean of the variants with the trick minus mean of those without it, "
            f"paired by {unit} ({compare.better} is better)."
        )
    text = (
        f"Effects on {compare.metric}, paired by {unit} ({compare.better} is better). "
        "Alone: of the trick on the baseline; last: of the trick on top of all others"
    )
    if effects.design == "factorial":
        total = "" if effects.total is None else f", {signed(effects.total, decimals)}"
        text += (
            "; Shapley: mean over all orders of adding the tricks (the sum is full minus the baseline"
            f"{total}); interaction: effect with the other trick minus effect without it"
        )
    return text + "."


def meaning(effects: TrickTable, decimals: int) -> list[str]:
    """What the tests found, in one sentence; none without tests."""
    if effects.design == "both-ends":
        tested = [row for row in effects.rows if row.differs is not None and row.differs.p_adjusted is not None]
        found = [row.trick for row in tested if row.differs is not None and row.differs.significant]
        if not tested:
            return []
        test = paired(over(effects.families.get("differs", 0), "trick"))
        if not found:
            return [f"No trick's effect is shown to depend on the other tricks ({test})."]
        what = f"effect of {found[0]} depends" if len(found) == 1 else f"effects of {', '.join(found)} depend"
        return [f"The {what} on the other tricks ({test})."]
    return screen_meaning(effects) if effects.design == "screen" else shapley_meaning(effects, decimals)


def screen_meaning(effects: TrickTable) -> list[str]:
    """The resolution of a screen, and its test."""
    test = f" {FOUND} significant: {paired(over(effects.families.get('main', 0), 'main effect'))}."
    tested = any(row.main is not None and row.main.p_adjusted is not None for row in effects.rows)
    if not any(row.aliases for row in effects.rows):
        text = "Resolution IV: no main effect is aliased with a two-way interaction."
    else:
        text = (
            "Resolution III: a main effect includes a share of the two-way interactions that it is aliased with. "
            "The design screen-foldover separates them."
        )
    return [text + (test if tested else "")]


def shapley_meaning(effects: TrickTable, decimals: int) -> list[str]:
    """What the tests of Shapley values and interactions found."""
    found = [one for one in effects.interactions if one.effect.significant]
    if all(one.effect.p_adjusted is None for one in effects.interactions):
        return []
    families = effects.families
    values, pairs = families.get("shapley", 0), families.get("interactions", 0)
    holm = over(values, "Shapley value") if values > 1 else ""
    holm += (" and, separately, " if holm else "") + over(pairs, "interaction") if pairs > 1 else ""
    test = f"{FOUND} significant: {paired(holm)}"
    if not found:
        return [f"No interaction is significant, so effects are not shown to depend on each other ({test})."]
    return [f"{listed(found, decimals)} ({test})."]


def listed(found: Iterable[Interaction], decimals: int) -> str:
    """The significant interactions with their sizes."""
    texts = [f"{TIMES.join(one.tricks)} ({signed(one.effect.value, decimals)})" for one in found]
    return f"The effects of some tricks depend on others: {', '.join(texts)}"


def over(tests: int, what: str) -> str:
    """``3 interactions``."""
    return f"{tests} {counted(what, tests)}" if tests > 1 else ""


def paired(family: str) -> str:
    """The test and its correction."""
    return "paired t-test" + (f", Holm-corrected over {family}" if family else "") + ", 5% level"
