"""From a recipe and the store to what there is to do: one run for each variant and seed, each known by its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablate.engine.trainer import Assignment
from ablate.recipe import Recipe, Variant, identity, run_fingerprint
from ablate.study.jobs import Job
from ablate.study.records import ENDED_BADLY, RunRecord, StudyRecord, VariantRecord
from ablate.study.store import Store


@dataclass(frozen=True)
class PlannedRun:
    """One run as the recipe has it, and what the store knows of it."""

    variant: Variant
    seed: int
    fingerprint: str
    record: RunRecord


@dataclass(frozen=True)
class Plan:
    """All runs of a study. A fingerprint that several rows share is one run."""

    recipe: Recipe
    runs: tuple[PlannedRun, ...]

    def to_do(self, *, retry_failed: bool = False, fresh: bool = False) -> list[PlannedRun]:
        """The runs that are missing, each once. Failed ones only where asked for; all of them under ``fresh``."""
        wanted: dict[str, PlannedRun] = {}
        for run in self.runs:
            status = run.record.status
            if fresh or (status in ENDED_BADLY and retry_failed) or status not in ("finished", *ENDED_BADLY):
                wanted.setdefault(run.fingerprint, run)
        return list(wanted.values())

    def record(self) -> StudyRecord:
        """The study as far as the store knows it."""
        rows = tuple(
            VariantRecord(variant, tuple(run.record for run in self.runs if run.variant.name == variant.name))
            for variant in self.recipe.variants
        )
        return StudyRecord(self.recipe, rows)

    def rows(self) -> list[dict[str, Any]]:
        """What the study's file says of each row."""
        return [
            {
                "variant": variant.name,
                "from": variant.parent,
                "description": variant.description,
                "changes": [str(change) for change in variant.changes],
                "runs": {str(run.seed): run.fingerprint for run in self.runs if run.variant.name == variant.name},
            }
            for variant in self.recipe.variants
        ]


def make_plan(recipe: Recipe, store: Store) -> Plan:
    """Fingerprint every run of a recipe and look each up in the store.

    A run that is missing, where the same row and seed had another one before, is `stale`: the recipe, its data or its code have changed since.
    """
    before = {row["variant"]: row["runs"] for row in store.study(recipe.study).get("rows", ())}
    runs = []
    for variant in recipe.variants:
        shared = identity(variant.settings, folder=recipe.folder)
        for seed in recipe.seeds:
            name = run_fingerprint(shared, seed)
            record = store.record(name, seed, variant.settings.epochs)
            earlier = before.get(variant.name, {}).get(str(seed))
            if record.status == "queued" and earlier not in (None, name) and store.record(earlier).status == "finished":
                record = replace(
                    record, status="stale", reason="its settings, data or code have changed since it was trained"
                )
            runs.append(PlannedRun(variant, seed, name, record))
    return Plan(recipe, tuple(runs))


def make_jobs(
    runs: list[PlannedRun],
    recipe: Recipe,
    root: Path,
    provenance: Mapping[str, Any],
    *,
    threads: int = 1,
    fresh: bool = False,
) -> list[Job]:
    """Jobs for the runs, longest first by epochs, so that no slot idles at the end.

    One seed a job; stacks of several are made here once the engine can train them.
    """
    ordered = sorted(runs, key=lambda run: -run.variant.settings.epochs)
    return [
        Job(
            number,
            run.variant.name,
            Assignment(run.variant.settings, (run.seed,), recipe.folder),
            (run.fingerprint,),
            root,
            threads,
            # what failed or diverged would only do so again from where it stands
            fresh or run.record.status in ENDED_BADLY,
            provenance,
        )
        for number, run in enumerate(ordered)
    ]
