"""What a report says, whatever its format: the state of the study, and its settings, costs and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ablate.evidence.contrasts import UNDER_WAY
from ablate.evidence.table import Table
from ablate.recipe.settings import differences
from ablate.report.column import Cells, Column, words
from ablate.report.columns import select_columns
from ablate.report.document import Document
from ablate.report.notes import cut
from ablate.report.numbers import duration
from ablate.report.wording import plain, setting_text, status_text, titled
from ablate.store.records import RunRecord, StudyRecord
from ablate.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMES = 10
"""Variants that are named before they are only counted."""

POINTS = 20_000
"""Points of a metric's curves that all runs share, so that the file stays small."""

LEAST_POINTS, MOST_POINTS = 30, 200
"""Points of a curve."""

COSTS = (
    *("seeds", "epochs", "steps", "parameters", "seconds", "device_seconds", "tuning_device_seconds"),
    *("total_device_seconds", "peak_memory"),
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A study and its table, with the ``document`` that shows it. ``diagnosis``: sentences by variant."""

    study: StudyRecord
    store: Store
    table: Table
    document: Document
    diagnosis: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def runs(self) -> list[RunRecord]:
        """The runs of all variants, each once."""
        every = {run.fingerprint: run for row in self.study.rows for run in row.runs}
        return list(every.values())

    def state(self) -> list[str]:
        """What is missing; nothing if all variants have finished."""
        runs, rows = Counter(run.status for run in self.runs), self.table.rows
        waiting = [row for row in rows if row.status in UNDER_WAY]
        bad = [row for row in rows if row.status not in (*UNDER_WAY, "finished")]
        lines = []
        if waiting:
            head = "This study is still running" if runs["running"] else "This study is not complete"
            names = cut([f"{row.variant} ({status_text(row)})" for row in waiting], MOST_NAMES)
            lines.append(f"{head}: {runs['finished']} of {runs.total()} runs have finished. Missing: {names}.")
        if bad:
            lines.append(f"Not finished: {cut([f'{row.variant} ({status_text(row)})' for row in bad], MOST_NAMES)}.")
        return [plain(line) for line in lines]

    def settings(self) -> Cells:
        """The settings of each variant that differ from its parent's."""
        known = {record.variant.name: record.variant for record in (*self.study.family, *self.study.rows)}
        rows: list[list[str]] = []
        breaks = set()
        for variant in (record.variant for record in self.study.rows):
            parent = known.get(variant.parent or "")
            found = [] if parent is None else differences(parent.settings, variant.settings)
            if found:
                breaks.add(len(rows))
            for path, before, now in found:
                names = [variant.name, variant.parent or "", path]
                rows.append([plain(text) for text in (*names, setting_text(before), setting_text(now))])
        titles = ["Name", "Parent", "Setting", "Value of the parent", "Value"]
        return Cells(titles, rows, ["left"] * len(titles), breaks=frozenset(breaks - {0}))

    def costs(self) -> tuple[Cells, str]:
        """What the runs of each variant took, and what all took together."""
        table, columns = select_columns(self.table, ["variant", *COSTS])
        known = [columns[0], *(c for c in columns[1:] if any(c.value(row) is not None for row in table.rows))]
        if not any(row.tried for row in table.rows):
            known = [column for column in known if column.key not in ("tuning_device_seconds", "total_device_seconds")]
        cells = Document(table=table, columns=[*known, self._devices()]).cells()
        total = sum(run.device_seconds or 0.0 for run in self.runs)
        unit = "Values are per seed; seconds are those of a job, divided by its seeds."
        return cells, f"{unit} All runs together: {duration(total)} device seconds."

    def _devices(self) -> Column:
        devices = {
            record.variant.name: list(dict.fromkeys(one for run in record.runs if (one := _device(run)) is not None))
            for record in self.study.rows
        }
        return words("device", "Device", lambda row: ", ".join(devices.get(row.variant, ())))

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The figures by name. Call it under `drawing`."""
        from ablate.report.curves import Curves
        from ablate.report.draw_curves import MOST_PANELS
        from ablate.report.pictures import figures

        drawn = sum(len(row.runs) for row in self.study.rows[:MOST_PANELS])
        points = min(max(POINTS // max(drawn, 1), LEAST_POINTS), MOST_POINTS)
        yield from figures(
            self.study, self.store, self.table, Curves(self.study, self.store, points=points, peaks=True)
        )

    def heading(self, figure: str) -> str:
        """The title of a figure's section."""
        names = {"ladder": "Ladder", "effects": "Effects", "curves": "Learning curves"}
        return names.get(figure) or f"Learning curves: {titled(self.table.compare.metric, inside=True)}"

    def caption(self, figure: str) -> str:
        """What a figure shows, for readers who do not see it."""
        metric = titled(self.table.compare.metric, inside=True)
        about = {
            "ladder": f"{metric} of each variant, and its change from the parent",
            "effects": f"Effect of each variant on {metric}, with confidence interval and seeds",
            "curves": "Training and validation loss of each variant",
            "metric": f"{metric} of each variant during training",
        }
        text = about[figure]
        return text[:1].upper() + text[1:]


def _device(run: RunRecord) -> str | None:
    return None if run.origin is None else run.origin.device
