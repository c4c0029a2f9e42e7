"""Jobs: runs of the same settings and fold with R seeds, trained together by one process. The longest come first, so
that no slot idles at the end, and are as wide as a stack makes faster. Does not import torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ablate.engine.contract import Assignment
from ablate.engine.stack_width import stack_width
from ablate.execution.events import RunKey
from ablate.execution.shutdown import GRACE
from ablate.planning.estimates import Estimates, work_of
from ablate.planning.networks import Network
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe import Settings, run_fingerprint
from ablate.recipe.fingerprint import facts
from ablate.recipe.folds import Folds
from ablate.store.disk import StoredFile
from ablate.store.provenance import Provenance
from ablate.store.records import ENDED_BADLY, RunRecord, Status
from ablate.store.store import Store
from ablate.trainers.trainer import trainer_of

FROM_NOTHING = tuple(status for status in ENDED_BADLY if status != "timeout")
"""What ended so would only do so again from where it stands."""


def lacking(job: Job, store: Store) -> dict[int, tuple[Status, str]]:
    """The seeds of a job whose sources ended without weights, each with its status and the reason."""
    found: dict[int, tuple[Status, str]] = {}
    for seed in job.assignment.seeds:
        for row, name in job.needs.get(seed, {}).items():
            record = store.record(name)
            if record.status != "finished":
                reason = f"it is based on {row}, seed {seed} (status: {record.status.replace('_', ' ')})"
                found[seed] = ("failed" if record.status in ENDED_BADLY else "interrupted"), reason
    return found


def written_off(job: Job, store: Store, seed: int, status: Status, reason: str) -> RunRecord:
    """Write the last status of a run that this process has claimed and that is not trained; returns its record."""
    name = job.fingerprints[job.assignment.seeds.index(seed)]
    epochs, fold = job.assignment.settings.planned_epochs, job.assignment.fold
    finished = None if status == "interrupted" else time.time()
    ended = replace(store.record(name, seed), seed=seed, fold=fold, epochs=epochs, finished=finished)
    lost = replace(ended, status=status, reason=reason)
    store.write_status(lost, durable=True)
    return lost


def in_order(jobs: Sequence[Job]) -> Iterator[Job]:
    """The jobs, each after those that train its sources."""
    left = list(jobs)
    while left:
        waiting = {name for job in left for name in job.fingerprints}
        ready = [job for job in left if waiting.isdisjoint(job.needed())]
        yield from ready or left
        left = [job for job in left if job not in ready] if ready else []


StackWidth = Callable[[PlannedRun, int], int]
"""How many seeds are one job, from one of the runs and how many of the same settings there are to train."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process is told to do.

    ``fingerprints`` are the runs', in the order of the assignment's seeds. ``attempts``: runs that ended in an attempt
    before these do not count as done. ``fresh``: nor do checkpoints of such attempts. ``together``: these seeds go on
    as the stack that they began as; ``split``: why they do not. ``timeout``: seconds. ``needs``: by seed, the runs that
    must have finished before, each with its row. ``name``: the one under which the runs are claimed, if the job begins
    later on another machine; ``observed``: what the command has seen of the runs' locks (`store.locks`). ``grace``:
    seconds that it has to reach the end of an epoch when it is asked to end.

    ``bound``: its number of threads is that of an earlier start. ``cost``: its duration with one thread, in a unit of
    all jobs of a study; ``work``: millions of multiplications in a forward pass of all of its seeds over a batch, None
    if unknown; ``gain``: the share of its duration that its threads save.
    """

    number: int
    variant: str
    assignment: Assignment
    fingerprints: tuple[str, ...]
    root: Path
    attempts: tuple[int, ...]
    threads: int = 1
    fresh: bool = False
    together: bool = False
    split: str = ""
    timeout: float | None = None
    provenance: Provenance = field(default_factory=Provenance)
    identity: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    name: str = ""
    grace: float = GRACE
    bound: bool = False
    cost: float = 1.0
    work: float | None = None
    gain: float = 0.0
    observed: Mapping[Path, tuple[object, float]] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[tuple[int, str], ...]:
        """Each seed with its fingerprint."""
        return tuple(zip(self.assignment.seeds, self.fingerprints, strict=True))

    def run_of(self, replica: int) -> RunKey:
        """What events say of the run number ``replica`` of the job."""
        seed, fold = self.assignment.seeds[replica], self.assignment.fold
        return {"job": self.number, "variant": self.variant, "seed": seed, "fold": fold}

    def needed(self) -> set[str]:
        """The runs that must have ended before this job begins."""
        return {name for seed in self.assignment.seeds for name in self.needs.get(seed, {}).values()}

    def only(self, seeds: Sequence[int]) -> Job:
        """The same for some of its seeds."""
        kept = [i for i, seed in enumerate(self.assignment.seeds) if seed in seeds]
        assignment = replace(self.assignment, seeds=tuple(self.assignment.seeds[i] for i in kept))
        names, attempts = (self.fingerprints[i] for i in kept), (self.attempts[i] for i in kept)
        return replace(self, assignment=assignment, fingerprints=tuple(names), attempts=tuple(attempts))

    def settles(self, record: RunRecord) -> bool:
        """Whether a run, as it stands now, needs nothing more from this job."""
        ended = record.status == "finished" or record.status in ENDED_BADLY
        return ended and not self.outdated(record)

    def outdated(self, record: RunRecord) -> bool:
        """Whether a record is of an attempt at one of the runs that is not the one that this job is to make."""
        return record.attempt < self.attempts[self.fingerprints.index(record.fingerprint)]


def make_jobs(
    runs: Sequence[PlannedRun],
    plan: Plan,
    store: Store,
    provenance: Provenance,
    *,
    threads: int = 1,
    fresh: bool = False,
    timeout: float | None = None,
    stack: StackWidth = lambda run, count: 1,
) -> list[Job]:
    """Jobs for the runs of a plan that are to be trained, longest first.

    ``stack`` returns how many seeds of the same settings train together. An interrupted run keeps the stack and the
    number of threads that it started with.
    """
    estimates = Estimates(plan, store)
    records = {run.fingerprint: run.record for run in runs}
    jobs: list[Job] = []
    known = {}
    for seeds, run in _grouped(runs, store, stack, fresh):
        if run.identity not in known:
            known[run.identity] = facts(run.variant.settings, folder=plan.recipe.folder, folds=plan.recipe.folds)
        needs = {seed: run.needs(seed) for seed in seeds}
        from_scratch = fresh or run.record.status in FROM_NOTHING or run.kept is False
        resumes = not from_scratch and bool(run.record.stack)
        names = tuple(run_fingerprint(run.identity, seed, run.record.fold) for seed in seeds)
        bound = run.record.threads if resumes else None
        work = estimates.work(run)
        job = Job(
            number=0,
            variant=run.variant.name,
            assignment=Assignment(
                run.variant.settings,
                seeds,
                plan.recipe.folder,
                fold=run.record.fold,
                folds=plan.recipe.folds,
                weights=weights_of(run.variant.settings, needs, store),
            ),
            fingerprints=names,
            root=store.root,
            threads=bound or threads,
            bound=bound is not None,
            cost=estimates.cost(run) * len(seeds),
            work=None if work is None else work * len(seeds),
            attempts=tuple(_attempt(records.get(name), from_scratch) for name in names),
            fresh=from_scratch,
            together=resumes and len(seeds) > 1,
            timeout=timeout,
            provenance=provenance,
            identity=known[run.identity],
            needs=needs,
        )
        jobs.append(job)
    jobs.sort(key=lambda job: -job.cost)
    return [replace(job, number=number) for number, job in enumerate(jobs)]


def _attempt(record: RunRecord | None, from_scratch: bool) -> int:
    """The number of the attempt that a job makes at a run, at least; ``record`` is known if it is to be trained."""
    if record is None or record.status == "queued" or (record.status == "stale" and record.reading is None):
        return 1
    return record.attempt + (from_scratch or record.status == "timeout")


def as_stored(settings: Settings, seed: int, fold: int | None, folder: Path, folds: Folds | None) -> dict[str, Any]:
    """The settings of a run as they are written into its folder."""
    known = {**settings.dump(), "seed": seed, "fold": fold, "folder": str(folder)}
    return known if folds is None else {**known, "folds": folds.dump()}


def weights_of(
    settings: Settings, needs: Mapping[int, Mapping[str, str]], store: Store
) -> dict[tuple[str, int], StoredFile]:
    """Where the weights are that each row reports which these settings are built upon, by row and seed."""
    return {
        (row, seed): weights_file(store, name, settings.sources[row])
        for seed, rows in needs.items()
        for row, name in rows.items()
    }


def weights_file(store: Store, fingerprint: str, settings: Settings) -> StoredFile:
    """The weights of the epoch that a run's row reports."""
    path = store.run_folder(fingerprint) / ("best.pt" if settings.select == "best" else "last.pt")
    return StoredFile(store.disk, path)


