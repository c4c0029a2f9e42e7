"""Wrong options for executors: one line, before anything is written. No cluster is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.execution.cancelling import cancel_jobs
from ablate.execution.executors.find import resources_of
from ablate.execution.run_options import RunOptions, slots

RECIPE = """
study: own
trainer: {target: "own:main"}
seeds: 1
baseline: {name: base}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A recipe in the working folder, on a machine without a cluster."""
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text("def main(run):\n    run.log(epoch=1, valid_loss=1.0)\n")
    Path("own.yaml").write_text(RECIPE)
    return "own.yaml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no table", "file (=ablate.toml) must be valid TOML: "),
        ('slurm = ["a"]', "slurm in file (=ablate.toml) must be a table: [slurm], then lines such as partition = "),
        (
            '[slrum]\npartition = "a"',
            "slrum in file (=ablate.toml) must be the table of an executor: [ray] or [slurm].",
        ),
        ('partition = "a"', "partition in file (=ablate.toml) must be the table of an executor: "),
        ('[slurm]\npartition = ["a"]', "slurm.partition in file (=ablate.toml) must be a string, such as partition = "),
        ("[slurm]\ntime = 04:00:00", "slurm.time in file (=ablate.toml) must be a string, such as time = "),
        ('[slurm.gpu]\npartition = "a"', "slurm.gpu in file (=ablate.toml) must be a string"),
        ('[slurm]\njob-name = "a"', "--slurm (=job-name=a) is not allowed: ablate sets or omits this option itself."),
    ],
)
def test_a_wrong_file_is_one_line(own, text, said):
    Path("ablate.toml").write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]*\.$") as error:
        resources_of("slurm", [])
    assert str(error.value).startswith(said)


def test_a_file_that_cannot_be_read_is_one_line(own):
    Path("ablate.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"^file \(=ablate\.toml\) must be UTF-8 text\.$"):
        resources_of("slurm", [])
    Path("ablate.toml").unlink()
    Path("ablate.toml").mkdir()
    with pytest.raises(ValueError, match=r"^file \(=ablate\.toml\) cannot be read: Is a directory\.$"):
        resources_of("slurm", [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("slurm", "--slurm", "=gpu"),
            "--slurm (==gpu) must be options NAME=VALUE, such as partition=gpu,time=4:00:00.",
        ),
        (("ray", "--ray", "=1"), "--ray (==1) must be options NAME=VALUE, such as num_gpus=0.5,num_cpus=2."),
        (("slurm", "--slurm", "-p gpu"), "--slurm (=p gpu) must be a long option of sbatch, such as partition=gpu."),
        (("slurm", "--slurm", "partition:gpu"), "--slurm (=partition:gpu) must be a long option of sbatch"),
        (("slurm", "--slurm", "partition="), "--slurm (=partition=) must have a value after the equals sign."),
        (("slurm", "--slurm", "job=x"), "--slurm (=job=x) is not allowed"),
        (("slurm", "--slurm", "help"), "--slurm (=help) is not allowed"),
        (("ray", "--ray", "num_gpus=x"), "--ray (=num_gpus=x) must be a number that is at least 0."),
        (("slurm", "--device", "gpu"), "--device (=gpu) must be auto, cpu, cuda or cuda:N."),
        (("local", "--detach"), "--detach requires --executor slurm. Jobs of --executor local end with the command."),
        (("local", "--runs-per-job", "5"), "--runs-per-job (=5) requires a cluster"),
        (("nonsense",), "--executor (=nonsense) must be local, ray or slurm."),
    ],
)
@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_wrong_options_write_nothing(own, ablate, words, said, more):
    done = ablate("run", own, "--executor", *words, *more, PATH="/nonexistent")
    assert (done.code, done.out) == (2, "")
    [line] = done.err.splitlines()
    assert line.startswith(said)
    assert not Path("runs").exists()


def test_without_slurm_the_commands_end_with_one_line(own, ablate):
    said = "--executor (=slurm) requires Slurm's commands, but sbatch was not found. Run the command on a login node"
    for words in (("run", own, "--executor", "slurm"), ("cancel", own)):
        done = ablate(*words, PATH="/nonexistent")
        assert done.code == 2
        assert done.err.splitlines()[-1].startswith(said)
        assert "bug in ablate" not in done.err


def test_a_cluster_that_does_not_answer_has_cancelled_nothing(own, ablate, tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        (programs / name).write_text("#!/bin/sh\nexit 0\n")
        (programs / name).chmod(0o755)
    assert ablate("run", own, "--executor", "slurm", "--detach", PATH=str(programs)).code == 0
    (programs / "squeue").write_text("#!/bin/sh\nexit 1\n")
    done = ablate("cancel", own, PATH=str(programs))
    assert (done.code, done.err) == (2, "Slurm does not answer, so no job was cancelled. Rerun the command later.\n")
    (programs / "squeue").write_text("#!/bin/sh\nexit 0\n")
    assert "Jobs cancelled: 1." in ablate("cancel", own, PATH=str(programs)).err
    assert "No jobs of this study" in ablate("cancel", own, PATH=str(programs)).err


def test_a_device_of_a_cluster_need_not_be_here():
    assert slots(RunOptions(executor="slurm", device="cuda:7", jobs=1)) == ["cuda:7"]


def test_only_jobs_that_outlive_their_command_can_be_cancelled():
    with pytest.raises(ValueError, match=r"^--executor \(=ray\) must be slurm\. Jobs of other executors end with "):
        cancel_jobs(None, None, RunOptions(executor="ray"))
