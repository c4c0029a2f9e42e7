"""The result of a learning-rate range test as text, and as a figure."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from ablate.planning.range_test import TRIAL, Found
from ablate.recipe.settings import Settings
from ablate.report.wording import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 64, 8
"""Columns and lines of the curve."""

LARGER, SMALLER = 4.0, 0.25
"""How many times the noise scale a batch is if it is large or small."""


def as_text(variant: str, path: str, settings: Settings, found: Found) -> str:
    """The curve, the short trainings, and the suggestion, ready to paste."""
    head = f"{plain(variant)}: training loss (median of {found.seeds} seeds) by learning rate, one step for each"
    rows = [[f"{rate:.2g}", f"{loss:.4g}" if math.isfinite(loss) else "diverged"] for rate, loss in found.tried.items()]
    table = tabulate(rows, ["Learning rate", f"Validation loss after {TRIAL} steps"], stralign="right")
    usual = ", ".join(f"{name} {rate:.2g}" for name, rate in found.usual.items())
    parts = [head, "\n".join(curve(found)), table, f"From the curve alone: {usual}."]
    return "\n\n".join([*parts, "\n".join(suggestion(path, found) + batch_advice(settings, found))]) + "\n"


def suggestion(path: str, found: Found) -> list[str]:
    """What to try first."""
    if found.suggested is None:
        return ["No learning rate reduces the loss. Run 'ablate check' to look for bugs."]
    return [f"Suggested: --set {shlex.quote(f'{path}={found.suggested:g}')}"]


def batch_advice(settings: Settings, found: Found) -> list[str]:
    """What the gradient noise scale says about the batch size."""
    if found.noise_scale is None:
        return []
    size, scale = settings.batch_size, found.noise_scale
    about = float(f"{scale:.2g}")
    shown = f"{about:,.0f}" if about >= 10 else f"{about:g}"
    text = f"Gradient noise scale: about {shown} samples (batch_size: {size:,})"
    if size > LARGER * scale:
        return [f"{text}: a smaller batch would make about the same progress in each step."]
    if size < SMALLER * scale:
        return [f"{text}: a larger batch, with a higher learning rate, would need fewer steps."]
    return [f"{text}."]


def curve(found: Found) -> list[str]:
    """The curve in characters, with an axis; ``|`` marks the suggestion."""
    x, y = np.log10(found.rates), np.asarray(found.losses)
    columns = np.clip(((x - x[0]) / max(x[-1] - x[0], 1e-9) * (WIDTH - 1)).round().astype(int), 0, WIDTH - 1)
    low, high = float(y.min()), float(y.max())
    lines = ((high - y) / max(high - low, 1e-300) * (HEIGHT - 1)).round().astype(int)
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    if found.suggested is not None and x[0] <= math.log10(found.suggested) <= x[-1]:
        place = round((math.log10(found.suggested) - x[0]) / (x[-1] - x[0]) * (WIDTH - 1))
        for line in cells:
            line[place] = "|"
    for line, column in zip(lines, columns, strict=True):
        cells[line][column] = "*"
    sides = [f"{high:.3g}", *[""] * (HEIGHT - 2), f"{low:.3g}"]
    wide = max(map(len, sides))
    drawn = [f"{side:>{wide}} {''.join(line)}".rstrip() for side, line in zip(sides, cells, strict=True)]
    ends = f"{found.rates[0]:.0e}", f"{found.rates[-1]:.1g}"
    return [*drawn, f"{'':{wide}} {ends[0]}{'learning rate':^{WIDTH - len(ends[0]) - len(ends[1])}}{ends[1]}"]


def as_tree(variant: str, found: Found) -> Mapping[str, Any]:
    """The same in plain JSON values."""
    tried = [{"lr": rate, "valid_loss": loss if math.isfinite(loss) else None} for rate, loss in found.tried.items()]
    return {"variant": variant, **asdict(found), "tried": tried}


def draw(variant: str, found: Found) -> Figure:
    """The figure: the curve, the short trainings, and the suggestion. Call it under `drawing`."""
    from ablate.report.figure import BLUE, GREEN, GREY, ORANGE, SMALL, drawable, new_figure, set_ticks, titled_study

    figure = new_figure(6.0, 3.6)
    axes = figure.add_axes((0.12, 0.16, 0.84, 0.7))
    axes.plot(found.rates, found.losses, color=BLUE, label="training loss, one step for each learning rate")
    known = {rate: loss for rate, loss in found.tried.items() if math.isfinite(loss)}
    axes.plot(list(known), list(known.values()), "o", color=ORANGE, label=f"validation loss after {TRIAL} steps")
    axes.set_xscale("log")
    shown = [*found.losses, *known.values()]
    low, high = drawable(min(shown), max(shown), "the loss")
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    if found.suggested is not None:
        axes.axvline(found.suggested, color=GREEN, linewidth=1.2, label=f"suggested: {found.suggested:g}")
    for name, rate in found.usual.items():
        axes.axvline(rate, color=GREY, linewidth=0.7, linestyle=":")
        axes.text(rate, axes.get_ylim()[1], f" {name}", rotation=90, va="top", ha="right", fontsize=SMALL, color=GREY)
    set_ticks(axes.yaxis, *axes.get_ylim())
    set_ticks(axes.xaxis, *axes.get_xlim(), log=True)
    axes.set_xlabel("learning rate")
    axes.legend(frameon=False, fontsize=SMALL, loc="lower left")
    figure.text(0.12, 0.92, titled_study(variant, ": learning-rate range test", 5.0), fontweight="bold")
    return figure
