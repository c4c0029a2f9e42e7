"""Records in ``<study>/published.json`` what has been sent to MLflow, so that nothing is sent twice, and compares it
with the store to find what has not been published, without MLflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ablate.addresses import safe
from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking import describe
from ablate.tracking.address import Address
from ablate.tracking.connection import knows
from ablate.tracking.describe import Description
from ablate.tracking.limits import digest
from ablate.tracking.rendering import Artifacts

VERSION = 1


@dataclass
class Sent:
    """One MLflow run: its id, the digest of its description, and its tags."""

    run: str
    name: str
    digest: str = ""
    tags: list[str] = field(default_factory=list)


@dataclass
class SentSeed(Sent):
    """A seed's run, whose curves were sent up to ``epoch``.

    ``first`` is the time of the first line of its metrics, which changes if it is retrained. ``results`` is the digest
    of its reported values.
    """

    seed: int = 0
    fold: int | None = None
    first: float | None = None
    epoch: int | None = None
    complete: bool = False
    results: str = ""
    not_finite: dict[str, int] = field(default_factory=dict)


@dataclass
class SentVariant(Sent):
    """A variant's run. ``settings``: digest of its settings; ``columns``: the table's sent numbers (None: removed)."""

    variant: str = ""
    settings: str = ""
    columns: dict[str, float | None] = field(default_factory=dict)
    seeds: dict[str, SentSeed] = field(default_factory=dict)


@dataclass
class SentStudy:
    """Everything that was sent to one tracking URI.

    ``files`` maps names of artifacts to digests of their contents; ``rendered`` is the key of the last rendering.
    ``publication`` is the id of a publication in progress or interrupted: MLflow may have more than is recorded here.
    """

    study: Sent | None = None
    files: dict[str, str] = field(default_factory=dict)
    variants: list[SentVariant] = field(default_factory=list)
    rendered: str = ""
    publication: str = ""

    def find(self, rows: Mapping[str, str]) -> dict[str, SentVariant]:
        """The runs of variants (name → digest of settings): by name and settings, or by settings if renamed."""
        found = {sent.variant: sent for sent in self.variants if rows.get(sent.variant) == sent.settings}
        spare = [sent for sent in self.variants if sent.variant not in rows]
        for name, settings in rows.items():
            renamed = [sent for sent in spare if sent.settings == settings and name not in found]
            if renamed:
                found[name] = renamed[0]
                spare.remove(renamed[0])
        return found

    def forget(self) -> None:
        """Forget the study's run, which was deleted in MLflow; runs of variants may still exist."""
        self.study, self.files, self.rendered = None, {}, ""


@dataclass
class Publications:
    """The contents of the file: what was sent to each tracking URI."""

    version: int = VERSION
    trackers: dict[str, SentStudy] = field(default_factory=dict)


class Ledger:
    """The ledger of one study, written by the process that holds its lock."""

    def __init__(self, store: Store, study: str) -> None:
        self.store = store
        self.path = store.study_folder(study) / "published.json"

    @property
    def lock(self) -> Path:
        """The lock file that a publishing process holds."""
        return self.path.with_suffix(".lock")

    def read(self, key: str) -> SentStudy:
        """What was sent to the tracking URI ``key``. An unreadable ledger counts as empty: the study is sent again."""
        return self._trackers().get(key) or SentStudy()

    def write(self, key: str, sent: SentStudy) -> None:
        """Replace what was sent to ``key``."""
        self.store.write_json(self.path, asdict(Publications(trackers=self._trackers() | {key: sent})))

    def _trackers(self) -> dict[str, SentStudy]:
        found = self.store.read(self.path, Publications)
        if found is None or found.version != VERSION:
            return {}
        return {safe(key): sent for key, sent in found.trackers.items()}  # versions before 0.2.0 stored credentials


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
    """Columns to send; None removes one that is no longer known, such as the mean after a seed has diverged."""
    changed: dict[str, float | None] = {
        key: value for key, value in columns.items() if key not in sent.columns or sent.columns[key] != value
    }
    return changed | {key: None for key, value in sent.columns.items() if value is not None and key not in columns}


def settings(study: StudyRecord) -> dict[str, str]:
    return {row.variant.name: digest(describe.params(row)) for row in study.rows}


def begun(row: VariantRecord) -> bool:
    return any(map(trained, row.runs))


def trained(run: RunRecord) -> bool:
    """Whether a run was started with its current settings, data and code."""
    return run.status not in ("queued", "stale")