def _grouped(
    runs: Sequence[PlannedRun], store: Store, stack: StackWidth, fresh: bool
) -> list[tuple[tuple[int, ...], PlannedRun]]:
    """The seeds of each job, with one of its runs."""
    groups: list[tuple[tuple[int, ...], PlannedRun]] = []
    open_groups: dict[tuple[str, int | None, Status], list[PlannedRun]] = {}
    taken: set[str] = set()
    for run in runs:
        goes_on = not fresh and run.record.status not in FROM_NOTHING
        began = run.record.stack if goes_on else ()
        if run.fingerprint in taken and goes_on:
            continue
        if len(began) > 1 and _is_whole(run, store):
            groups.append((began, run))
            taken |= {run_fingerprint(run.identity, seed, run.record.fold) for seed in began}
        elif len(began) == 1:
            groups.append(((run.seed,), run))
        else:
            # what failed is not put together with what did not
            kind: Status = run.record.status if run.record.status in ENDED_BADLY else "queued"
            open_groups.setdefault((run.identity, run.record.fold, kind), []).append(run)
    for members in open_groups.values():
        most = 1 if members[0].record.status in ENDED_BADLY else max(1, stack(members[0], len(members)))
        for start in range(0, len(members), most):
            part = members[start : start + most]
            groups.append((tuple(run.seed for run in part), part[0]))
    return groups


