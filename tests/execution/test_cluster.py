"""The executor for clusters over a pretended one, whose jobs run in this process when it is asked for their states."""

from __future__ import annotations

import base64
import pickle
from dataclasses import replace

import pytest

from ablate.execution.events import ExecutorReady as Ready
from ablate.execution.events import JobRetried, ProcessExited, ProcessStarted, RunEnded, encode
from ablate.execution.executors import cluster as module
from ablate.execution.executors.cluster import ClusterExecutor, Refused, State
from ablate.execution.executors.executor import ExecutorError
from ablate.execution.executors.remote import EVENTS
from ablate.execution.jobs import make_jobs
from ablate.execution.scheduler import Scheduler
from ablate.execution.worker import run_job
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.store import owners
from ablate.store.provenance import Provenance
from ablate.store.store import Store


class Pulled(BaseException):
    """A node is gone."""


class Pretended:
    """A cluster on which one job runs whenever it is asked. ``ends`` has the states in which jobs end that do not end by
    themselves, in turn; ``refusals``: how often it takes no job first.
    """

    title, lasting = "Pretended", True

    def __init__(self, training, ends=(), refusals=0, error=None):
        self.training, self.ends, self.refusals, self.error = training, list(ends), refusals, error
        self.queue = {}
        self.over = {}
        self.after = {}
        self.cancelled = set()

    def submit(self, name, command, jobs, output, after):
        if self.error:
            raise self.error
        if self.refusals:
            self.refusals -= 1
            raise Refused("it is full")
        assert command[-1] == name
        self.queue[name] = [pickle.loads(base64.b64decode(line)) for line in jobs.splitlines()]
        self.after[name] = set(after)

    def states(self, names):
        if self.queue:
            name = next(iter(self.queue))
            self.work(name, self.queue.pop(name))
        known = {**dict.fromkeys(self.queue, State("queued", "PENDING")), **self.over}
        return {name: state for name, state in known.items() if name in names and state is not None}

    def work(self, name, jobs):
        self.over[name] = State("done", "COMPLETED")
        store = Store(jobs[0].root)
        with store.disk.append(store.job_folder(name) / EVENTS) as file:
            file.write(encode(Ready()))
            for job in jobs:
                file.write(encode(ProcessStarted(job=job.number, pid=1)))
                try:
                    run_job(job, store, lambda event: file.write(encode(event)), training=self.training)
                except Pulled:
                    self.over[name] = self.ends.pop(0)
                    return
                file.write(encode(ProcessExited(job=job.number, code=0)))

    def cancel(self, names):
        self.cancelled |= set(names)
        for name in names:
            self.queue.pop(name, None)

    def close(self):
        pass


@pytest.fixture
def scheduler(stub_study, monkeypatch):
    """Makes a scheduler over a cluster, and the jobs of a study of three seeds."""
    monkeypatch.setattr(module, "READ_EVERY", 0.0)
    monkeypatch.setattr(module, "REFUSED_FOR", 0.0)
    study = stub_study()

    def make(cluster, per_job=1, stack=1):
        store = Store(study.root)
        plan = make_plan(study.recipe, store)
        write_study(plan, store)
        jobs = make_jobs(plan.to_do(), plan, store, Provenance(), stack=lambda run, count: stack)
        executor = ClusterExecutor(cluster, store, "stub", per_job=per_job, every=0.0)
        return Scheduler(["cpu"] * 10, store, executor=executor), jobs

    make.study = study
    return make


def test_equals_jobs_of_this_machine(scheduler, stub, stub_study):
    here = stub_study("here")
    here.command(stack=1)
    for per_job in (1, 2):
        one, jobs = scheduler(Pretended(stub()), per_job)
        events = list(one.run(jobs))
        assert scheduler.study.results() == here.results()
    assert [event.seed for event in events if isinstance(event, RunEnded)] == []
    assert Store(scheduler.study.root).disk.names(scheduler.study.root / ".jobs") == []


@pytest.mark.parametrize("per_job", [1, 3])
@pytest.mark.parametrize(
    "end", [State("lost", "NODE_FAIL"), State("lost", "PREEMPTED"), State("cancelled", "CANCELLED"), None]
)
def test_a_job_that_is_lost_goes_on_in_another(scheduler, stub, stub_study, end, per_job):
    here = stub_study("here")
    here.command(stack=1)
    pulled = []

    def pull(seeds, epoch):
        if seeds == (1,) and epoch == 3 and not pulled:
            pulled.append(epoch)
            raise Pulled

    cluster = Pretended(stub(pull), [end])
    one, jobs = scheduler(cluster, per_job)
    retried = [event for event in one.run(jobs) if isinstance(event, JobRetried)]
    assert scheduler.study.results() == here.results()
    assert retried[0].seeds == (1,)
    word = end.word if end else "no longer in its queue"
    assert retried[0].reason == f"its Pretended job ended ({word})"
    assert len(cluster.over) == (4 if per_job == 1 else 2)


def test_out_of_memory_has_a_status_of_its_own(scheduler, stub):
    def pull(seeds, epoch):
        if seeds == (1,):
            raise Pulled

    one, jobs = scheduler(Pretended(stub(pull), [State("out_of_memory", "OUT_OF_MEMORY")]))
    [bad] = [event for event in one.run(jobs) if isinstance(event, RunEnded) and event.badly]
    assert (bad.seed, bad.status) == (1, "out_of_memory")
    assert bad.reason == "its Pretended job ended (OUT_OF_MEMORY)"
    assert len(scheduler.study.finished()) == 2


def test_a_full_queue_is_waited_for(scheduler, stub):
    one, jobs = scheduler(Pretended(stub(), refusals=5))
    list(one.run(jobs))
    assert len(scheduler.study.finished()) == 3


