"""Reads the metrics of runs again if ``read`` has changed: from the output of the user's command in the log, or from a
file in the run's folder. Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablate.engine.contract import Outcome
from ablate.execution.jobs import as_stored
from ablate.execution.run_recorder import known_results
from ablate.planning.failure_reason import diagnosis
from ablate.planning.kept_output import is_kept, reading_changed, written
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.store.records import RunRecord
from ablate.store.store import Store
from ablate.trainers.trainer import ReadTrainer, trainer_of


def read_again(plan: Plan, store: Store) -> Plan:
    """Replace the metrics and results of the runs of a plan whose output is kept. Returns the plan with them.

    Runs that another process has claimed are left to it. Raises DiskError.
    """
    changed = {run.fingerprint: run for run in plan.runs if run.kept}
    for run in changed.values():
        with store.claim((run.fingerprint,)) as ours:
            record = store.record(run.fingerprint, run.seed)
            settings, folder = run.variant.settings, plan.recipe.folder
            if ours and reading_changed(settings, record) and is_kept(settings, record, folder, store):
                renew(run, record, plan, store)
    return plan.renewed(store) if changed else plan


def renew(run: PlannedRun, record: RunRecord, plan: Plan, store: Store) -> None:
    """Read the metrics of one run again, which is claimed.

    If this is killed, they are read once more: the first status says that lines and results may not belong together.
    """
    settings, recipe = run.variant.settings, plan.recipe
    trainer = trainer_of(settings)
    assert isinstance(trainer, ReadTrainer)
    texts = written(settings, record, recipe.folder, store)
    lines, outcome = trainer.read_again(settings, run.seed, texts, resumed=len(record.output or ()) > 1)
    store.write_status(replace(record, reading={}), durable=True)
    store.write_metrics(record.fingerprint, spread(lines, record))
    store.write_settings(record.fingerprint, as_stored(settings, run.seed, record.fold, recipe.folder, recipe.folds))
    kept = replace(record, reading=trainer.reading, epoch=len(lines), best_epoch=None, selected_epoch=None)
    kept = replace(kept, results={}, places=None)
    notes = [note for note in record.notes if note.kind != "not_finite"]
    if isinstance(outcome, Outcome):
        results, unknown = known_results(outcome)
        kept = replace(
            kept,
            status=outcome.status,
            reason=outcome.reason,
            best_epoch=outcome.best_epoch,
            selected_epoch=outcome.selected_epoch,
            results=results,
            first_loss=outcome.first_loss,
            places=outcome.places,
        )
        notes += unknown
    else:
        status, reason = diagnosis(outcome)
        kept = replace(kept, status=status, reason=reason)
    store.write_status(replace(kept, notes=tuple(notes)), durable=True)


def spread(lines: Sequence[Mapping[str, Any]], record: RunRecord) -> list[dict[str, Any]]:
    """The lines at equal intervals over the time of the training, because it is not known when they were written."""
    each = (record.seconds or 0.0) / max(len(lines), 1)
    times = (
        {"time": (record.started or 0.0) + each * i, "seconds": round(each * i, 4)} for i in range(1, len(lines) + 1)
    )
    return [{**line, **time} for line, time in zip(lines, times, strict=True)]
