"""A waterfall chart: the step of each variant from its parent, with its interval."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ablate.evidence.gather import Row, Table
from ablate.recipe.variant import MeanOfLast
from ablate.report.figure import FAINT, GREY, INK, marked
from ablate.report.numbers import column_places, factor, fixed
from ablate.report.row_chart import Texts, differences, row_chart, seeds_text, verdict_colour, verdicts
from ablate.report.wording import cover, titled


def draw_ladder(table: Table) -> Figure:
    """The figure. Raises ValueError if no variant has a result. Call it under `drawing`."""
    metric, rows = table.compare.metric, table.rows
    values = {row.variant: value for row in rows if (value := row.value(metric)) is not None}
    if not values:
        raise ValueError(f"{table.study} has no results: no variant has finished. Use 'ablate run'.")
    log = table.compare.log
    starts = {row.variant: start for row in rows if (start := _start(row, values, log=log)) is not None}
    published = {row.variant: (row.published or {}).get(metric) for row in rows}
    name = titled(metric, inside=True)
    label = f"{name}{table.compare.when if isinstance(table.compare.at, MeanOfLast) else ''}"
    figure, axes = row_chart(
        rows,
        table.study,
        f": {name}, {seeds_text(rows)}",
        _remark(table, any(value is not None for value in published.values())),
        f"{label} ({table.compare.better} is better)",
        _limits(table, values, starts, [value for value in published.values() if value is not None]),
        [_means(table), differences(table, rows), verdicts(rows)],
    )
    places_of = {row.variant: i for i, row in enumerate(rows)}
    for i, row in enumerate(rows):
        value, start = values.get(row.variant), starts.get(row.variant)
        with marked(axes, row.variant):
            if (quoted := published[row.variant]) is not None:
                axes.plot(quoted, i, "D", markerfacecolor="white", markeredgecolor=GREY, markersize=5, zorder=4)
            if value is not None and start is not None and row.parent in places_of:
                _step(axes, row, i, places_of[row.parent], start, value, log=log)
            if value is not None:
                axes.plot(value, i, "o", color=INK, markersize=5, zorder=5)
    return figure


def _step(axes: Axes, row: Row, i: int, above: int, start: float, value: float, *, log: bool) -> None:
    """The step of row i from its parent's, which is at ``above``."""
    axes.plot([start, start], [above, i], color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
    axes.barh(i, value - start, left=start, height=0.5, color=verdict_colour(row), alpha=0.55, zorder=2)
    if row.ci_low is not None and row.ci_high is not None:
        ends = (_moved(start, row.ci_low, log=log), _moved(start, row.ci_high, log=log))
        axes.plot(ends, (i, i), color=INK, linewidth=1.1, zorder=3)
        axes.plot(ends, (i, i), "|", color=INK, markersize=5, zorder=3)


def _start(row: Row, values: dict[str, float], *, log: bool) -> float | None:
    """The start of a variant's step: its parent's mean over the seeds that they share; with ``log``, the variant's mean
    over their ratio.
    """
    value = values.get(row.variant)
    return None if value is None or row.delta_parent is None else _moved(value, -row.delta_parent, log=log)


def _moved(value: float, difference: float, *, log: bool) -> float:
    """The value after a difference, or times a ratio whose logarithm is given."""
    return value * factor(difference) if log else value + difference


def _limits(
    table: Table, values: dict[str, float], starts: dict[str, float], marks: list[float]
) -> tuple[float, float]:
    """A range that holds all means, and intervals unless they are too wide to tell the means apart."""
    points = [*values.values(), *starts.values(), *marks]
    low, high = min(points), max(points)
    span = high - low or abs(high) or 1.0
    ends = [
        _moved(start, end, log=table.compare.log)
        for row in table.rows
        if (start := starts.get(row.variant)) is not None
        for end in (row.ci_low, row.ci_high)
        if end is not None
    ]
    low = min([low, *(end for end in ends if end > low - span)])
    high = max([high, *(end for end in ends if end < high + span)])
    return low - 0.05 * (high - low or span), high + 0.05 * (high - low or span)


def _means(table: Table) -> Texts:
    metric = table.compare.metric
    places = column_places([row.value(metric) for row in table.rows], [row.sd(metric) for row in table.rows])
    texts = []
    for row, decimals in zip(table.rows, places, strict=True):
        value, sd = row.value(metric), row.sd(metric)
        text = "" if value is None else fixed(value, decimals)
        texts.append((f"{text} ± {fixed(sd, decimals)}" if value is not None and sd is not None else text, INK))
    return Texts("mean ± sd" if any(row.sd(metric) is not None for row in table.rows) else "value", texts)


def _remark(table: Table, published: bool) -> str:
    several = any(row.ci_low is not None for row in table.rows)
    points = f"points: means over the {table.unit}s" if table.planned > 1 else f"points: one {table.unit}"
    parts = [points, "bars: ratio to the parent" if table.compare.log else "bars: change from the parent"]
    parts += (
        [f"whiskers: {cover(table.rows)} confidence interval of the change"]
        if several
        else [f"one {table.unit}: differences may be due to chance"] * (table.planned < 2)
    )
    parts += ["diamonds: published"] if published else []
    return "; ".join(parts)
