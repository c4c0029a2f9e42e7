"""Runs one job in its own process: claim its runs, continue from a checkpoint if there is one, train, report."""

from __future__ import annotations

import errno
import os
import select
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import BinaryIO

from ablate.engine.contract import Report, State
from ablate.execution.events import (
    CheckpointDamaged,
    EpochEnded,
    Event,
    JobBusy,
    Listener,
    RunEnded,
    StoreFailed,
    encode,
)
from ablate.execution.jobs import Job, as_stored, lacking, written_off
from ablate.execution.run_recorder import RunRecorder, TakenOver
from ablate.execution.shutdown import EndAsked, Ending
from ablate.planning.failure_reason import diagnosis, lacks_resources
from ablate.planning.kept_output import read_otherwise
from ablate.recipe import identity, run_fingerprint
from ablate.registry.lazy import torch
from ablate.store import checkpoints
from ablate.store.checkpoints import Checkpoint
from ablate.store.disk import DiskError, StoreWarning
from ablate.store.locks import Claim
from ablate.store.places import At, place_text
from ablate.store.records import RunRecord
from ablate.store.store import Store
from ablate.trainers.trainer import trainer_of
from ablate.tricks.trick import NoEffect

Training = Callable[[Job, Report, State | None], object]
"""Trains a job's assignment, from a checkpoint's state or from the start."""

FULL = (errno.ENOSPC, errno.EDQUOT)


def train_job(job: Job, report: Report, state: State | None) -> object:
    """Train a job's assignment."""
    return trainer_of(job.assignment.settings).train(job.assignment, report, state)


def run_job(
    job: Job,
    store: Store,
    listen: Listener,
    *,
    training: Training = train_job,
    ending: Ending | None = None,
    capture: Callable[[BinaryIO], None] = lambda log: None,
) -> None:
    """Train a job until it ends in any way. Afterwards the store has the status of its runs, and the log has their
    output.

    Reports `JobBusy` and does nothing if another process trains one of the runs, `StackFailed` if a stack failed as a
    whole, and `StoreFailed` if the store cannot be written. ``capture`` gets the log, for the output of user code.
    """
    ending = ending or Ending()
    try:
        with store.claim(job.fingerprints, job.name) as claim:
            if claim is None:
                listen(JobBusy(job=job.number))
            else:
                run_claimed(job, store, listen, training, ending, capture, claim)
    except TakenOver:
        listen(JobBusy(job=job.number))
    except DiskError as error:
        number, reason, path = error.errno or 0, str(error.strerror), str(error.filename)
        listen(StoreFailed(job=job.number, number=number, reason=reason, path=path))
    except EndAsked as asked:
        # before anything had started
        for replica in range(len(job.fingerprints)):
            listen(RunEnded(**job.run_of(replica), status=asked.status))


def run_claimed(
    job: Job,
    store: Store,
    listen: Listener,
    training: Training,
    ending: Ending,
    capture: Callable[[BinaryIO], None],
    claim: Claim,
) -> None:
    """What `run_job` does once this process has claimed the runs. Raises `TakenOver` if another process claims them
    meanwhile, because this one seemed to have ended.
    """
    job, settled = what_is_left(job, store, listen)
    if len(settled) == len(job.fingerprints):
        return
    try:
        check(job)
    except Changed:
        for replica in range(len(job.fingerprints)):
            listen(RunEnded(**job.run_of(replica), status="interrupted", reason=CHANGED))
        return
    if missing := lacking(job, store):
        # the command that submitted this job may have ended long ago
        for seed, (status, reason) in missing.items():
            written_off(job, store, seed, status, reason)
            listen(RunEnded(**job.run_of(job.assignment.seeds.index(seed)), status=status, reason=reason))
        if len(missing) == len(job.fingerprints):
            return
        job = job.only([seed for seed in job.assignment.seeds if seed not in missing])
        settled = set()
    log = store.append_to(job.fingerprints[0], "log.txt")
    capture(log)
    before = [store.record(name) for name in job.fingerprints]
    kept = go_on_from(job, store, settled, before, listen)
    if kept is None and settled:
        # without a checkpoint there is no reason to keep the stack together
        before = [record for i, record in enumerate(before) if i not in settled]
        job = job.only([seed for i, seed in enumerate(job.assignment.seeds) if i not in settled])
        settled = set()
    began = f"resumed after {place_text(kept.state['epoch'], at_in(kept))}" if kept else "started"
    seeds = ", ".join(map(str, job.assignment.seeds))
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {began} (seeds: {seeds}; PID: {os.getpid()})\n"
    store.disk.add(log, line.encode())
    describe(job, store)
    torch.set_num_threads(kept.threads if kept else job.threads)
    with ending.shield():
        report = RunRecorder(job, store, listen, ending, kept, settled, before, lambda: check(job), claim.is_ours)
    try:
        training(job, report, kept.state if kept else None)
    except EndAsked as asked:
        report.all_ended(asked.status, f"not finished after {job.timeout:g} s" if asked.status == "timeout" else "")
    except Changed:
        report.all_ended("interrupted", CHANGED)
    except NoEffect as error:
        report.all_ended(*diagnosis(error))
    except DiskError:
        if claim.is_ours():
            raise
        raise TakenOver from None
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # user code may call sys.exit
        if isinstance(error, OSError) and error.errno in FULL:
            raise DiskError.about(error, store.root) from error
        with suppress(OSError):
            traceback.print_exc()
        status, reason = diagnosis(error)
        if not ending.training and lacks_resources(error):
            report.all_ended("interrupted", reason)
        elif len(report.under_way()) > 1:
            report.split(reason)
        else:
            report.all_ended(status, reason)
    finally:
        log.close()
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()


