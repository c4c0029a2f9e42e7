"""A real Slurm on this machine: the same numbers as a local study, whatever happens to jobs, nodes and the command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clusters.slurm import SlurmCluster, missing

pytestmark = pytest.mark.slow

NETWORK = """
import os, time
from torch import nn

class Net(nn.Sequential):
    def __init__(self, outputs, hidden=8):
        super().__init__(nn.Flatten(), nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, x):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().forward(x)
"""

RECIPE = """
study: remote
data: digits
seeds: 3
baseline:
  name: base
  model: {target: network:Net}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 256
  epochs: 20
  stack: off
  checkpoint: {every: 1 epochs}
variants:
  - {name: wide, set: {model.hidden: 16}}
  - {name: fast, set: {optimizer.lr: 0.3}}
  - {name: warm, from: base, add: [{from_weights: {source: base}}]}
"""

SOME = ("--only", "base,wide", "--seeds", "2")
"""Four runs of 20 epochs."""

PAUSED = {"PAUSE": "0.08"}
"""An epoch takes about half a second."""

WAIT = 180.0
"""Seconds after which a wait has failed."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    reason = missing()
    if reason and os.environ.get("ABLATE_REQUIRE_SERVICES"):
        pytest.fail(f"Slurm cannot run here: {reason}")
    if reason:
        pytest.skip(reason)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), 26800 + 10 * worker)
    yield cluster
    cluster.close()


class Study:
    """A recipe in a folder of its own, on Slurm or here."""

    def __init__(self, folder: Path, slurm: SlurmCluster) -> None:
        self.folder, self.slurm = folder, slurm
        (folder / "network.py").write_text(NETWORK)
        (folder / "study.yaml").write_text(RECIPE)
        self.before = set(slurm.run("squeue", "-h", "-t", "all", "-o", "%j").split())

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "ablate", *words]
        environment = {**self.slurm.environment, **variables}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, code: int = 0, **variables: str) -> str:
        """What a command prints to both streams."""
        process = self.start(*words, **variables)
        out, err = process.communicate(timeout=WAIT)
        assert process.returncode == code, out + err
        return out + err

    def on_slurm(self, *words: str) -> tuple[str, ...]:
        return ("run", "study.yaml", "--no-mlflow", "--executor", "slurm", *words)

    def statuses(self) -> dict[str, dict]:
        found = {}
        for path in (self.folder / "runs" / "store").glob("*/status.json"):
            found[path.parent.name] = json.loads(path.read_text())
        return found

    def wait_for_epoch(self, epoch: int) -> str:
        """The number of a job one of whose runs has come so far."""
        until = time.monotonic() + WAIT
        while time.monotonic() < until:
            for path in (self.folder / "runs" / "store").glob("*/metrics.jsonl"):
                if path.read_text().count("\n") >= epoch:
                    owner = json.loads(max(path.parent.glob("lock.*")).read_text().replace("free", "{}"))
                    jobs = self.slurm.jobs("--name", owner.get("job", "-"))
                    if jobs:
                        return jobs[0]
            time.sleep(0.1)
        raise AssertionError("no run has come so far")

    def submitted(self) -> set[str]:
        """The names of all jobs that were submitted, also of those that have ended."""
        return set(self.slurm.run("squeue", "-h", "-t", "all", "-o", "%j").split()) - self.before

    def trained(self) -> dict[str, object]:
        """Weights and numbers of all runs that are there, without times."""
        found = {}
        for name, status in self.statuses().items():
            folder = self.folder / "runs" / "store" / name
            lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            curves = [{key: value for key, value in line.items() if key not in ("time", "seconds")} for line in lines]
            found[name] = status["status"], status["results"], curves, (folder / "last.pt").read_bytes()
        return found

    def starts(self) -> list[int]:
        """How often each run began from nothing."""
        logs = (self.folder / "runs" / "store").glob("*/log.txt")
        return [path.read_text().count(": started (") for path in logs]

    def is_clean(self) -> bool:
        """Whether no job is left, and no file of one."""
        until = time.monotonic() + 30
        while self.slurm.jobs() and time.monotonic() < until:
            time.sleep(0.5)
        return not self.slurm.jobs() and list((self.folder / "runs" / ".jobs").iterdir()) == []


@pytest.fixture
def study(tmp_path, slurm):
    return Study(tmp_path, slurm)


@pytest.fixture(scope="module")
def local(tmp_path_factory, slurm):
    """What the study gives on this machine, undisturbed."""
    study = Study(tmp_path_factory.mktemp("local"), slurm)
    study.run("run", "study.yaml", "--no-mlflow")
    return study.trained()


def test_equals_the_local_study_bit_for_bit(study, local):
    words = ("run", "study.yaml", "--executor", "slurm", "--tracking-uri", "sqlite:///mlflow.db", "--runs-per-job", "2")
    said = study.run(*words)
    assert "finished" in said
    assert study.trained() == local
    assert len(study.trained()) == 12
    assert study.is_clean()
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{study.folder}/mlflow.db")
    [experiment] = [one for one in client.search_experiments() if one.name != "Default"]
    published = client.search_runs([experiment.experiment_id], max_results=1000)
    seeds = [run for run in published if run.data.tags.get("ablate.kind") == "seed"]
    assert len(seeds) == 12
    assert {run.info.status for run in seeds} == {"FINISHED"}
    assert all(len(client.get_metric_history(run.info.run_id, "valid_loss")) == 20 for run in seeds)
    before = study.submitted()
    assert "0 to train" in study.run(*words)
    assert study.submitted() == before


