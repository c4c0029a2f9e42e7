"""How many threads jobs get, and in which order they then run."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import pytest

from ablate.evidence.confounds import thread_notes
from ablate.execution.events import ProcessExited, RunEnded
from ablate.execution.jobs import make_jobs
from ablate.execution.run_options import RunOptions, chooses_threads
from ablate.execution.schedule import SPEEDUPS, Task, choose_threads, schedule, simulate, speedup
from ablate.execution.scheduler import Scheduler
from ablate.store.provenance import Provenance
from ablate.store.records import RunRecord
from ablate.store.store import Store

LARGE = SPEEDUPS[-1][0]
SMALL = SPEEDUPS[0][0]


def equal(count, cost=10.0, work=LARGE):
    return [Task(cost, work) for _ in range(count)]


@pytest.mark.parametrize(
    ("jobs", "cores", "threads"),
    [
        (1, 2, [2]),
        (2, 2, [1, 1]),
        (3, 2, [1, 1, 2]),
        (5, 2, [1, 1, 1, 1, 2]),
        (17, 2, [1] * 17),
        (2, 4, [2, 2]),
        (3, 4, [4, 4, 4]),
        (5, 4, [1, 1, 1, 1, 4]),
        (6, 4, [1, 1, 1, 1, 2, 2]),
        (1, 1, [1]),
    ],
)
def test_the_last_jobs_get_the_cores_that_would_be_idle(jobs, cores, threads):
    assert choose_threads(equal(jobs), cores) == threads


@pytest.mark.parametrize("jobs", [3, 5, 7])
def test_cores_are_idle_for_less_than_15_percent(jobs):
    tasks = equal(jobs)
    threads = choose_threads(tasks, 2)
    ends = simulate(tasks, threads, 2)
    occupied = sum(task.duration(n) * n for task, n in zip(tasks, threads, strict=True))
    assert occupied / (2 * max(ends)) > 0.85
    assert max(ends) < max(simulate(tasks, [1] * jobs, 2))


def test_small_networks_get_one_thread():
    assert choose_threads(equal(3, work=SMALL), 2) == [1, 1, 1]
    assert choose_threads(equal(1, work=SMALL), 64) == [1]


def test_a_long_job_gets_more_threads_than_the_short_ones():
    assert choose_threads([Task(100.0, LARGE), Task(3.0, LARGE), Task(3.0, LARGE)], 2) == [2, 1, 1]


def test_numbers_that_are_known_are_kept():
    assert choose_threads([Task(10.0, LARGE, threads=1)], 2) == [1]
    assert choose_threads([*equal(2), Task(10.0, LARGE, threads=2)], 2) == [1, 1, 2]


def test_a_job_starts_after_those_that_it_needs():
    tasks = [Task(10.0, LARGE, names={"a"}), Task(5.0, LARGE, names={"b"}, needs={"a"}), Task(1.0, LARGE, names={"c"})]
    assert simulate(tasks, [1, 1, 1], 2) == [10.0, 15.0, 1.0]
    assert simulate(tasks, [2, 2, 1], 2)[1] == pytest.approx(15.0 / speedup(LARGE, 2))


def test_the_speedup_grows_with_the_network_and_the_threads():
    for work in (None, *(work for work, _ in SPEEDUPS)):
        found = [speedup(work, threads) for threads in (1, 2, 4, 8)]
        assert found[0] == 1.0
        assert all(0.999 * a <= b < 2 * a for a, b in pairwise(found))
    for work, double in SPEEDUPS:
        assert speedup(work, 2) == pytest.approx(double)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [({}, True), ({"threads": 1}, False), ({"jobs": 2}, False), ({"executor": "slurm"}, False)],
)
def test_threads_and_jobs_of_the_user_come_first(given, chosen):
    assert chooses_threads(RunOptions(device="cpu", **given)) is chosen


def jobs_of(study, cores):
    """The jobs of a study as if its networks were large."""
    store, plan = Store(study.root), study.plan()
    jobs = [replace(job, work=LARGE) for job in make_jobs(plan.to_do(), plan, store, Provenance())]
    return store, schedule(jobs, plan, store, cores)


def test_a_command_that_is_killed_changes_no_number_of_threads(stub_study):
    study = stub_study(seeds=3)
    store, first = jobs_of(study, 2)
    assert [job.threads for job in first] == [1, 1, 2]
    store.write_status(RunRecord(first[0].fingerprints[0], seed=0, status="finished", attempt=1))
    assert [job.threads for job in jobs_of(study, 2)[1]] == [1, 2]
    file = store.study_folder(study.recipe.study) / "threads.json"
    assert sorted(json.loads(file.read_text()).values()) == [1, 1, 2]
    file.write_text("[]")
    with pytest.warns(match="is damaged"):
        assert [job.threads for job in jobs_of(study, 2)[1]] == [1, 1]


class Clock:
    """Runs jobs one after another in the order in which they end; ``seconds`` is how long each takes."""

    losses = 1

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds, self.running, self.began = 1000.0, seconds, {}, []
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def submit(self, job):
        self.began.append((round(self.now - 1000, 3), job.assignment.seeds[0], job.threads))
        self.running[job.number] = (self.now + self.seconds[job.assignment.seeds[0]], job)

    def poll(self, wait):
        number, (end, job) = min(self.running.items(), key=lambda one: one[1][0])
        if wait is not None and self.now + wait < end:
            self.now += wait
            return []
        self.now = end
        del self.running[number]
        return [RunEnded(**job.run_of(0), status="finished"), ProcessExited(job=number, code=0)]

    def close(self):
        pass


def trained(study, monkeypatch, seconds):
    store, jobs = jobs_of(study, 2)
    clock = Clock(monkeypatch, seconds)
    scheduler = Scheduler(["cpu"] * 2, store, executor=clock, by_core=True)
    assert len([event for event in scheduler.run(jobs) if isinstance(event, RunEnded)]) == len(jobs)
    return clock.began


def test_a_job_with_two_threads_waits_for_two_cores(stub_study, monkeypatch):
    assert trained(stub_study(seeds=3), monkeypatch, [10, 11, 8]) == [(0, 0, 1), (0, 1, 1), (11, 2, 2)]


def test_it_begins_with_one_when_it_has_waited_for_longer_than_the_other_would_save(stub_study, monkeypatch):
    began = trained(stub_study(seeds=3), monkeypatch, [10, 100, 8])
    assert began[2][1:] == (2, 1)
    assert 10 < began[2][0] < 20


def test_a_table_names_rows_whose_numbers_of_threads_differ():
    one, two = (RunRecord(name, seed=0, status="finished", attempt=1, threads=n) for name, n in (("a", 1), ("b", 2)))
    assert thread_notes([one]) == thread_notes([two, two]) == []
    assert thread_notes([one, two])[0].values["names"] == ["1", "2"]
