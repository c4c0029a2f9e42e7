"""What has been sent to MLflow, kept beside the store in ``<study>/published.json``: so nothing goes twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ablate.store.store import Store, read_or_nothing

VERSION = 1


@dataclass
class Sent:
    """One MLflow run that was made: its id, the digest of the description it has, and the tags it carries."""

    run: str
    name: str
    digest: str = ""
    tags: list[str] = field(default_factory=list)


@dataclass
class SentSeed(Sent):
    """A seed's run: curves are there up to ``epoch``; ``first`` is the time of their first line, which tells a training from its
    repetition; ``results`` is the digest of the values that the row reports of it."""

    seed: int = 0
    fold: int | None = None
    first: float | None = None
    epoch: int | None = None
    complete: bool = False
    results: str = ""
    not_finite: dict[str, int] = field(default_factory=dict)


@dataclass
class SentVariant(Sent):
    """A variant's run. ``settings`` is the digest of its settings, ``columns`` the table's columns as sent (None: taken back)."""

    variant: str = ""
    settings: str = ""
    columns: dict[str, float | None] = field(default_factory=dict)
    seeds: dict[str, SentSeed] = field(default_factory=dict)


@dataclass
class SentStudy:
    """All that was sent to one tracking URI. ``files`` maps names of artifacts to digests of their contents, ``rendered`` is the key of those that were
    rendered last. ``publication`` names the publication that is under way, or that was broken off: MLflow may have more than is written here."""

    study: Sent | None = None
    files: dict[str, str] = field(default_factory=dict)
    variants: list[SentVariant] = field(default_factory=list)
    rendered: str = ""
    publication: str = ""

    def find(self, rows: Mapping[str, str]) -> dict[str, SentVariant]:
        """For rows (name → digest of settings) the runs they have: by name and settings, or, after renaming, by settings alone."""
        found = {sent.variant: sent for sent in self.variants if rows.get(sent.variant) == sent.settings}
        spare = [sent for sent in self.variants if sent.variant not in rows]
        for name, settings in rows.items():
            if name not in found:
                for sent in spare:
                    if sent.settings == settings:
                        found[name] = sent
                        spare.remove(sent)
                        break
        return found

    def forget(self) -> None:
        """Begin again: the record in MLflow is gone."""
        self.study, self.files, self.variants, self.rendered = None, {}, [], ""


class Ledger:
    """The ledger of one study. One process writes at a time: whoever holds the lock."""

    def __init__(self, store: Store, study: str) -> None:
        self.store = store
        self.path = store.study_folder(study) / "published.json"

    @property
    def lock(self) -> Path:
        """The lock file that a publishing process holds."""
        return self.path.with_suffix(".lock")

    def read(self, key: str) -> SentStudy:
        """What was sent to the tracking URI ``key``. An unreadable ledger counts as empty: MLflow then gets the study once more."""
        try:
            return _study(self._trackers().get(key, {}))
        except (TypeError, KeyError, AttributeError):
            return SentStudy()

    def write(self, key: str, sent: SentStudy) -> None:
        """Replace what was sent to ``key``."""
        trackers = self._trackers() | {key: asdict(sent)}
        self.store.write_json(self.path, {"version": VERSION, "trackers": trackers})

    def _trackers(self) -> dict[str, Any]:
        value = read_or_nothing(self.path)
        trackers = value.get("trackers")
        return trackers if value.get("version") == VERSION and isinstance(trackers, dict) else {}


def _study(value: dict[str, Any]) -> SentStudy:
    study = value.get("study")
    return SentStudy(
        Sent(**study) if study else None,
        value.get("files", {}),
        list(_variants(value.get("variants", []))),
        value.get("rendered", ""),
        value.get("publication", ""),
    )


def _variants(values: list[dict[str, Any]]) -> Iterator[SentVariant]:
    for value in values:
        seeds = {fingerprint: SentSeed(**seed) for fingerprint, seed in value["seeds"].items()}
        yield SentVariant(**{**value, "seeds": seeds})
