"""Two ready views of a study on MLflow's page: its table, and its curves averaged over seeds.

MLflow (3.17) keeps a view as a tag of the experiment and lists it in the menu *Views*. Older pages ignore the tags.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ablate.store.records import StudyRecord

TAG = "mlflow.sharedViewState."
TABLE = "ablate-table"
CURVES = "ablate-curves"


def views(study: StudyRecord, columns: Iterable[str]) -> dict[str, str]:
    """The experiment's tags that make the views; ``columns`` are the variants' metrics that exist."""
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
    # MLflow wants a time of creation in milliseconds; a fixed one keeps the tag the same from publication to publication
    return json.dumps({"name": name, "createdAt": 1, "state": json.dumps(state)})
