"""What MLflow shows of a study besides its curves: the recipe, the table in all formats, its numbers and plots."""

from __future__ import annotations

from dataclasses import asdict

from ablate.evidence.gather import Table, table_of
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.artifacts import Artifacts, Rendering
from ablate.tracking.limits import digest
from ablate.version import __version__


def rendering(study: StudyRecord, store: Store, table: Table | None = None) -> Rendering:
    """The artifacts of a study, rendered only if MLflow lacks them."""
    known = table or table_of(study, store)

    def render() -> Artifacts:
        from ablate.report.formats import FORMATS, PRINTED, render
        from ablate.report.formats.json import row_tree
        from ablate.report.pictures import pictures

        columns = {
            row.variant: {key: float(v) for key, v in row_tree(row).items() if isinstance(v, int | float)}
            for row in known.rows
        }
        tables = {f"table{FORMATS[name].suffixes[0]}": render(known, name) for name in PRINTED}
        finished = any(row.seeds for row in known.rows)
        drawn = pictures(study, store, known) if finished else {}
        return Artifacts(study.recipe.text, tables, render(known, "md"), drawn, columns)

    return Rendering(digest([__version__, study.recipe.text, asdict(known)]), render)
