"""What MLflow lacks: the store compared with the ledger, without MLflow."""

from __future__ import annotations

from collections.abc import Mapping

from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking import describe
from ablate.tracking.address import Address
from ablate.tracking.artifacts import Artifacts
from ablate.tracking.connection import knows
from ablate.tracking.describe import Description
from ablate.tracking.ledger import SentSeed, SentStudy, SentVariant
from ablate.tracking.limits import digest


def news(study: StudyRecord, store: Store, sent: SentStudy, address: Address, artifacts: Artifacts | None) -> bool:
    rows = [row for row in study.rows if begun(row)]
    if not rows:
        return False
    if sent.study is None or not knows(address, sent.study.run):
        return True
    if sent.study.digest != describe.of_study(study, store).digest:
        return True
    if artifacts is not None:
        texts = {name: digest(content.hex()) for name, content in artifacts.files().items()}
        texts |= {describe.NOTE: digest(artifacts.note)} if artifacts.note else {}
        if any(sent.files.get(name) != value for name, value in texts.items()):
            return True
    found = sent.find(settings(study))
    return any(
        row_news(
            study,
            store,
            row,
            found.get(row.variant.name),
            describe.of_variant(study, row, store),
            artifacts or Artifacts(),
        )
        for row in rows
    )


def row_news(
    study: StudyRecord,
    store: Store,
    row: VariantRecord,
    sent: SentVariant | None,
    description: Description,
    artifacts: Artifacts,
) -> bool:
    if sent is None or sent.digest != description.digest or sent.name != description.name:
        return True
    columns = describe.finite(artifacts.columns.get(row.variant.name, {}))
    if artifacts.columns and changed_columns(sent, columns):
        return True
    return any(
        seed_news(store, run, sent.seeds.get(run.fingerprint), describe.of_seed(study, row, run, store))
        for run in row.runs
        if trained(run)
    )


def seed_news(store: Store, run: RunRecord, sent: SentSeed | None, description: Description) -> bool:
    if sent is None or sent.digest != description.digest or sent.name != description.name:
        return True
    if sent.complete:
        return False
    if run.status != "running":
        return True
    return any(sent.epoch is None or line["epoch"] > sent.epoch for line in store.metrics(run.fingerprint))


def changed_columns(sent: SentVariant, columns: Mapping[str, float]) -> dict[str, float | None]:
    """Columns to send; None takes back what is no longer known, such as the mean of a row after a seed has diverged."""
    changed: dict[str, float | None] = {
        key: value for key, value in columns.items() if key not in sent.columns or sent.columns[key] != value
    }
    return changed | {key: None for key, value in sent.columns.items() if value is not None and key not in columns}


def settings(study: StudyRecord) -> dict[str, str]:
    return {row.variant.name: digest(describe.params(row)) for row in study.rows}


def begun(row: VariantRecord) -> bool:
    return any(map(trained, row.runs))


def trained(run: RunRecord) -> bool:
    """Whether there is something to tell of a run: it was at least begun, with the settings, data and code that it has now."""
    return run.status not in ("queued", "stale")
