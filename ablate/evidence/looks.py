"""Looks: when a table first showed a verdict of a variant, and on which runs. Seeds that are added after a look, and
judged together with the earlier ones, are a second look.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ablate.evidence.table import Row, Table
from ablate.notes.note import Note
from ablate.store.disk import DiskError
from ablate.store.records import StudyRecord
from ablate.store.store import Store

Look = Mapping[str, Any]
"""The ``variant``, the ``metric`` and the epoch (``at``) that were compared, and the fingerprints of its ``runs``."""


def look(table: Table, study: StudyRecord, store: Store) -> Table:
    """The table with a note on each verdict that is a second look. Records the verdicts that are shown for the first
    time, unless the store cannot be written.
    """
    name = study.recipe.study
    records = {record.variant.name: record for record in study.rows}
    judged = [row for row in table.rows if row.p_adjusted is not None]
    if not judged:
        return table
    earlier = store.looks(name)
    compare = {"metric": table.compare.metric, "at": table.compare.at}
    now = {
        row.variant: {
            "variant": row.variant,
            **compare,
            "runs": sorted(run.fingerprint for run in records[row.variant].runs if run.status == "finished"),
        }
        for row in judged
    }
    new = [one for one in now.values() if one not in earlier]
    if new:
        with suppress(DiskError):  # a store that is only read
            store.add_looks(name, new)
    return replace(table, rows=tuple(noted(row, now.get(row.variant), earlier) for row in table.rows))


def noted(row: Row, now: Look | None, earlier: Sequence[Look]) -> Row:
    """The row, with a note if some of its seeds were added after a verdict was shown."""
    before = None if now is None else first_of(now, earlier)
    if before is None or now is None or not row.seeds:
        return row
    share = row.seeds / len(now["runs"])  # several folds make one seed
    values = {"before": round(len(before["runs"]) * share), "now": row.seeds}
    return replace(row, notes=(*row.notes, Note("second_look", values=values)))


def first_of(now: Look, earlier: Iterable[Look]) -> Look | None:
    """The first look at a part of these runs, if there was none at all of them before."""
    runs = set(now["runs"])
    for one in earlier:
        if {**one, "runs": None} == {**now, "runs": None}:
            if runs <= set(one["runs"]):
                return None
            if set(one["runs"]) < runs:
                return one
    return None
