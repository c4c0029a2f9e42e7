"""Texts of a table: names, titles, statuses, verdicts, counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ablate.evidence.table import Row
from ablate.printable import visible
from ablate.recipe.node import show
from ablate.report.numbers import count, deviation, within
from ablate.store.places import progress

LONGEST = 60
"""The most characters of a reason in a table; the notes have all of it."""

WORDS = {
    "queued": "not started",
    "out_of_memory": "out of memory",
    "timeout": "timed out",
    "no_effect": "no effect",
    "stale": "outdated",
}


def plain(text: str) -> str:
    """Visible text on one line."""
    return visible(" ".join(text.split()))


ACRONYMS = ("ece", "f1", "iou", "mae", "mse", "r2", "rmse")


def titled(name: str, *, inside: bool = False) -> str:
    """``valid_loss`` as ``Validation loss``, ``rmse_pixels`` as ``RMSE pixels``; ``inside`` a text not capitalized."""
    words = name.replace("valid_loss", "validation_loss").split("_")
    spaced = " ".join(word.upper() if word in ACRONYMS else word for word in words)
    return spaced if inside else spaced[:1].upper() + spaced[1:]


def status_text(row: Row) -> str:
    """``2/5 diverged``, ``failed: reason``, ``running 12/50``, ``2/5 seeds finished, others not started`` …"""
    tally = row.tally
    words = WORDS.get(row.status, row.status)
    if row.status == "finished":
        return words
    if row.status in ("queued", "running", "interrupted", "stale"):
        where = progress(tally.epoch, tally.epochs, tally.axis)
        where = f" {where}" if row.status in ("running", "interrupted") else ""
        return (
            (f"{row.finished}/{tally.planned} {tally.unit}s finished, others " if row.finished else "") + words + where
        )
    if tally.planned > 1 and row.status != "no_effect":
        words = f"{tally.affected}/{tally.planned} {words}"
    if row.status == "failed" and tally.reason:
        reason = " ".join(tally.reason.split())
        words += f": {reason if len(reason) <= LONGEST else reason[: LONGEST - 1].rstrip() + '…'}"
    return words


def failed_text(row: Row) -> str:
    """``2/10 failed``; empty if no seed failed."""
    return f"{row.failed}/{row.tally.ended} failed" if row.failed else ""


def verdict_text(row: Row, *, log: bool = False) -> str:
    """The verdict, or how many seeds failed. In parentheses, which seeds it is on, unless all; if it is unclear, the
    bound of its interval and the effect that twice as many seeds would show, with ``log`` as factors.
    """
    if row.verdict is None:
        return failed_text(row)
    bound = None if row.ci_low is None or row.ci_high is None else max(-row.ci_low, row.ci_high)
    parts = [] if row.judged_seeds is None else [f"{len(row.judged_seeds)} of {row.finished} seeds"]
    if row.verdict == "unclear" and bound is not None:
        parts.append(f"within a factor of {within(bound)}" if log else f"within ±{deviation(bound)}")
        if row.detectable is not None:
            size = f"a factor of {within(row.detectable)}" if log else deviation(row.detectable)
            parts.append(f"{row.detectable_seeds} seeds would show {size}")
    return f"{row.verdict} ({'; '.join(parts)})" if parts else row.verdict


def cover(rows: Iterable[Row]) -> str:
    """What intervals of differences from the parent cover: ``95%``, or ``the look's`` if looks have other levels."""
    levels = {100 * (1 - row.level) for row in rows if row.ci_low is not None}
    return f"{levels.pop():g}%" if len(levels) == 1 else "the look's" if levels else "95%"


def seeds_between(counts: Collection[int]) -> str:
    """``5 seeds``, ``1 seed``, or ``3 to 5 seeds``."""
    least, most = min(counts), max(counts)
    return f"{most} seed{'s' if most != 1 else ''}" if least == most else f"{least} to {most} seeds"


def signed(value: float | None) -> str:
    """An effect size, to two decimals."""
    return "" if value is None else f"{value:+.2f}"


def grouped(value: float | None) -> str:
    """A count with separated thousands."""
    return count(value) if value is None else f"{round(value):,}"


def setting_text(value: Any) -> str:
    """A value as a recipe would write it on one line; a dash if there is none."""
    return "–" if value is None else show(value, limit=1000)
