"""The plan of a study, from its recipe and the store: one run per variant, seed and fold, each with its fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ablate.planning.compatibility import check_fit
from ablate.planning.forward_selection import ForwardSelection, forward_selection
from ablate.planning.kept_output import reading_changed
from ablate.planning.missing_data import last_contents
from ablate.planning.planned_run import STALE, PlannedRun, planned_runs, run_key
from ablate.planning.search import Search, TuningSearch, search_of
from ablate.recipe import Recipe, identity
from ablate.recipe.selection import COMPARED
from ablate.store.records import ENDED_BADLY, RunRecord, Status, StudyRecord, VariantRecord
from ablate.store.store import Store

CHOOSING = ("--seeds", "--until", "--only")
"""Flags that select runs; the other ones change settings."""


@dataclass(frozen=True)
class Plan:
    """All runs of a study. Variants with the same fingerprint share a run.

    ``rows_before`` are the variants of the study when last recorded. ``needed`` are the runs of variants that were not
    selected, but that selected ones require; ``others`` those of the remaining variants of the recipe, which are
    neither trained nor shown, but count in verdicts. ``search`` is what the recipe tunes, or the tricks that it
    selects: until it is complete, the settings of the runs are not known, and they wait.
    """

    recipe: Recipe
    runs: tuple[PlannedRun, ...]
    rows_before: frozenset[str] = frozenset()
    needed: tuple[PlannedRun, ...] = ()
    others: tuple[PlannedRun, ...] = ()
    search: Search | None = None

    @property
    def waiting(self) -> bool:
        """Whether candidates must be trained before the runs."""
        return self.search is not None and not self.search.complete

    @cached_property
    def _by_row(self) -> dict[str, tuple[PlannedRun, ...]]:
        recipe = self.recipe
        rows: dict[str, list[PlannedRun]] = {v.name: [] for v in (*recipe.variants, *recipe.needed, *recipe.family)}
        for run in (*self.runs, *self.needed, *self.others):
            rows[run.variant.name].append(run)
        return {name: tuple(runs) for name, runs in rows.items()}

    def runs_of(self, variant: str) -> tuple[PlannedRun, ...]:
        """The runs of one variant, by seed and fold."""
        return self._by_row[variant]

    def to_do(self, *, retry_failed: bool = False, fresh: bool = False) -> list[PlannedRun]:
        """The runs to train, each once: with ``retry_failed`` also failed ones, with ``fresh`` all. Those whose metrics
        are only read again are not among them.

        Includes missing runs that these require, even of variants that were not selected.
        """
        done: tuple[Status, ...] = ("finished",) if retry_failed else ("finished", *ENDED_BADLY)
        known: dict[str, PlannedRun] = {}
        for run in (*self.needed, *self.runs):
            known.setdefault(run.fingerprint, run)
        wanted = {
            run.fingerprint: run
            for run in reversed(self.runs)
            if fresh or (run.record.status not in done and not run.kept)
        }
        waiting = list(wanted.values())
        while waiting:
            for name in waiting.pop().needs().values():
                if name not in wanted and known[name].record.status not in done:
                    wanted[name] = known[name]
                    waiting.append(known[name])
        return [run for name, run in known.items() if name in wanted]

    def record(self) -> StudyRecord:
        """The state of the study in the store."""
        tuned = self.search.tuned if isinstance(self.search, TuningSearch) else {}
        path = self.search.record() if isinstance(self.search, ForwardSelection) else None
        rows, family = (
            tuple(
                VariantRecord(one, tuple(run.record for run in self.runs_of(one.name)), tuned.get(one.name))
                for one in variants
            )
            for variants in (self.recipe.variants, self.recipe.family)
        )
        return StudyRecord(self.recipe, rows, family, path=path)

    def renewed(self, store: Store) -> Plan:
        """The same runs with their current records, ignoring later changes of data and code."""

        if self.waiting:
            return self

        def now(run: PlannedRun) -> PlannedRun:
            record = store.record(run.fingerprint, run.seed, run.variant.settings.planned_epochs, run.record.fold)
            if run.kept is not None and reading_changed(run.variant.settings, record):
                return run
            return replace(run, record=record, kept=None)

        runs, needed, others = (tuple(map(now, runs)) for runs in (self.runs, self.needed, self.others))
        return replace(self, runs=runs, needed=needed, others=others)


def make_plan(recipe: Recipe, store: Store) -> Plan:
    """Compute the fingerprint of every run of a recipe and look it up in the store. Raises `RecipeError`.

    A missing run is `stale` if the variant was trained with this seed before: its settings, data or code have changed.
    With ``tune``, the settings are those that the candidates in the store chose; with the design greedy, the variants.
    """
    check_fit(recipe)
    gone = last_contents(recipe, store)
    flags = settings_flags(recipe.selection)
    search: Search | None = None
    if recipe.tuning is not None:
        trials = store.study(recipe.study).get("trials", [])
        search = search_of(recipe, store, gone, [row for row in trials if row.get("flags", []) == flags])
    elif recipe.greedy is not None:
        search = forward_selection(recipe, store, gone)
    if search is not None:
        recipe = search.recipe
    rows = {row["variant"]: row for row in store.study(recipe.study)["rows"] if row.get("flags", []) == flags}
    runs = []
    selected = (*recipe.variants, *recipe.needed)
    required = {variant.name for variant in selected}
    variants = (*selected, *(variant for variant in recipe.family if variant.name not in required))
    shared_by = {
        variant.name: identity(variant.settings, folder=recipe.folder, folds=recipe.folds, gone=gone)
        for variant in variants
    }
    for variant in variants:
        row = rows.get(variant.name)
        older = row.get("before", {}) if row else {}
        earlier = {**older, **row["runs"]} if row else {}
        shared = shared_by[variant.name]
        upon = {row: shared_by[row] for row in variant.settings.source_rows if row in shared_by}
        for run in planned_runs(variant, recipe.seeds, shared, recipe, store):
            seed, name, record, fold = run.seed, run.fingerprint, run.record, run.record.fold
            if search is not None and not search.complete:
                runs.append(replace(run, record=RunRecord(name, seed, fold, epochs=record.epochs), upon=upon))
                continue
            before = earlier.get(run_key(seed, fold))
            if before == name:
                before = older.get(run_key(seed, fold))
            if record.status == "queued" and before is not None and store.record(before).status == "finished":
                record = replace(record, status="stale", reason=STALE)
            runs.append(replace(run, record=record, before=before, upon=upon))
    chosen = {variant.name for variant in recipe.variants}
    return Plan(
        recipe,
        tuple(run for run in runs if run.variant.name in chosen),
        frozenset(rows),
        tuple(run for run in runs if run.variant.name in required - chosen),
        tuple(run for run in runs if run.variant.name not in required),
        search,
    )


def settings_flags(selection: Sequence[str]) -> list[str]:
    """The flags of a selection (pairs of flag and value) that change settings; ``compare`` is not one."""
    pairs = zip(selection[::2], selection[1::2], strict=True)
    return [
        word
        for flag, value in pairs
        if flag not in CHOOSING and not (flag == "--set" and value.partition("=")[0].strip() in COMPARED)
        for word in (flag, value)
    ]
