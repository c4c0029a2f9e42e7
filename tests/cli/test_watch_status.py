"""``ablate status --watch``: again only if something changed, in place on a terminal, until all runs have ended, and without a write."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from ablate.cli.watch_status import EVERY, SHARE, ended, follow, in_view, pause, state_now
from ablate.planning.plan import make_plan
from ablate.planning.run_status import RowNow, RunNow
from ablate.recipe import Recipe
from ablate.store.records import Status
from ablate.store.store import Store

RECIPE = """\
study: s
data: {name: digits, limit: 60}
seeds: 2
baseline: {name: plain, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}
variants:
  - {name: longer, set: {epochs: 2}}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The recipe, its store, and a function that sets the status of its runs, by variant."""
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    recipe, store = Recipe.load(Path("r.yaml")), Store(tmp_path / "runs")

    def become(**statuses):
        for run in make_plan(recipe, store).runs:
            if status := statuses.get(run.variant.name):
                reason = "why" * (status == "failed")
                store.write_status(replace(run.record, status=status, epoch=1, reason=reason, heartbeat=1.0))

    return recipe, store, become


def files(folder):
    return {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


class Steps:
    """Instead of waiting: what happens to the store before each next look. After the last one, Ctrl-C."""

    def __init__(self, folder, *steps):
        self.folder, self.steps = folder, list(steps)
        self.after = files(folder)

    def __call__(self, seconds):
        assert seconds >= EVERY
        assert files(self.folder) == self.after
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()
        self.after = files(self.folder)


def test_a_pipe_gets_a_block_for_each_change_until_all_runs_have_ended(study, tmp_path, capsys):
    recipe, store, become = study
    steps = Steps(
        tmp_path, lambda: become(plain="finished"), lambda: None, lambda: None, lambda: become(longer="failed")
    )
    follow(recipe, store, as_json=False, wait=steps)
    out, err = capsys.readouterr()
    blocks = [[line.split() for line in block.splitlines()] for block in out.split("\n\n")]
    title = ["Name", "Status", "Seed", "Epoch", "Validation", "loss", "Last", "update", "PID"]
    assert (steps.steps, err, "\x1b" in out) == ([], "", False)
    assert blocks == [
        [title, ["plain", "2", "not", "started"], ["longer", "2", "not", "started"]],
        [title, ["plain", "2", "finished"], ["longer", "2", "not", "started"]],
        [
            title,
            ["plain", "2", "finished"],
            ["longer", "2", "failed"],
            ["longer,", "seed", "0:", "failed:", "why"],
            ["longer,", "seed", "1:", "failed:", "why"],
        ],
    ]
    assert files(tmp_path) == steps.after


def test_ctrl_c_ends_it(study, tmp_path, capsys, monkeypatch):
    recipe, store, _ = study
    with pytest.raises(KeyboardInterrupt):
        follow(recipe, store, as_json=False, wait=Steps(tmp_path))
    assert capsys.readouterr().out.count("Name") == 1
    assert not (tmp_path / "runs").exists()


def test_json_is_an_object_for_each_change(study, tmp_path, capsys):
    recipe, store, become = study
    steps = Steps(tmp_path, lambda: None, lambda: become(plain="finished", longer="finished"))
    follow(recipe, store, as_json=True, wait=steps)
    text, decoder, found = capsys.readouterr().out, json.JSONDecoder(), []
    while text:
        value, end = decoder.raw_decode(text)
        found.append([row["runs"] for row in value["rows"]])
        text = text[end:].lstrip()
    assert found == [[{"queued": 2}] * 2, [{"finished": 2}] * 2]


def test_the_time_since_an_update_is_no_change(study, tmp_path, capsys):
    """A run in training is printed again when its epoch changes."""
    recipe, store, become = study
    become(longer="finished")
    names = [run.fingerprint for run in make_plan(recipe, store).runs if run.variant.name == "plain"]
    with store.claim(names) as claim:
        assert claim is not None
        become(plain="running")
        later = Steps(tmp_path, lambda: None, lambda: store.write_metrics(names[0], [{"epoch": 7, "valid_loss": 0.5}]))
        with pytest.raises(KeyboardInterrupt):
            follow(recipe, store, as_json=True, wait=later)
    text = capsys.readouterr().out
    assert text.count('"study"') == 2
    assert '"epoch": 7' in text


def test_states_that_are_not_the_end(study):
    recipe, store, become = study
    become(plain="finished")
    for status in get_args(Status):
        become(longer=status)  # a run that no process trains is interrupted
        assert state_now(recipe, store).ended == (status not in ("queued", "running", "interrupted", "stale")), status


def test_a_slow_look_is_followed_by_a_long_pause():
    for took in (0.0, 0.01, 0.3, 2.0, 60.0):
        wait = pause(took)
        assert wait >= EVERY
        assert took / (took + wait) <= SHARE + 1e-12
    assert pause(0.1) == EVERY


def test_rows_in_training_are_in_view_first():
    run = RunNow(0, 1, 2, None, None, None, None, None)
    rows = [RowNow(f"over{i}", {"finished": 2}, (), ()) for i in range(3)]
    rows += [RowNow("bad", {"failed": 1, "finished": 1}, (), ("seed 0: failed: why",))]
    rows += [RowNow(f"next{i}", {"queued": 2}, (), ()) for i in range(3)]
    rows += [RowNow("now", {"running": 2}, (run, run), ())]

    def names(most):
        return [row.variant for row in in_view(rows, most)]

    assert names(10) == [row.variant for row in rows]
    assert names(9) == ["over0", "over1", "over2", "next0", "next1", "next2", "now"]
    assert names(7) == ["over0", "over1", "next0", "next1", "next2", "now"]
    assert names(5) == ["next0", "next1", "next2", "now"]
    assert names(3) == ["next0", "now"]
    assert names(1) == ["now"]
    assert ended(rows) == "8/16 runs ended"


def on_terminal(folder, *words, until, number):
    """What a command has written on a terminal when it was ended by a signal, after it had written ``until``."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ablate", *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    found = b""
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # no writer is left
                break
            if not data:
                break
            known, found = found, found + data
            if until in found and until not in known:
                process.send_signal(number)
    os.close(ours)
    return process.returncode, found.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_is_as_before_after_a_signal(number, study, tmp_path):
    code, text = on_terminal(tmp_path, "status", "r.yaml", "--watch", until=b"0/4 runs ended", number=number)
    assert code == 130
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor
    rest = text.rpartition("\x1b[2K")[2]  # the lines that moved are erased
    assert [line.split()[0] for line in rest.splitlines()] == ["\x1b[1mName", "plain", "longer"]


def test_a_study_that_has_ended_is_shown_once(study, tmp_path, warm):
    study[2](plain="finished", longer="diverged")
    done, plain = warm(tmp_path, "status", "r.yaml", "--watch"), warm(tmp_path, "status", "r.yaml")
    assert (done.code, done.out) == (0, plain.out)
