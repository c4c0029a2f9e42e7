"""Real `kill -9` at random moments of real studies, real commands side by side: nothing is trained twice, nothing is
lost, nothing is left over.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from ablate.execution.events import EpochEnded, JobRetried
from ablate.execution.jobs import make_jobs
from ablate.execution.scheduler import Scheduler
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.store.provenance import Provenance
from ablate.store.store import Store

LONG = ["--set", "epochs=200", "--set", "checkpoint.every=10 epochs", "--threads", "1"]
"""Four runs of half a second each."""

DEADLINE = 120.0
"""Seconds after which a wait has failed."""

pytestmark = pytest.mark.slow


class Command:
    """`ablate run` under way."""

    def __init__(self, warm, recipe, folder, *flags):
        self.process = warm.start(folder, "run", str(recipe), "--no-mlflow", "--format", "json", *flags)
        self.pids = {self.process.pid}

    def family(self):
        """The command's process, the server, its jobs, and what they started; those that were seen before too."""
        children = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        found, queue = set(), [self.process.pid]
        while queue:
            pid = queue.pop()
            found.add(pid)
            queue += children.get(pid, [])
        self.pids |= found
        return found

    def gone(self):
        return not [pid for pid in self.pids if alive(pid)]

    def end(self):
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def command(warm):
    """Starts commands that share their imports."""
    return partial(Command, warm)


