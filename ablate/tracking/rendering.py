"""What MLflow shows of a study besides its curves: the recipe, the table in all formats, its numbers and plots, and two
saved views in the MLflow UI, which are a table and curves averaged over seeds.

MLflow (3.17) stores a view as a tag of the experiment and lists it in the menu *Views*. Older versions ignore the tags.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import PurePosixPath

from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.diagnosis import NoDiagnosis
from ablate.evidence.gather import Table, table_of
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from ablate.tracking.limits import digest
from ablate.version import __version__

TAG = "mlflow.sharedViewState."
TABLE = "ablate-table"
CURVES = "ablate-curves"


@dataclass(frozen=True)
class Artifacts:
    """Rendered artifacts. ``tables`` and ``pictures`` map file names to contents; ``note`` is Markdown.

    ``columns`` maps each variant to the table's numbers; those that are not finite count as unknown.
    """

    recipe: str = ""
    tables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    columns: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The study run's artifacts: relative path → content."""
        files = {"recipe.yaml": self.recipe.encode()} if self.recipe else {}
        files |= {str(PurePosixPath("tables", name)): text.encode() for name, text in self.tables.items()}
        return files | {str(PurePosixPath("pictures", name)): picture for name, picture in self.pictures.items()}


@dataclass(frozen=True)
class Rendering:
    """Artifacts that are rendered on demand. ``key`` changes whenever their contents do."""

    key: str
    render: Callable[[], Artifacts]


def rendering(study: StudyRecord, store: Store, table: Table | None = None) -> Rendering:
    """The artifacts of a study, rendered only if MLflow lacks them."""
    known = table or table_of(study, store)
    without = replace(known, new_samples=NoNewSamples(), diagnosis=NoDiagnosis(), looked=())
    known = known if known.new_samples.is_quick() else replace(known, new_samples=NoNewSamples())
    values = asdict(without)
    del values["new_samples"], values["diagnosis"]

    def render() -> Artifacts:
        from ablate.report.formats import FORMATS, PRINTED, render
        from ablate.report.formats.json import row_tree
        from ablate.report.pictures import pictures

        columns = {
            row.variant: {
                key: float(v)
                for key, v in row_tree(row).items()
                if isinstance(v, int | float) and not isinstance(v, bool)
            }
            for row in known.rows
        }
        tables = {f"table{FORMATS[name].suffixes[0]}": render(known, name) for name in PRINTED}
        finished = any(row.seeds for row in known.rows)
        drawn = pictures(study, store, known) if finished else {}
        return Artifacts(study.recipe.text, tables, render(known, "md"), drawn, columns)

    return Rendering(digest([__version__, study.recipe.text, values]), render)


def views(study: StudyRecord, columns: Iterable[str]) -> dict[str, str]:
    """The experiment's tags with the views; ``columns`` are the existing metrics of variants."""
    wanted = ["epochs", "train_loss", "valid_loss", study.recipe.compare.metric, "delta_parent"]
    known = set(columns)
    metrics = [f"metrics.`{name}`" for name in dict.fromkeys(wanted) if name in known]
    shown = ["tags.`ablate.description`", *metrics, "tags.`ablate.status`"]
    table = {
        "searchFilter": "tags.`ablate.kind` = 'variant'",
        "orderByKey": "tags.`ablate.row`",
        "orderByAsc": True,
        "selectedColumns": shown,
        "columnOrder": shown,
    }
    curves = {
        "searchFilter": "tags.`ablate.kind` = 'seed'",
        "orderByKey": "tags.`ablate.row`",
        "orderByAsc": True,
        "selectedColumns": ["tags.`ablate.status`"],
        "runsHiddenMode": "SHOW_ALL",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "ablate.variant"}]},
    }
    return {TAG + TABLE: _view("Table", table), TAG + CURVES: _view("Curves, mean over seeds", curves)}


def _view(name: str, state: object) -> str:
    # MLflow requires a time of creation in milliseconds; a constant keeps the tag from changing
    return json.dumps({"name": name, "createdAt": 1, "state": json.dumps(state)})
