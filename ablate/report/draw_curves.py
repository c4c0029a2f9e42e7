"""Learning curves: a panel for each variant, its seeds as a band, its parent in grey."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ablate.recipe.measured import better, metrics_of
from ablate.recipe.shape import did_you_mean
from ablate.report.curves import Curve, Curves, Values
from ablate.report.figure import (
    BLUE,
    FAINT,
    GREY,
    ORANGE,
    SIZE,
    SMALL,
    TITLE,
    VERMILION,
    drawable,
    fitted,
    mark,
    new_figure,
    set_ticks,
    titled_study,
    wrapped,
)
from ablate.report.wording import plain, seeds_between
from ablate.store.records import StudyRecord

LOSSES = {"train_loss": ("train", ORANGE), "valid_loss": ("valid", BLUE)}
"""The curves of a loss: their names and colors."""

MOST_PANELS = 30

MOST_LINES = 20
"""Seeds of a variant up to which each has a line, if the curves keep their peaks."""

ROUND: dict[str, Any] = {"capstyle": "projecting", "joinstyle": "round"}
"""How a line's ends and corners are drawn, as `Axes.plot` does by default."""

WIDEST = 9.6
PANEL_HEIGHT = 2.2
HEAD = 0.72
"""Inches."""


def draw_curves(study: StudyRecord, curves: Curves, metric: str = "valid_loss", *, log: bool | None = None) -> Figure:
    """The figure. Training and validation loss share a panel, any other metric has its own; by default, the values
    determine ``log``.

    Raises ValueError where no row has such a curve. Call it under `drawing`.
    """
    shown = LOSSES if metric in LOSSES else {metric: (plain(metric).replace("_", " "), BLUE)}
    wanted = [row.variant for row in study.rows if curves.has(row.variant.name, shown)]
    if not wanted:
        if not curves.names:
            raise ValueError(f"{study.recipe.study} has no curves yet. Train it with 'ablate run'.")
        hint = did_you_mean(metric, curves.names) or f" Available: {', '.join(curves.names)}."
        raise ValueError(f"metric (={metric}) has no curve in {study.recipe.study}.{hint}")
    rows, left_out = wanted[:MOST_PANELS], len(wanted) - MOST_PANELS
    columns = {1: 1, 2: 2, 4: 2, 3: 3, 5: 3, 6: 3, 9: 3}.get(len(rows), 4)
    lines = math.ceil(len(rows) / columns)
    panel = min(3.4, WIDEST / columns)
    figure = new_figure(max(panel * columns + 0.5, 4.6), HEAD + PANEL_HEIGHT * lines + 0.25)
    drawn = [curve for v in rows for metric, curve in curves.of(v.name).items() if metric in shown]
    low, high = _limits(drawn)
    if log is None:
        log = low > 0 and high / low > 3 and _lower_is_better(study, metric)
    if log and low <= 0:
        raise ValueError(
            f"metric (={metric}) has values of 0 or less, which a logarithmic axis cannot show. Use --linear."
        )
    low, high = drawable(*_margins(low, high, log), str(metric))
    total_width, total_height = (float(side) for side in figure.get_size_inches())
    for i, variant in enumerate(rows):
        line, column = divmod(i, columns)
        left = 0.72 + column * panel
        bottom = total_height - HEAD - PANEL_HEIGHT * (line + 1) + 0.22
        height = PANEL_HEIGHT - 0.72
        place = (left / total_width, bottom / total_height, (panel - 0.5) / total_width, height / total_height)
        axes = figure.add_axes(place)
        axes.set_gid(mark(variant.name))
        parent = curves.of(variant.parent)
        drawn += [curve for metric, curve in parent.items() if metric in shown]
        _panel(axes, curves.of(variant.name), parent, shown, (low, high), log)
        _named(axes, variant.name, variant.description, panel - 0.5)
        if column == 0:
            axes.set_ylabel("loss" if metric in LOSSES else shown[metric][0])
        else:
            axes.tick_params(labelleft=False)
        if i + columns >= len(rows):
            axes.set_xlabel(curves.axis)
    seeds = _seed_counts(study, [v.name for v in rows])
    parents = any(curves.has(row.variant.parent) for row in study.rows)
    remarks = _remarks(drawn, seeds) + ([f"variants not shown: {left_out}"] if left_out > 0 else [])
    _head(figure, study, parents=parents, shown=shown, n=seeds, remarks=remarks)
    return figure


def _remarks(curves: Sequence[Curve], n: str) -> list[str]:
    """What lines, bands and points are."""
    stretch = max(curve.stretch for curve in curves)
    lines = any(
        line.outline is not None and 1 < len(curve.lines) <= MOST_LINES for curve in curves for line in curve.lines
    )
    remarks = ["lines: mean over seeds, bands: their range"] if " seeds" in n else []
    remarks += ["thin lines: single seeds"] if lines else []
    if stretch > 1:
        kept = "; bands and single seeds keep extremes" if lines else ""
        remarks += [f"a point averages up to {stretch} values{kept}"]
    return remarks


