"""From a recipe and the store to what there is to do: one run for each variant, seed and fold, each known by its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product

from ablate.planning.compatibility import check_fit
from ablate.planning.missing_data import last_contents
from ablate.recipe import Recipe, Variant, identity, run_fingerprint
from ablate.recipe.selection import of_compare
from ablate.store.records import ENDED_BADLY, RunRecord, Status, StudyRecord, VariantRecord
from ablate.store.store import Store

CHOOSING = ("--seeds", "--only")
"""Flags that choose among runs; the other selecting flags change settings."""

STALE = "its settings, data or code have changed since it was trained"


@dataclass(frozen=True)
class PlannedRun:
    """One run as the recipe has it, and what the store knows of it.

    ``identity`` is what all seeds of its settings share. ``before`` is the run that the same row was with the same seed when last recorded, where that is
    another one. ``upon`` are the rows whose weights it is built upon, with their identities.
    """

    variant: Variant
    seed: int
    fingerprint: str
    identity: str
    record: RunRecord
    before: str | None = None
    upon: Mapping[str, str] = field(default_factory=dict)

    def needs(self, seed: int | None = None) -> dict[str, str]:
        """The runs that must have finished before, with the same seed (or another one) and fold, by row."""
        seed = self.seed if seed is None else seed
        return {row: run_fingerprint(shared, seed, self.record.fold) for row, shared in self.upon.items()}

    @property
    def leader(self) -> str:
        """The run of its stack whose folder has the stack's log and checkpoints; itself where it trains alone."""
        if not self.record.stack:
            return self.fingerprint
        return run_fingerprint(self.identity, self.record.stack[0], self.record.fold)


@dataclass(frozen=True)
class Plan:
    """All runs of a study. A fingerprint that several rows share is one run. ``rows_before`` names the rows that the study had when last recorded.

    ``needed`` are the runs of rows that were not chosen, which chosen ones are built upon.
    """

    recipe: Recipe
    runs: tuple[PlannedRun, ...]
    rows_before: frozenset[str] = frozenset()
    needed: tuple[PlannedRun, ...] = ()

    @cached_property
    def _by_row(self) -> dict[str, tuple[PlannedRun, ...]]:
        rows: dict[str, list[PlannedRun]] = {v.name: [] for v in (*self.recipe.variants, *self.recipe.needed)}
        for run in (*self.runs, *self.needed):
            rows[run.variant.name].append(run)
        return {name: tuple(runs) for name, runs in rows.items()}

    def runs_of(self, variant: str) -> tuple[PlannedRun, ...]:
        """The runs of one row, in the order of its seeds, fold by fold."""
        return self._by_row[variant]

    def to_do(self, *, retry_failed: bool = False, fresh: bool = False) -> list[PlannedRun]:
        """The runs that are missing, each once. Failed ones only where asked for; all of them under ``fresh``.

        What they are built upon comes along where it is missing, also where its row was not chosen.
        """
        done: tuple[Status, ...] = ("finished",) if retry_failed else ("finished", *ENDED_BADLY)
        known: dict[str, PlannedRun] = {}
        for run in (*self.needed, *self.runs):
            known.setdefault(run.fingerprint, run)
        wanted = {run.fingerprint: run for run in reversed(self.runs) if fresh or run.record.status not in done}
        waiting = list(wanted.values())
        while waiting:
            for name in waiting.pop().needs().values():
                if name not in wanted and known[name].record.status not in done:
                    wanted[name] = known[name]
                    waiting.append(known[name])
        return [run for name, run in known.items() if name in wanted]

    def record(self) -> StudyRecord:
        """The study as far as the store knows it."""
        rows = tuple(
            VariantRecord(variant, tuple(run.record for run in self.runs_of(variant.name)))
            for variant in self.recipe.variants
        )
        return StudyRecord(self.recipe, rows)

    def renewed(self, store: Store) -> Plan:
        """The same runs as the store knows them now, whatever became of the recipe's data and code since."""

        def now(run: PlannedRun) -> PlannedRun:
            epochs = run.variant.settings.epochs
            return replace(run, record=store.record(run.fingerprint, run.seed, epochs, run.record.fold))

        return replace(self, runs=tuple(map(now, self.runs)), needed=tuple(map(now, self.needed)))


def make_plan(recipe: Recipe, store: Store) -> Plan:
    """Fingerprint every run of a recipe and look each up in the store. Raises `RecipeError` where a loss or metric does not suit the data.

    A run that is missing, where the same row and seed was trained as another one before, is `stale`: the recipe, its data or its code have changed since.
    """
    check_fit(recipe)
    flags = settings_flags(recipe.selection)
    rows = {row["variant"]: row for row in store.study(recipe.study).get("rows", ()) if row.get("flags", []) == flags}
    runs = []
    gone = last_contents(recipe, store)
    shared_by = {
        variant.name: identity(variant.settings, folder=recipe.folder, folds=recipe.folds, gone=gone)
        for variant in (*recipe.variants, *recipe.needed)
    }
    for variant in (*recipe.variants, *recipe.needed):
        row = rows.get(variant.name, {})
        earlier = {**row.get("before", {}), **row.get("runs", {})}
        shared = shared_by[variant.name]
        for seed, fold in product(recipe.seeds, range(recipe.folds.k) if recipe.folds else (None,)):
            name = run_fingerprint(shared, seed, fold)
            record = store.record(name, seed, variant.settings.epochs, fold)
            before = earlier.get(run_key(seed, fold))
            if before == name:
                before = row.get("before", {}).get(run_key(seed, fold))
            if record.status == "queued" and before is not None and store.record(before).status == "finished":
                record = replace(record, status="stale", reason=STALE)
            upon = {row: shared_by[row] for row in variant.settings.source_rows if row in shared_by}
            runs.append(PlannedRun(variant, seed, name, shared, record, before, upon))
    chosen = {variant.name for variant in recipe.variants}
    needed = tuple(run for run in runs if run.variant.name not in chosen)
    return Plan(recipe, tuple(run for run in runs if run.variant.name in chosen), frozenset(rows), needed)


def run_key(seed: int, fold: int | None = None) -> str:
    """What a row's run is called in ``study.json``: ``3``, and ``3.0`` for the first fold of seed 3."""
    return str(seed) if fold is None else f"{seed}.{fold}"


def settings_flags(selection: Sequence[str]) -> list[str]:
    """Of the flags that selected a study's rows (pairs of flag and value), those that change settings; ``compare`` is none."""
    pairs = zip(selection[::2], selection[1::2], strict=True)
    return [
        word
        for flag, value in pairs
        if flag not in CHOOSING and not (flag == "--set" and of_compare(value.partition("=")[0].strip()))
        for word in (flag, value)
    ]