def what_is_left(job: Job, store: Store, listen: Listener) -> tuple[Job, set[int]]:
    """The job without the runs that another process has ended meanwhile, and their indices if they stay in the job.

    They stay if the job continues a stack, which needs all of its seeds.
    """
    done = [(i, seed, record) for i, (seed, name) in enumerate(job.runs) if job.settles(record := store.record(name))]
    for i, _, record in done:
        listen(RunEnded(**job.run_of(i), status=record.status, reason=record.reason, elsewhere=True))
    if len(done) < len(job.fingerprints) and not job.together:
        gone = {seed for _, seed, _ in done}
        return job.only([seed for seed in job.assignment.seeds if seed not in gone]), set()
    return job, {i for i, _, _ in done}


CHANGED = "its data or code changed after the command started. Rerun the command"


class Changed(Exception):
    """The data or the code no longer match the fingerprint."""


def check(job: Job) -> None:
    """Raise `Changed` if data or code no longer match the job's fingerprints."""
    settings, seed = job.assignment.settings, job.assignment.seeds[0]
    try:
        shared = identity(settings, folder=job.assignment.folder, folds=job.assignment.folds)
    except ValueError:
        raise Changed from None
    if run_fingerprint(shared, seed, job.assignment.fold) != job.fingerprints[0]:
        raise Changed


def go_on_from(
    job: Job, store: Store, settled: set[int], before: Sequence[RunRecord], listen: Listener
) -> Checkpoint | None:
    """The checkpoint to continue from, with the metrics cut to it; or None, with earlier attempts removed.

    ``before`` are the records of the runs.
    """
    left = [i for i in range(len(job.fingerprints)) if i not in settled]
    kept, damaged = checkpoints.load(store, job.fingerprints[0], job.assignment.device)
    outdated = job.fresh and any(job.outdated(before[i]) for i in left)
    reread = any(read_otherwise(job.assignment.settings, before[i]) for i in left)
    if kept is not None and (kept.runs != job.fingerprints or outdated or reread):
        kept = None
    if kept is not None:
        # a power cut may have lost metrics from before the checkpoint
        short = [i for i in left if store.cut_metrics(job.fingerprints[i], kept.lines[i]) != kept.lines[i]]
        if short:
            damaged.append("the metrics of some epochs before the checkpoint are missing")
            kept = None
    for i in left:
        if kept is None:
            store.clear(job.fingerprints[i])
        else:
            store.tidy(job.fingerprints[i])
    if damaged:
        epoch, at = (kept.state["epoch"], at_in(kept)) if kept else (None, None)
        seeds, damage = job.assignment.seeds, tuple(damaged)
        listen(CheckpointDamaged(job=job.number, variant=job.variant, seeds=seeds, damage=damage, epoch=epoch, at=at))
    return kept


def at_in(kept: Checkpoint) -> At:
    """The place at which the user's own training was saved."""
    return kept.state["points"].get("at") if "points" in kept.state else None


def describe(job: Job, store: Store) -> None:
    """Write the settings and the identity of the runs."""
    given = job.assignment
    for seed, name in job.runs:
        store.write_settings(name, as_stored(given.settings, seed, given.fold, given.folder, given.folds))
        store.write_json(store.run_folder(name) / "identity.json", job.identity)


def main(job: Job, channel: int, printed: bytes = b"") -> None:
    """The body of a forked process: run the job and write its events into the pipe ``channel``. ``printed`` is what
    user code has printed before.
    """
    ending = Ending(job.grace)

    def listen(event: Event) -> None:
        if isinstance(event, EpochEnded) and not select.select([], [channel], [], 0)[1]:
            return  # a stopped parent must not stop the training
        with suppress(BrokenPipeError):  # the parent is gone; the store has everything
            os.write(channel, encode(event))

    def capture(log: BinaryIO) -> None:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        os.write(1, printed)

    warnings.simplefilter("ignore", StoreWarning)  # told by the command
    with suppress(EndAsked):
        ending.listen(job.timeout)
        store = Store(job.root)
        store.disk.observed |= job.observed
        run_job(job, store, listen, ending=ending, capture=capture)