def _panel(
    axes: Axes,
    own: Mapping[str, Curve],
    parent: Mapping[str, Curve],
    shown: Mapping[str, tuple[str, str]],
    limits: tuple[float, float],
    log: bool,
) -> None:
    axes.set_yscale("log" if log else "linear")
    axes.set_ylim(*limits)
    lines = [line for name in shown if name in own for line in own[name].lines]
    first, last = min(float(line.epochs.min()) for line in lines), max(line.last for line in lines)
    ends = (min(first, 0.0), last) if first < last else (last - 0.5, last + 0.5)
    axes.set_xlim(*ends)
    main = list(shown)[-1]
    if main in parent and len(parent[main].mean):
        axes.plot(parent[main].epochs, parent[main].mean, color=FAINT, linewidth=1.1, zorder=1)
    for name, (_, colour) in shown.items():
        if name in own:
            _draw(axes, own[name], colour, limits, 3 if name == main else 2)
    lost = {line.seed for name in shown if name in own for line in own[name].diverged}
    if lost:
        count = max(len(own[name].lines) for name in shown if name in own)
        text = f"{len(lost)} of {count} diverged"
        axes.text(0.97, 0.93, text, transform=axes.transAxes, ha="right", va="top", color=VERMILION, size=7.5)
    set_ticks(axes.yaxis, *limits, log=log, most=5)
    set_ticks(axes.xaxis, *ends, most=4, whole=not first < last < 2)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)


def _draw(axes: Axes, curve: Curve, colour: str, limits: tuple[float, float], order: int) -> None:
    """Mean and band up to the last epoch that all seeds have; after that, or if a seed diverged, one line per seed."""
    together = len(curve.mean)
    if together:
        if len(curve.lines) > 1:
            axes.fill_between(curve.epochs, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0, zorder=order)
        marker = "o" if together == 1 else ""
        axes.plot(curve.epochs, curve.mean, color=colour, linewidth=1.4, zorder=order + 2, marker=marker, markersize=3)
    rest = slice(max(together - 1, 0), None)
    own = [
        np.column_stack([line.epochs[rest], line.values[rest]]) for line in curve.lines if len(line.values) > together
    ]
    looks: dict[str, Any] = {"linewidths": 0.7, "alpha": 0.8}
    outlines = [line.outline for line in curve.lines if line.outline is not None]
    if 1 < len(outlines) <= MOST_LINES:
        faint = min(max(12 / len(outlines) ** 2, 0.12), 0.6)  # the mean stays visible
        own, looks = outlines, {"linewidths": 0.5, "alpha": faint if together else 0.8}
    # one artist for all of them: hundreds of seeds take hundreds of megabytes as artists of their own
    if own:
        axes.add_collection(LineCollection(own, colors=colour, zorder=order + 1, **looks, **ROUND))
    for line in curve.lines:
        known = np.flatnonzero(np.isfinite(line.values))
        if line.status == "diverged" and len(known):
            end = float(np.clip(line.values[known[-1]], *limits))
            cross: dict[str, Any] = {"color": VERMILION, "markersize": 6, "markeredgewidth": 1.6}
            axes.plot(line.epochs[known[-1]], end, "x", zorder=9, clip_on=False, **cross)


def _named(axes: Axes, name: str, description: str, width: float) -> None:
    """The variant's name and description, above its panel."""
    above: dict[str, Any] = {
        "xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom", "annotation_clip": False
    }  # fmt: skip
    axes.annotate(fitted(name, width, SIZE, bold=True), (0, 1), (0, 15), weight="bold", **above)
    if description:
        axes.annotate(fitted(description, width, SMALL), (0, 1), (0, 4), color=GREY, size=SMALL, **above)


def _head(
    figure: Figure,
    study: StudyRecord,
    *,
    parents: bool,
    shown: Mapping[str, tuple[str, str]],
    n: str,
    remarks: Sequence[str],
) -> None:
    """Title, legend, and number of seeds."""
    width, height = (float(side) for side in figure.get_size_inches())
    title = titled_study(study.recipe.study, f": learning curves, {n}", width - 0.4)
    figure.text(0.2 / width, 1 - 0.12 / height, title, size=TITLE, weight="bold", va="top")
    left, level = 0.2, 1 - 0.47 / height
    labels = [(label, colour) for label, colour in reversed(list(shown.values()))]
    if parents:
        labels.append((f"{labels[0][0]} of the parent", FAINT))
    for label, colour in labels:
        figure.add_artist(Line2D([left / width, (left + 0.25) / width], [level, level], color=colour, linewidth=1.8))
        text = figure.text((left + 0.31) / width, level, label, size=SMALL, va="center", color=GREY)
        left += 0.31 + float(text.get_window_extent().width) / figure.dpi + 0.2
    if remarks:
        said = wrapped("; ".join(remarks), width - left - 0.1, SMALL)
        figure.text(left / width, level, said, size=SMALL, va="center", color=GREY)


def _limits(curves: Sequence[Curve]) -> tuple[float, float]:
    """The smallest and the largest value of seeds that did not diverge, or of the first epoch if all did."""
    lines = [line for curve in curves for line in curve.lines]
    sound: list[Values] = [each for line in lines if line.status != "diverged" for each in (line.low, line.high)]
    sound = sound or [line.values[:1] for line in lines]
    values = np.concatenate(sound)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)


def _lower_is_better(study: StudyRecord, metric: str) -> bool:
    """Whether a metric is an error, for which relative changes matter."""
    known = [metrics_of(row.variant.settings) for row in study.rows]
    return any(metric in names and better(names[metric]) == "lower" for names in known)


def _margins(low: float, high: float, log: bool) -> tuple[float, float]:
    if log:
        factor = max((high / low) ** 0.06, 1.05)
        return low / factor, high * factor
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def _seed_counts(study: StudyRecord, names: Sequence[str]) -> str:
    """``5 seeds``, ``1 seed``, or ``3 to 5 seeds``."""
    shown = [row.runs for row in study.rows if row.variant.name in names]
    return seeds_between([len({run.seed for run in runs if run.epoch or run.status == "finished"}) for runs in shown])
