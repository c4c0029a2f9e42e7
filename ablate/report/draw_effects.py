"""A forest plot: the difference of each variant from its parent, with its interval and the single seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.evidence.gather import Row, Table
from ablate.evidence.seeds import Curves, Seeds
from ablate.recipe.variant import MeanOfLast
from ablate.report.figure import FAINT, GREY, INK, linear_ticks, log_ticks, marked
from ablate.report.numbers import factor, probability
from ablate.report.row_chart import Texts, differences, interactions, row_chart, seeds_text, verdict_colour, verdicts
from ablate.report.wording import cover, titled
from ablate.store.records import StudyRecord


def draw_effects(study: StudyRecord, table: Table, curves: Curves | None = None) -> Figure:
    """The figure; ``curves`` are read for means over epochs. Raises ValueError if there are no differences. Call it
    under `drawing`.
    """
    rows = [row for row in table.rows if row.parent is not None]
    if not any(row.delta_parent is not None for row in rows):
        raise ValueError(f"{table.study} has no effects: no variant and its parent have finished. Use 'ablate run'.")
    single = seed_differences(study, table, curves)
    name = titled(table.compare.metric, inside=True)
    good = "left" if table.compare.better == "lower" else "right"
    near, log = table.compare.margin, table.compare.log
    what = f"{name}{table.compare.when if isinstance(table.compare.at, MeanOfLast) else ''}"
    limits = _limits(rows, single, near)
    columns = [differences(table, rows)]
    if any(row.p_adjusted is not None for row in rows):
        columns.append(Texts("p (Holm)", [(probability(row.p_adjusted), GREY) for row in rows]))
    columns += [verdicts(rows), interactions(table, rows)]
    figure, axes = row_chart(
        rows,
        table.study,
        f": effects on {name}, {seeds_text(rows)}",
        _remark(rows, near),
        f"ratio of {what} to the parent's (better: {good})"
        if log
        else f"difference in {what} from the parent (better: {good})",
        limits,
        columns,
    )
    if log:
        _ratio_ticks(axes, limits)
    axes.axvline(0, color=GREY, linewidth=0.9, zorder=1)
    if near is not None:
        axes.axvspan(-near, near, color=FAINT, alpha=0.3, linewidth=0, zorder=0)
    for i, row in enumerate(rows):
        if row.delta_parent is not None:
            with marked(axes, row.variant):
                _effect(axes, row, row.delta_parent, i, single.get(row.variant, ()), limits)
    return figure


def _effect(axes: Axes, row: Row, delta: float, i: int, each: Sequence[float], limits: tuple[float, float]) -> None:
    """The difference ``delta`` of row i with its interval, its single seeds and its interaction."""
    colour = verdict_colour(row)
    if len(each) > 1:
        axes.plot(each, [i + 0.24] * len(each), "o", color=FAINT, markersize=3, zorder=2)
    if row.ci_low is not None and row.ci_high is not None:
        low, high = max(row.ci_low, limits[0]), min(row.ci_high, limits[1])
        axes.plot((low, high), (i, i), color=colour, linewidth=1.8, zorder=3, solid_capstyle="butt")
        for end, inside, arrow in ((low, row.ci_low >= limits[0], "<"), (high, row.ci_high <= limits[1], ">")):
            axes.plot(end, i, "|" if inside else arrow, color=colour, markersize=6, zorder=3, clip_on=False)
    axes.plot(delta, i, "s", color=colour, markersize=6, zorder=4)
    if row.interaction is not None:
        if row.interaction_low is not None and row.interaction_high is not None:
            ends = (max(row.interaction_low, limits[0]), min(row.interaction_high, limits[1]))
            axes.plot(ends, (i - 0.27, i - 0.27), color=INK, linewidth=0.9, zorder=3)
        axes.plot(row.interaction, i - 0.27, "D", markerfacecolor="white", color=INK, markersize=4.5, zorder=4)


def _ratio_ticks(axes: Axes, limits: tuple[float, float]) -> None:
    """Ticks at round ratios, on an axis of their logarithms."""
    low, high = map(factor, limits)
    if not (low > 0 and math.isfinite(high)):  # ticks at logarithms stay
        axes.set_xlabel(f"logarithm of the {axes.get_xlabel()}")
        return
    round_ones = log_ticks(low, high) if high / low > 3 else linear_ticks(low, high)
    inside = [tick for tick in round_ones if low <= tick <= high]
    axes.xaxis.set_ticks([math.log(tick) for tick in inside], [f"×{tick:g}" for tick in inside])


def seed_differences(study: StudyRecord, table: Table, curves: Curves | None = None) -> dict[str, list[float]]:
    """The differences of each variant from its parent by seed, on the scale of the comparison."""
    compare = table.compare
    known = {
        record.variant.name: Seeds(record, curves, rounded=study.rounded).compared(compare) for record in study.rows
    }
    found = {}
    for row in table.rows:
        mine, theirs = known.get(row.variant, {}), known.get(row.parent or "", {})
        found[row.variant] = [mine[seed] - theirs[seed] for seed in sorted(mine.keys() & theirs.keys())]
    return found


def _limits(rows: Sequence[Row], single: dict[str, list[float]], near: float | None) -> tuple[float, float]:
    """Zero and all intervals, except those that are far wider than the others."""
    points = [0.0, near or 0.0, -(near or 0.0)]
    points += [row.delta_parent for row in rows if row.delta_parent is not None]
    points += [row.interaction for row in rows if row.interaction is not None]
    points += [one for row in rows if row.delta_parent is not None for one in single.get(row.variant, ())]
    far = 4 * max(map(abs, points))
    pairs = [(row.ci_low, row.ci_high) for row in rows] + [(row.interaction_low, row.interaction_high) for row in rows]
    ends = [end for pair in pairs for end in pair if end is not None]
    low = min([*points, *(max(end, -far) for end in ends)])
    high = max([*points, *(min(end, far) for end in ends)])
    span = high - low or 1.0
    return min(low - 0.05 * span, -0.15 * span), max(high + 0.05 * span, 0.15 * span)


def _remark(rows: Sequence[Row], near: float | None) -> str:
    several = any(row.ci_low is not None for row in rows)
    unit = rows[0].tally.unit
    parts = ["squares: mean paired difference" if several else f"squares: the difference of one {unit}"]
    parts += [f"bars: {cover(rows)} interval", f"dots: {unit}s"] if several else []
    parts += ["diamonds: interaction"] if any(row.interaction is not None for row in rows) else []
    parts += ["gray band: compare.smallest_effect"] if near is not None else []
    return "; ".join(parts)
