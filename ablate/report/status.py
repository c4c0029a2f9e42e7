"""The status of a row in a few words."""

from __future__ import annotations

from ablate.evidence.table import Row

LONGEST = 60
"""The most characters of a reason in a table; the notes have all of it."""

WORDS = {"out_of_memory": "out of memory", "timeout": "timed out", "no_effect": "no effect", "stale": "outdated"}


def status_text(row: Row) -> str:
    """``2/5 diverged``, ``failed: reason``, ``running 12/50``, ``queued, 2/5 seeds`` …"""
    tally = row.tally
    words = WORDS.get(row.status, row.status)
    if row.status == "finished":
        return words
    if row.status in ("queued", "running", "interrupted", "stale"):
        where = f" {tally.epoch}/{tally.epochs}" if row.status in ("running", "interrupted") else ""
        return words + where + (f", {row.repeats}/{tally.planned} {tally.unit}s" if tally.planned > 1 else "")
    if tally.planned > 1 and row.status != "no_effect":
        words = f"{tally.affected}/{tally.planned} {words}"
    if row.status == "failed" and tally.reason:
        reason = " ".join(tally.reason.split())
        words += f": {reason if len(reason) <= LONGEST else reason[: LONGEST - 1].rstrip() + '…'}"
    return words