def _is_whole(run: PlannedRun, store: Store) -> bool:
    """Whether all seeds that a run began with still say so."""
    names = [run_fingerprint(run.identity, seed, run.record.fold) for seed in run.record.stack]
    return all(store.record(name).stack == run.record.stack for name in names)


JOBS_EACH = 2
"""Minimum number of jobs per slot if the jobs decide about stacks themselves, because they may not be faster."""


def stack_rule(
    runs: Sequence[PlannedRun], slots: Sequence[str], networks: Mapping[str, Network] | None = None
) -> StackWidth:
    """The rule for training ``runs`` in these slots.

    Every slot gets a job: two cores train five seeds of one variant as 3 + 2, but five seeds of each of seven variants
    as seven stacks. A number in the recipe (``stack: 5``) is not changed.

    ``networks`` are the facts from an earlier plan (`known_networks`): seeds that cannot be stacked become separate
    jobs. If the compute cost of a network is unknown, the job decides when it has built it.
    """
    variants = len({(run.identity, run.record.fold) for run in runs})
    jobs_each = -(-len(slots) // max(variants, 1))
    known = networks or {}

    def width(run: PlannedRun, seeds: int) -> int:
        settings, facts = run.variant.settings, known.get(run.identity, Network())
        if facts.stack_reason or not trainer_of(settings).stacks:
            return 1
        work, most = work_of(settings, facts), -(-seeds // jobs_each)
        if work is None and settings.stack == "auto" and not slots[0].startswith("cuda"):
            return max(1, min(seeds, most, len(runs) // (JOBS_EACH * len(slots))))
        chosen = stack_width(settings, seeds, slots[0], work=work, parameters=facts.parameters)
        return chosen if settings.stack != "auto" else min(chosen, most)

    return width