def alive(pid):
    """Whether a process is there and not only waiting for its parent to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def until(condition):
    """Wait for something that must come."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def epochs(runs):
    """How many epochs all runs of a folder have come to."""
    count = 0
    for path in runs.glob("store/*/metrics.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # a job that has no checkpoint begins again without it
            count += path.read_bytes().count(b"\n")
    return count


def statuses(runs):
    store = Store(runs)
    return {path.name: store.record(path.name).status for path in (runs / "store").iterdir()}


def attempts(runs, name):
    """What a run's log says about each start."""
    return [line for line in (runs / "store" / name / "log.txt").read_text().splitlines() if "PID: " in line]


def trained(runs):
    """All numbers and weights that training gave, without times."""
    store, found = Store(runs), {}
    for folder in (runs / "store").iterdir():
        lines = [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in store.metrics(folder.name)]
        status = json.loads((folder / "status.json").read_text())
        weights = {}
        for name in ("best", "last"):
            tensors = torch.load(folder / f"{name}.pt", weights_only=True)
            weights[name] = {key: tensor.numpy().tobytes() for key, tensor in tensors.items()}
        found[folder.name] = (status["status"], status["results"], status["best_epoch"], lines, weights)
    return found


@pytest.fixture(scope="module")
def undisturbed(write_own, tmp_path_factory, command):
    """The results of the long study when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, _, err = command(write_own(folder), folder, *LONG).end()
    assert code == 0, err
    return trained(folder / "runs")


@pytest.mark.parametrize("whole", [True, False], ids=["all processes", "the parent alone"])
def test_five_kills(own, tmp_path, command, undisturbed, whole):
    runs, draw = tmp_path / "runs", random.Random(f"kills {whole}")
    # what user code starts must go, too
    data = own.parent / "data.py"
    extra = (
        "    import subprocess, sys\n    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
    )
    data.write_text(data.read_text().replace("    generator =", extra + "    generator ="))
    finished = {}
    for _ in range(5):
        study = command(own, tmp_path, *LONG, "--runs", "runs")
        target = epochs(runs) + draw.randrange(1, 100)
        until(lambda study=study, target=target: epochs(runs) >= target or study.process.poll() is not None)
        assert study.process.poll() is None, study.end()
        for pid in sorted(study.family()) if whole else [study.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until(study.gone)
        study.process.communicate()
        # a process that user code was starting just then lets go of the lock a moment later
        until(lambda: "running" not in statuses(runs).values())
        now = statuses(runs)
        for name, lines in finished.items():
            assert attempts(runs, name) == lines, "a finished run was trained again"
        finished = {name: attempts(runs, name) for name, status in now.items() if status == "finished"}
    assert len(finished) < 4, "the kills came after the end"
    study = command(own, tmp_path, *LONG, "--runs", "runs")
    code, out, err = study.end()
    assert code == 0, err
    until(study.gone)
    results = trained(runs)
    # the data's code is another file now, so fingerprints differ; the numbers must not
    assert sorted(map(repr, results.values())) == sorted(map(repr, undisturbed.values()))
    assert [row["status"] for row in json.loads(out)["rows"]] == ["finished", "finished"]
    assert not list(runs.rglob("checkpoint*"))
    went_on = [line for name in results for line in attempts(runs, name) if "after epoch" in line]
    assert went_on, "no job went on from a checkpoint"


def test_the_server_alone_is_killed(own, tmp_path, command):
    """The command starts another one and goes on."""
    runs = tmp_path / "runs"
    study = command(own, tmp_path, *LONG, "--seeds", "1")
    until(lambda: epochs(runs) >= 100)
    family = study.family()
    # its child that has children of its own, the jobs
    [server] = {parent(pid) for pid in family} & {pid for pid in family if parent(pid) == study.process.pid}
    os.kill(server, signal.SIGKILL)
    code, _, err = study.end()
    assert code == 0, err
    assert "Retrying" in err
    assert set(statuses(runs).values()) == {"finished"}
    until(study.gone)


@pytest.mark.parametrize("also", [False, True], ids=["alone", "with its jobs"])
def test_ctrl_c_ends_a_command_whose_server_is_stopped(own, tmp_path, command, also):
    runs, flags = tmp_path / "runs", ["--set", "epochs=1000000", "--set", "checkpoint.every=10 epochs"]
    study = command(own, tmp_path, *flags)
    until(lambda: epochs(runs) >= 50)
    [server] = {parent(pid) for pid in study.family()} & {
        pid for pid in study.family() if parent(pid) == study.process.pid
    }
    for pid in [server, *(pid for pid in study.family() if also and parent(pid) == server)]:
        os.kill(pid, signal.SIGSTOP)
    study.process.send_signal(signal.SIGINT)
    code, _, err = study.end()
    assert code == 130, err
    until(study.gone)
    assert set(statuses(runs).values()) == {"interrupted"}


def test_a_server_that_is_killed_again_and_again_ends_the_command(own, tmp_path, command):
    runs = tmp_path / "runs"
    data = own.parent / "data.py"
    kill = "    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n"
    data.write_text(data.read_text().replace("    generator =", kill + "    generator ="))
    code, out, err = command(own, tmp_path, *LONG, "--runs", "runs", "--jobs", "1", "--seeds", "1").end()
    assert code == 2, err
    assert out == ""
    assert err.splitlines()[-1].startswith("The server that runs the jobs ended 3 times in a row without any progress")
    assert "failed" not in statuses(runs).values()
    data.write_text(data.read_text().replace(kill, ""))
    assert command(own, tmp_path, *LONG, "--seeds", "1").end()[0] == 0


def test_a_disk_that_is_full_in_a_job_ends_the_command_with_one_line(own, tmp_path, command, undisturbed):
    """Here: files that may not grow beyond 20,000 bytes."""
    runs = tmp_path / "runs"
    study = command(own, tmp_path, *LONG)
    until(lambda: epochs(runs) > 0)
    limited: set[int] = set()
    while new := study.family() - limited:  # a process may have started another one meanwhile
        for pid in new:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
        limited |= new
    code, out, err = study.end()
    assert code == 2
    assert out == ""
    [line] = [line for line in err.splitlines() if "file (=" in line]
    assert "metrics.jsonl" in line
    assert "File too large" in line
    assert "Traceback" not in err
    assert "running" not in statuses(runs).values()
    code, _, err = command(own, tmp_path, *LONG).end()
    assert code == 0, err
    assert trained(runs) == undisturbed


def test_a_folder_that_cannot_be_made_is_told_in_one_line(own, ablate, tmp_path):
    (tmp_path / "file").write_text("")
    done = ablate("run", own, "--runs", "file/runs")
    assert done.code == 2
    assert "Not a directory" in done.err
    assert done.err.count("\n") == 1


def train_as_one_stack(recipe, runs, until_epoch=None, kill=None):
    """Train all seeds as one job, in a real process; end it in order after an epoch, or kill it there. Returns what was
    told.
    """
    store = Store(runs)
    plan = make_plan(recipe, store)
    jobs = make_jobs(plan.to_do(), plan, store, Provenance(), stack=lambda run, count: count)
    told = []
    scheduler = Scheduler(["cpu"], store)
    try:
        for event in scheduler.run(jobs):
            told.append(event)
            if isinstance(event, EpochEnded) and until_epoch is not None and event.epoch >= until_epoch:
                if not kill:
                    break
                os.kill(store.record(plan.runs[0].fingerprint).pid, signal.SIGKILL)
                until_epoch = None
    finally:
        scheduler.close()
    return jobs, told


def test_a_real_stack_goes_on_bit_for_bit(own, tmp_path):
    """Three seeds in one process: ended in order, killed, and never disturbed."""
    own.write_text(
        own.read_text()
        .split("variants:")[0]
        .replace("epochs: 3", "epochs: 100\n  stack: 3\n  checkpoint: {every: 5 epochs}")
    )
    recipe = Recipe.load(own, seeds=3)
    train_as_one_stack(recipe, tmp_path / "undisturbed")
    results = trained(tmp_path / "undisturbed")
    assert [len(lines) for _, _, _, lines, _ in results.values()] == [100] * 3

    ended = tmp_path / "ended"
    train_as_one_stack(recipe, ended, until_epoch=30)
    assert set(statuses(ended).values()) == {"interrupted"}
    came = epochs(ended)
    jobs, _ = train_as_one_stack(recipe, ended)
    assert [job.assignment.seeds for job in jobs] == [(0, 1, 2)]
    [line] = [line for name in statuses(ended) for line in logged(ended, name) if "after epoch" in line]
    assert f"after epoch {came // 3} " in line, "the end of the epoch was not waited for"
    assert trained(ended) == results

    killed = tmp_path / "killed"
    _, told = train_as_one_stack(recipe, killed, until_epoch=30, kill=True)
    [retried] = [event for event in told if isinstance(event, JobRetried)]
    assert not retried.one_by_one
    assert trained(killed) == results


def logged(runs, name):
    log = runs / "store" / name / "log.txt"
    return log.read_text().splitlines() if log.exists() else []


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_timeout_keeps_the_state_to_go_on_from(own, tmp_path, command):
    flags = ["--set", "epochs=1000000", "--only", "plain", "--seeds", "1", "--timeout", "1"]
    code, out, _ = command(own, tmp_path, *flags).end()
    assert code == 1
    assert json.loads(out)["rows"][0]["status"] == "timeout"
    [folder] = (tmp_path / "runs" / "store").iterdir()
    first = json.loads((folder / "status.json").read_text())
    assert first["reason"] == "not finished after 1 s"
    assert first["epoch"] == epochs(tmp_path / "runs") > 0
    # known: it is tried again only where that is asked for, and goes on then
    assert command(own, tmp_path, *flags).end()[0] == 1
    assert len(attempts(tmp_path / "runs", folder.name)) == 1
    assert command(own, tmp_path, *flags, "--retry-failed").end()[0] == 1
    assert f"after epoch {first['epoch']}" in attempts(tmp_path / "runs", folder.name)[1]


@pytest.mark.parametrize("count", [2, 8])
def test_commands_at_once_share_the_work(own, tmp_path, command, count):
    flags = ["--set", "epochs=30", "--seeds", "4", "--jobs", "1"]
    studies = [command(own, tmp_path, *flags) for _ in range(count)]
    ends = [study.end() for study in studies]
    assert [code for code, _, _ in ends] == [0] * count, ends
    tables = [json.loads(out) for _, out, _ in ends]
    assert all(table == tables[0] for table in tables)
    runs = tmp_path / "runs"
    assert list(statuses(runs).values()) == ["finished"] * 8
    for run in make_plan(Recipe.load(own, seeds="4", sets=["epochs=30"]), Store(runs)).runs:
        mine = [line for line in attempts(runs, run.leader) if re.search(rf"seeds: .*\b{run.seed}\b.*;", line)]
        assert len(mine) == 1, f"seed {run.seed} of {run.variant.name} was trained more than once: {mine}"
        assert [line["epoch"] for line in Store(runs).metrics(run.fingerprint)] == list(range(1, 31))
    study = json.loads((runs / "own" / "study.json").read_text())
    assert {name for row in study["rows"] for name in row["runs"].values()} == set(statuses(runs))


def test_a_reader_beside_a_writer(own, tmp_path, ablate, command):
    """Tables, status and cleaning while a study trains, which it does until it is told to end: none of them fails, none
    disturbs.
    """
    runs, flags = tmp_path / "runs", ["--set", "epochs=1000000", *LONG[2:4]]
    study = command(own, tmp_path, *flags)
    until(lambda: epochs(runs) > 50)
    table = ablate("table", own, *flags, "--format", "json")
    assert table.code == 0, table.err
    status = ablate("status", own, *flags, "--json")
    assert status.code == 0, status.err
    running = [(row["variant"], run) for row in status.json()["rows"] for run in row["running"]]
    assert running
    assert all(run["pid"] in study.family() and run["silent"] < 60 for _, run in running)
    assert ablate("status", own, *flags).code == 0
    assert ablate("clean").out == "Nothing to remove.\n"
    study.process.send_signal(signal.SIGINT)
    code, _, err = study.end()
    assert code == 130, err
    for variant, run in running:
        assert ablate("logs", own, variant, "--seed", run["seed"], *flags).out.count(": started (") == 1
    for name in statuses(runs):
        lines = [line["epoch"] for line in Store(runs).metrics(name)]
        assert lines == list(range(1, len(lines) + 1))


DRIVER = """
import sys
started = []
starts = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")
sys.addaudithook(lambda name, args: started.append(name) if name in starts else None)
from ablate.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
heavy = [name for name in ("torch", "mlflow", "pandas", "sklearn", "matplotlib") if name in sys.modules]
print(code, started, heavy)
"""


def test_a_finished_study_starts_no_process_and_imports_nothing_heavy(own, tmp_path, ablate):
    """For one that is published see tests/tracking/test_commands.py."""
    flags = ["--no-mlflow"]
    assert ablate("run", own, *flags).code == 0
    (tmp_path / "driver.py").write_text(DRIVER)
    words = [sys.executable, "driver.py", "run", str(own), *flags, "--format", "csv"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 [] []"
