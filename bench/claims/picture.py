"""All effects in one figure: each part of each claim in standard deviations over seeds, to the right if the variant is
better than its parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.report.figure import FAINT, GREY, INK, SMALL, drawing, fitted, new_figure, picture_bytes
from bench.claims.answers import agreement, verdict
from bench.claims.book import Claim, Part
from bench.claims.page import Results, current

COLOURS = {"agrees": "#009E73", "disagrees": "#D55E00", "open": GREY}
FARTHEST = 300.0
"""Standard deviations: larger effects are drawn there."""

LINE, WIDTH, NAMES, HEAD, FOOT = 0.17, 9.0, 4.6, 0.75, 0.6
"""Inches."""


def picture(book: Sequence[Claim], results: Results) -> bytes:
    """The figure as SVG; the same results give the same bytes."""
    lines: list[tuple[Claim | str, Part | None, Mapping[str, Any] | None]] = []
    for claim in book:
        if claim.section not in [entry for entry, _, _ in lines]:
            lines.append((claim.section, None, None))
        known = current(claim, results)
        if known is None:
            lines.append((claim, None, None))
        else:
            lines += [(claim, part, found) for part, found in zip(claim.parts, known["parts"], strict=True)]
    with drawing():
        height = HEAD + LINE * len(lines) + FOOT
        figure = new_figure(WIDTH, height)
        figure.text(0.15 / WIDTH, 1 - 0.15 / height, "All claims, all parts", size=10.8, weight="bold", va="top")
        remark = "green: as claimed; orange: not as claimed; grey: unclear; ring: the change had no effect; bars: 95% confidence interval; arrow: diverged"
        figure.text(0.15 / WIDTH, 1 - 0.4 / height, remark, size=SMALL, color=GREY, va="top")
        axes = figure.add_axes(
            (NAMES / WIDTH, FOOT / height, (WIDTH - NAMES - 0.2) / WIDTH, LINE * len(lines) / height)
        )
        axes.set_xscale("symlog", linthresh=1.0, linscale=0.6)
        axes.set_xlim(-FARTHEST, FARTHEST)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xticks([-100, -10, -1, 0, 1, 10, 100], ["−100", "−10", "−1", "0", "1", "10", "100"])
        axes.set_xlabel("difference from the parent, in standard deviations over seeds (better: right)")
        axes.tick_params(top=True, labeltop=True)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.axvline(0, color=GREY, linewidth=0.9, zorder=1)
        axes.grid(axis="x", color="#EEEEEE", linewidth=0.6, zorder=0)
        before: str | None = None
        for i, (entry, part, found) in enumerate(lines):
            y = 1 - (HEAD + LINE * (i + 0.5)) / height
            if isinstance(entry, str):
                axes.axhspan(i - 0.5, i + 0.5, color="#EEEEEE", zorder=0)
                figure.text(0.15 / WIDTH, y, entry.upper(), size=SMALL, color=GREY, weight="bold", va="center")
                before = None
                continue
            if entry.name != before:
                if before is not None:
                    axes.axhline(i - 0.5, color=FAINT, linewidth=0.4, zorder=0)
                name = fitted(entry.name.replace("_", " "), 1.6, SMALL, bold=True)
                figure.text(0.15 / WIDTH, y, name, size=SMALL, weight="bold", va="center")
                before = entry.name
            if part is None or found is None:
                figure.text(1.85 / WIDTH, y, "not run yet", size=SMALL, color=GREY, va="center")
                continue
            figure.text(1.85 / WIDTH, y, fitted(_label(found), NAMES - 2.0, SMALL), size=SMALL, color=INK, va="center")
            _mark(axes, i, part, found)
        return picture_bytes(figure, "svg")


def _label(found: Mapping[str, Any]) -> str:
    return f"{found['row']}: {found['metric'].replace('_', ' ')}"


def _mark(axes: Any, i: int, part: Part, found: Mapping[str, Any]) -> None:
    """One part: a square at its effect with its interval; an arrow if the variant diverged; a ring if its change had no
    effect.
    """
    colour = COLOURS[agreement(part, found)]
    if found["verdict"] == "unstable":
        axes.plot(-FARTHEST * 0.8, i, "<", color=colour, markersize=5, zorder=4, clip_on=False)
        return
    if found["delta"] is None:
        return
    sign = 1.0 if found["better"] == "higher" else -1.0
    size = found["effect_size"]
    if size is None or not found["delta"]:
        never = verdict(part, found) == "no effect"
        axes.plot(
            0.0, i, "o" if never else "s", color=colour, markersize=4, zorder=4, fillstyle="none" if never else "full"
        )
        return
    unit = size / found["delta"]
    if found["low"] is not None and found["high"] is not None:
        ends = sorted(max(-FARTHEST, min(FARTHEST, sign * unit * end)) for end in (found["low"], found["high"]))
        axes.plot(ends, (i, i), color=colour, linewidth=1.6, zorder=3, solid_capstyle="butt")
    axes.plot(max(-FARTHEST, min(FARTHEST, sign * size)), i, "s", color=colour, markersize=4, zorder=4)