def test_a_job_that_somebody_cancels_is_submitted_once_more(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    study.slurm.run("scancel", study.wait_for_epoch(3))
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, out + err
    assert "CANCELLED" in err
    assert study.trained().items() <= local.items()
    assert study.starts() == [1] * 4
    assert len(study.submitted()) == 5
    assert study.is_clean()


def test_a_job_that_is_requeued_goes_on(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    study.slurm.run("scontrol", "requeue", study.wait_for_epoch(3))
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, out + err
    assert study.trained().items() <= local.items()
    assert study.starts() == [1] * 4
    assert study.is_clean()


def test_a_job_that_is_preempted_goes_on(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    study.wait_for_epoch(3)
    study.slurm.run("sbatch", "-p", "urgent", "-N", "3", "-n", "6", "--wrap", "sleep 3", "--output", "/dev/null")
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, out + err
    assert study.trained().items() <= local.items()
    assert study.starts() == [1] * 4
    assert study.is_clean()


def test_jobs_of_a_node_that_dies_go_on_elsewhere(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    node = study.slurm.node_of(study.wait_for_epoch(3))
    study.slurm.kill_node(node)
    try:
        out, err = process.communicate(timeout=WAIT)
    finally:
        study.slurm.start_node(node)
    assert process.returncode == 0, out + err
    assert study.trained().items() <= local.items()
    assert sum(study.starts()) <= 5  # one that shared the node may not have come to a checkpoint
    assert study.is_clean()


def test_the_command_may_be_killed_and_attached_again(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    study.wait_for_epoch(3)
    process.kill()
    process.communicate()
    before = study.submitted()
    assert len(before) == 4
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, out + err
    assert err.count("finished elsewhere") == 4
    assert study.trained().items() <= local.items()
    assert study.starts() == [1] * 4
    assert study.submitted() == before
    assert study.is_clean()


def test_a_time_limit_that_is_shorter_than_a_run_only_costs_a_new_job(study, local):
    """Whether Slurm's warning comes while the job trains or before it listens."""
    slower = {"PAUSE": "0.8"}
    limits = ("--slurm", "time=2")
    process = study.start(*study.on_slurm("--only", "base", "--seeds", "1", *limits), **slower)
    out, err = process.communicate(timeout=2 * WAIT)
    assert process.returncode == 0, out + err
    assert study.trained().items() <= local.items()
    assert study.starts() == [1]
    assert len(study.submitted()) >= 2
    assert study.is_clean()


def test_detached_jobs_go_on_alone_and_sources_come_first(study, local):
    said = study.run(*study.on_slurm("--only", "base,warm", "--seeds", "2", "--detach"))
    assert "Jobs submitted to Slurm: 4." in said
    assert "ablate cancel study.yaml" in said
    until = time.monotonic() + WAIT
    while study.slurm.jobs() and time.monotonic() < until:
        time.sleep(0.5)
    assert study.trained().items() <= local.items()
    assert len(study.trained()) == 4
    assert "0 to train" in study.run(*study.on_slurm("--only", "base,warm", "--seeds", "2"))
    assert len(study.submitted()) == 4


def test_cancelled_runs_keep_their_checkpoint(study, local):
    study.run(*study.on_slurm(*SOME, "--detach"), **PAUSED)
    study.wait_for_epoch(3)
    assert "Jobs cancelled: 4." in study.run("cancel", "study.yaml", *SOME)
    until = time.monotonic() + WAIT
    while study.slurm.jobs() and time.monotonic() < until:
        time.sleep(0.2)
    assert "No jobs of this study" in study.run("cancel", "study.yaml", *SOME)
    assert {status["status"] for status in study.statuses().values()} <= {"interrupted", "running"}
    study.run(*study.on_slurm(*SOME))
    assert study.trained().items() <= local.items()
    assert max(study.starts()) == 1


def test_ctrl_c_leaves_the_jobs(study, local):
    process = study.start(*study.on_slurm(*SOME), **PAUSED)
    study.wait_for_epoch(3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, out + err
    assert "Submitted jobs continue." in err
    assert len(study.slurm.jobs()) > 0
    said = study.run(*study.on_slurm(*SOME), **PAUSED)
    assert len(study.submitted()) == 4, err + said
    assert study.trained().items() <= local.items()


def test_what_slurm_refuses_is_one_line(study):
    said = study.run(*study.on_slurm("--slurm", "partition=nowhere"), code=2)
    assert "invalid partition specified: nowhere" in said
    assert "Traceback" not in said
    assert "Change the options of sbatch (=partition=nowhere)" in said
    assert not study.statuses()
    assert "--slurm (=output=x) is not allowed" in study.run(*study.on_slurm("--slurm", "output=x"), code=2)


def test_a_job_that_cannot_begin_ends_the_command(study):
    """As on a node that lacks this Python."""
    (study.folder / "sitecustomize.py").write_text(
        "import os, sys\nif 'remote' in str(sys.orig_argv): sys.exit('lost')\n"
    )
    process = study.start(*study.on_slurm(*SOME), PYTHONPATH=str(study.folder))
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 2, out + err
    assert "A job could not start: its Slurm job ended (FAILED). Its last line of output: SystemExit: lost." in err
    study.slurm.run("scancel", "--user=root")