def test_a_queue_that_stays_full_ends_the_command_and_leaves_no_claim(scheduler, stub):
    one, jobs = scheduler(Pretended(stub(), refusals=10_000))
    with pytest.raises(ExecutorError, match=r"Pretended accepts no jobs: it is full\. Rerun the command later\."):
        list(one.run(jobs))
    store = Store(scheduler.study.root)
    assert not any(store.is_claimed(name) for job in jobs for name in job.fingerprints)
    assert store.disk.names(scheduler.study.root / ".jobs") == []


def test_a_refused_job_leaves_no_claim(scheduler, stub):
    one, jobs = scheduler(Pretended(stub(), error=ExecutorError("no such partition")))
    with pytest.raises(ExecutorError, match="no such partition"):
        list(one.run(jobs))
    assert not any(Store(scheduler.study.root).is_claimed(name) for job in jobs for name in job.fingerprints)


def test_jobs_that_are_lost_again_and_again_end_the_command(scheduler, stub):
    def pull(seeds, epoch):
        raise Pulled

    one, jobs = scheduler(Pretended(stub(pull), [State("lost", "NODE_FAIL")] * 100))
    with pytest.raises(ExecutorError, match=r"Jobs ended 10 times in a row without any progress \(last: its Pretended"):
        list(one.run(jobs))


def test_another_command_waits_for_what_is_queued_and_trains_nothing_twice(scheduler, stub, monkeypatch):
    monkeypatch.setattr("ablate.execution.scheduler.is_alive", lambda pid, born: False)
    monkeypatch.setattr("ablate.execution.scheduler.FOLLOW", 0.0)
    training = stub()
    cluster = Pretended(training)
    first, jobs = scheduler(cluster)
    assert first.detach(jobs) == (3, 0)
    assert len(cluster.queue) == 3
    second, again = scheduler(cluster)
    events = list(second.run(again))
    assert len(training.trained) == 3
    assert [event.elsewhere for event in events if isinstance(event, RunEnded)] == [True] * 3
    assert len(cluster.over) == 3


def test_what_is_queued_and_vanished_is_submitted_again(scheduler, stub, monkeypatch):
    """As after `scancel` on jobs of a command that has ended."""
    training = stub()
    cluster = Pretended(training)
    first, jobs = scheduler(cluster)
    first.detach(jobs)
    cluster.queue.clear()
    monkeypatch.setattr("ablate.execution.scheduler.is_alive", lambda pid, born: False)
    monkeypatch.setattr("ablate.execution.scheduler.FOLLOW", 0.0)
    monkeypatch.setattr("ablate.execution.scheduler.POLL", 0.0)
    second, again = scheduler(cluster)
    list(second.run(again))
    assert len(training.trained) == 3
    assert len(scheduler.study.finished()) == 3


def test_a_command_that_is_submitting_is_not_overtaken(scheduler, stub):
    """The claim comes first, so there is a moment in which the cluster does not know the job yet."""
    one, jobs = scheduler(Pretended(stub()))
    store = Store(scheduler.study.root)
    assert store.queue(jobs[0].fingerprints, "ablate-soon")
    assert one._left_in_queue(jobs[0].fingerprints[0]) == ""


def test_a_job_that_is_replaced_is_cancelled_if_the_cluster_queues_it_again(scheduler, stub, monkeypatch):
    """The command that submitted it was killed, its node too, and another command trains its runs."""
    cluster = Pretended(stub())
    one, jobs = scheduler(cluster)
    store = Store(scheduler.study.root)
    with store.claim(jobs[0].fingerprints, "ablate-lost"):
        pass
    file = max(store.run_folder(jobs[0].fingerprints[0]).glob("lock.*"))
    file.write_bytes(owners.words_of(replace(owners.myself("ablate-lost"), pid=1, born="1")))
    cluster.queue["ablate-lost"] = []
    monkeypatch.setattr(
        cluster,
        "work",
        lambda name, jobs, work=cluster.work: work(name, jobs) if jobs else cluster.queue.update({name: jobs}),
    )
    list(one.run(jobs))
    assert cluster.cancelled == {"ablate-lost"}
    assert len(scheduler.study.finished()) == 3


def test_a_job_of_another_user_is_left_to_them(scheduler, stub, monkeypatch):
    """A cluster may hide it from this one."""
    one, jobs = scheduler(Pretended(stub()))
    store = Store(scheduler.study.root)
    monkeypatch.setattr("ablate.execution.scheduler.is_alive", lambda pid, born: False)
    assert store.queue(jobs[0].fingerprints, "ablate-theirs")
    assert one._left_in_queue(jobs[0].fingerprints[0]) == "ablate-theirs"
    monkeypatch.setattr("os.getuid", lambda: 4711)
    assert one._left_in_queue(jobs[0].fingerprints[0]) == ""


def test_a_job_that_its_command_has_replaced_trains_nothing(scheduler, stub):
    """A cluster may begin a job again that it had ended."""
    training = stub()
    cluster = Pretended(training)
    one, jobs = scheduler(cluster)
    list(one.run(jobs))
    heard = []
    late = replace(jobs[0], name="ablate-late", number=9)
    run_job(late, Store(scheduler.study.root), heard.append, training=training)
    assert len(training.trained) == 3
    assert all(event.elsewhere for event in heard if isinstance(event, RunEnded))


def test_lines_that_a_crash_left_incomplete_are_not_events():
    text = encode(Ready()) + b'{"event": "Proc\n' + b"[]\n" + b"\xff\n" + encode(ProcessExited(job=3, code=0))
    assert list(module.events_in(text)) == [Ready(), ProcessExited(job=3, code=0)]
