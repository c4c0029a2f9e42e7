"""What choices on reserved seeds add to the table: the number of candidates, what was chosen, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ablate.evidence.table import Row, SelectedPath
from ablate.notes.note import Note
from ablate.store.records import RunRecord, StudyRecord, Tuned, VariantRecord


def with_search(row: Row, record: VariantRecord, parent: VariantRecord | None) -> Row:
    """The row with its search, and a note if the parent's was another one.

    A variant that searches a setting more than its parent (that of a trick that only it has), or that keeps a value of
    its own or its parent's (``tune: off``), had another chance to do well: the search is a part of the difference.
    """
    mine, total = record.tuned, cost(record.runs)
    if mine is None:
        return replace(row, total_device_seconds=total)
    spent = cost(mine.runs)
    theirs = parent.tuned if parent is not None else None
    unlike = list(row.unlike)
    if theirs is not None and search_text(mine) != search_text(theirs):
        unlike.append(Note("other_search", values={"own": search_text(mine), "parent": search_text(theirs)}))
    return replace(
        row,
        tried=mine.tried,
        tried_seeds=mine.seeds,
        chosen=None if mine.values is None else dict(mine.values),
        tied=tuple(dict(one) for one in mine.tied),
        tuning_device_seconds=spent,
        total_device_seconds=total if spent is None else (total or 0.0) + spent,
        unlike=tuple(unlike),
        notes=(*row.notes, *search_notes(mine)),
    )


def path_of(study: StudyRecord) -> SelectedPath | None:
    """How the design greedy chose the variants; None for other studies."""
    path = study.path
    if path is None:
        return None
    return SelectedPath(path.seeds, path.metric, path.steps, path.candidates, cost(path.runs), path.complete)


def cost(runs: Iterable[RunRecord]) -> float | None:
    """The device seconds of all runs that have been measured, each once; None if none has."""
    known = {run.fingerprint: run.device_seconds for run in runs if run.device_seconds is not None}
    return math.fsum(known.values()) if known else None


def search_text(tuned: Tuned) -> str:
    """``3 candidates``, or at which settings a variant is that is not tuned."""
    if tuned.tried:
        return f"{tuned.tried} candidates"
    if tuned.off and tuned.values:
        return f"not tuned, at the parent's {values_text(tuned.values)}"
    return "not tuned, at its own settings"


def search_notes(tuned: Tuned) -> list[Note]:
    """What was chosen and what is tied with it, whether it lies at the edge, or that no candidate finished."""
    if not tuned.tried:
        return []
    if tuned.values is None:
        over = all(run.status not in ("queued", "running", "interrupted", "stale") for run in tuned.runs)
        return [Note("not_tuned")] if over else []
    tied = f"; within one standard error: {'; '.join(map(values_text, tuned.tied))}" if tuned.tied else ""
    notes = [Note("tuned", values={"settings": values_text(tuned.values), "tied": tied})]
    return notes + ([Note("tuned_at_edge", values={"paths": list(tuned.at_edge)})] if tuned.at_edge else [])


def values_text(values: Mapping[str, float]) -> str:
    """``optimizer.lr = 0.03, batch_size = 32``."""
    return ", ".join(f"{path} = {value:g}" for path, value in values.items())
