"""One publication, step by step: the study, its variants, their seeds."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking import describe
from ablate.tracking.connection import Connection
from ablate.tracking.describe import Description, Point, stepped, stretches
from ablate.tracking.ledger import (
    Ledger,
    Sent,
    SentSeed,
    SentVariant,
    begun,
    changed_columns,
    row_news,
    seed_news,
    settings,
    trained,
)
from ablate.tracking.limits import NAME, TAG_VALUE, cut_lines, digest
from ablate.tracking.rendering import TAG, Artifacts, views

NOTE_REST = "… (truncated; see the artifacts for the full table)"
NOT_FINITE = "ablate.not_finite"
SAVE_SECONDS = 1.0
"""Minimum time between two writes of the ledger. What a killed process did not record is looked up in MLflow."""

Kind = TypeVar("Kind", bound=Sent)


class Upload:
    """One publication: the ledger in memory, the connection, and the counts.

    The ledger records that a publication is in progress. After an interrupted one, MLflow is asked what it has: runs
    that are not in the ledger are deleted, and curves continue after their last point.
    """

    def __init__(
        self, study: StudyRecord, store: Store, artifacts: Artifacts, connection: Connection, check: bool = False
    ) -> None:
        self.study, self.store, self.artifacts, self.connection, self.check = study, store, artifacts, connection, check
        self.ledger = Ledger(store, study.recipe.study)
        self.key = connection.address.key(store.root)
        self.sent = self.ledger.read(self.key)
        self.settings = settings(study)
        self.broken = self.sent.publication
        self.runs = self.points = 0
        self.refused: dict[str, int] = {}
        self.made: set[str] = set()
        self.saved = self.took = 0.0

    def everything(self, rendered: str = "") -> None:
        """Send the study, its variants, the curves, and then the artifacts, whose key is ``rendered``."""
        try:
            self._everything()
        except BaseException:
            with suppress(OSError):
                self._save(now=True)
            raise
        self.sent.rendered = "" if self.refused else rendered
        self.sent.publication = ""
        self._save(now=True)

    def _everything(self) -> None:
        recipe, sent = self.study.recipe, self.sent
        known = [each.run for each in (sent.study, *sent.variants) if each]
        orphans = list(sent.variants)
        if self.connection.enter(recipe.study, known, recipe.description) == (sent.study and sent.study.run):
            orphans = []
        else:
            sent.forget()
            self.check = True
        if self.broken:
            self._sweep()
        sent.publication = uuid.uuid4().hex
        self._save(now=True)
        description = describe.of_study(self.study, self.store)
        sent.study = sent.study or self._create(Sent, description, None)
        self._describe(sent.study, description)
        for orphan in orphans:
            self.connection.adopt(orphan.run, sent.study.run)
        self._note(sent.study)
        self._views()
        rows = [row for row in self.study.rows if begun(row)]
        runs = [(row, self._variant(row, sent.study)) for row in rows]
        self._mark_earlier({row.variant.name: sent_variant for row, sent_variant in runs})
        for row, sent_variant in runs:
            for run in row.runs:
                if trained(run):
                    self._seed(row, run, sent_variant)
        if self.runs and self.connection.address.remote:
            self._sweep()  # a repeated request may have created a run twice
        self._files(sent.study)  # last, because a server may refuse them

    def _files(self, sent: Sent) -> None:
        files = self.artifacts.files()
        there = self.connection.there_of(sent.run, files) if self.check else set(files)
        for name, content in files.items():
            known = digest(content.hex())
            if self.sent.files.get(name) == known and name in there:
                continue
            if (status := self.connection.file(sent.run, name, content)) is not None:
                self.refused[name] = status
                continue
            self.sent.files[name] = known
            self._save()

    def _note(self, sent: Sent) -> None:
        note = self.artifacts.note
        if note and self.sent.files.get(describe.NOTE) != digest(note):
            self.connection.tag(sent.run, describe.NOTE, cut_lines(note, TAG_VALUE, NOTE_REST))
            self.sent.files[describe.NOTE] = digest(note)
            self._save()

    def _views(self) -> None:
        columns = {name for values in self.artifacts.columns.values() for name in values}
        wanted = views(self.study, columns) if columns else {}
        if wanted and self.sent.files.get(TAG) != digest(wanted):
            for key, value in wanted.items():
                self.connection.tag_experiment(key, value)
            self.sent.files[TAG] = digest(wanted)
            self._save()

    def _variant(self, row: VariantRecord, parent: Sent) -> SentVariant:
        description = describe.of_variant(self.study, row, self.store)
        sent = self.sent.find(self.settings).get(row.variant.name)
        lost = None
        if sent is not None and self._touched(row, sent, description) and not self.connection.there(sent.run):
            self.sent.variants.remove(sent)
            lost, sent = sent, None
        if sent is None:
            sent = self._create(SentVariant, description, parent)
            sent.settings = digest(dict(description.params))
            self.sent.variants.append(sent)
            for fingerprint, seed in lost.seeds.items() if lost is not None else ():
                self.connection.adopt(seed.run, sent.run)
                sent.seeds[fingerprint] = seed
        sent.variant = row.variant.name
        self._describe(sent, description)
        columns = describe.finite(self.artifacts.columns.get(row.variant.name, {}))
        changed = changed_columns(sent, columns) if self.artifacts.columns else {}
        if changed:
            # at the last epoch, so that the point is at the end of the seeds' curves; of two, the later time counts
            now, step = int(time.time() * 1000), row.variant.settings.planned_epochs
            points = [Point(key, math.nan if value is None else value, now, step) for key, value in changed.items()]
            self._points(sent, points)
            sent.columns |= changed
            self._save()
        return sent

    def _touched(self, row: VariantRecord, sent: SentVariant, description: Description) -> bool:
        return self.check or row_news(self.study, self.store, row, sent, description, self.artifacts)

    def _seed(self, row: VariantRecord, run: RunRecord, parent: SentVariant) -> None:
        description = describe.of_seed(self.study, row, run, self.store)
        sent = parent.seeds.get(run.fingerprint)
        if not self.check and not seed_news(self.store, run, sent, description):
            return
        if sent is not None and not self.connection.there(sent.run):
            sent = None
        first = next((float(line.get("time", 0)) for line in self.store.metrics(run.fingerprint)), None)
        if sent is not None and sent.first is not None and first is not None and sent.first != first:
            self.connection.trash(sent.run)  # retrained: its curves are outdated
            sent = None
        if sent is None:
            sent = self._create(SentSeed, description, parent)
            sent.seed, sent.fold = run.seed, run.fold
            parent.seeds[run.fingerprint] = sent
            self._save()
        sent.first = first if sent.first is None else sent.first
        self._describe(sent, description)
        results = digest(dict(description.results))
        if description.results and sent.results != results:
            when = int(time.time() * 1000) if description.end is None else description.end
            chosen = run.epoch if run.selected_epoch is None else run.selected_epoch
            lines = stepped(self.store.metrics(run.fingerprint))
            step = next((step for line, step in lines if line["epoch"] == chosen), chosen)
            self._points(sent, [Point(key, value, when, step) for key, value in description.results.items()])
            sent.results = results
        there = self._last_there(run, sent) if self.broken else None
        for stretch in stretches(self.store.metrics(run.fingerprint), sent.epoch):
            points = [point for point in stretch.points if there is None or point.step > there]
            if points:
                self._points(sent, points)
            sent.epoch = stretch.epoch
            new = {name: epoch for name, epoch in stretch.not_finite.items() if name not in sent.not_finite}
            if new:
                sent.not_finite |= new
                text = ", ".join(f"{name} from epoch {epoch}" for name, epoch in sent.not_finite.items())
                self.connection.tag(sent.run, NOT_FINITE, text)
            self._save()
        sent.complete = run.status != "running"
        self._save()

    def _last_there(self, run: RunRecord, sent: SentSeed) -> int | None:
        """The last step in MLflow; the points of one call arrive together or not at all."""
        first = next(stretches(self.store.metrics(run.fingerprint), sent.epoch), None)
        return self.connection.last_step(sent.run, {point.key for point in first.points}) if first else None

    def _sweep(self) -> None:
        """Delete runs of this publication, or of an interrupted one, that are not in the ledger."""
        known = {sent.run for sent in self.sent.variants} | {self.sent.study.run if self.sent.study else ""}
        known |= {seed.run for sent in self.sent.variants for seed in sent.seeds.values()}
        for run in list(self.connection.made_by(self.sent.publication)):
            if run not in known:
                self.connection.discard(run)

    def _mark_earlier(self, current: Mapping[str, SentVariant]) -> None:
        """Mark the names of runs that were replaced because their settings, data or code changed."""
        rows = {row.variant.name: row for row in self.study.rows}
        now = [id(sent) for sent in current.values()]
        for sent in self.sent.variants:
            if id(sent) not in now and sent.variant in current:
                self._rename(sent, " (earlier settings)")
        for name, sent in current.items():
            seeds = {(run.seed, run.fold): run.fingerprint for run in rows[name].runs if trained(run)}
            for fingerprint, seed in sent.seeds.items():
                if seeds.get((seed.seed, seed.fold), fingerprint) != fingerprint:
                    self._rename(seed, " (earlier)")

    def _rename(self, sent: Sent, mark: str) -> None:
        if not sent.name.endswith(mark) and self.connection.there(sent.run):
            sent.name = sent.name[: NAME - len(mark)] + mark
            self.connection.rename(sent.run, sent.name)
            self._save()

    def _create(self, kind: type[Kind], description: Description, parent: Sent | None) -> Kind:
        run = self.connection.create(description, parent.run if parent else None, self.sent.publication)
        self.runs += 1
        self.made.add(run)
        return kind(run, description.name, tags=list(description.tags))

    def _describe(self, sent: Sent, description: Description) -> None:
        if sent.digest != description.digest or sent.name != description.name:
            if not sent.digest:
                self.connection.params(sent.run, description)
            if sent.run not in self.made:  # new runs have their name and tags
                self.connection.describe(sent.run, description, sent.tags)
            self.connection.state(sent.run, description)
            sent.digest, sent.name, sent.tags = description.digest, description.name, list(description.tags)
            self._save()

    def _points(self, sent: Sent, points: list[Point] | tuple[Point, ...]) -> None:
        self.connection.points(sent.run, points)
        self.points += len(points)

    def _save(self, now: bool = False) -> None:
        began = time.monotonic()
        if now or began - self.saved > max(SAVE_SECONDS, 30 * self.took):
            self.ledger.write(self.key, self.sent)
            self.saved = time.monotonic()
            self.took = self.saved - began
