"""`ablate run` on a user's own network and data, in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from ablate.store.store import Store


def test_trains_once_and_prints_the_same_table(own, ablate, ablate_alone, tmp_path):
    first = ablate_alone("run", own, "--format", "json")
    assert first.code == 0, first.err
    rows = first.rows()
    assert [row["status"] for row in rows.values()] == ["finished", "finished"]
    assert rows["plain"]["seeds"] == 2
    assert rows["plain"]["parameters"] == 16 * 8 + 8 + 8 * 2 + 2
    assert rows["plain"]["valid_loss"] > 0
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "store").rglob("*")}
    again = ablate("run", own, "--format", "json")
    assert again.out == first.out
    assert "0 to train" in again.err
    assert stamps == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "store").rglob("*")}
    assert ablate("table", own, "--format", "json").out == first.out


def test_what_a_run_leaves_behind(own, ablate, tmp_path):
    import json

    import torch
    from ruamel.yaml import YAML

    assert ablate("run", own, "--only", "plain", "--seeds", "1").code == 0
    [folder] = (tmp_path / "runs" / "store").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "settings.yaml", "identity.json", "provenance.json", "metrics.jsonl", "status.json", "best.pt", "last.pt", "log.txt", "lock.1",
        "examples.npz",
    }  # fmt: skip
    settings = YAML(typ="safe").load(folder / "settings.yaml")
    assert settings["model"] == {"target": "model:Net"}
    assert settings["seed"] == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["torch"] == torch.__version__
    assert provenance["command"][1] == "run"
    store, counts = Store(tmp_path / "runs"), provenance["facts"]["data"]
    record = store.record(folder.name)
    assert record.origin == store.provenance(folder.name).origin
    assert (record.origin.torch, record.origin.train) == (torch.__version__, counts["train"])
    weights = torch.load(folder / "last.pt", weights_only=True)
    assert weights["layers.1.weight"].shape == (8, 16)
    study = json.loads((tmp_path / "runs" / "own" / "study.json").read_text())
    assert study["rows"][0]["runs"] == {"0": folder.name}


def test_editing_code_makes_rows_stale_and_a_comment_does_not(own, ablate):
    assert ablate("run", own).code == 0
    model = own.parent / "model.py"
    model.write_text("# a comment\n" + model.read_text())
    assert "0 to train" in ablate("run", own).err
    model.write_text(model.read_text().replace("nn.ReLU()", "nn.Tanh()"))
    rows = ablate("table", own, "--format", "json").rows()
    assert {row["status"] for row in rows.values()} == {"stale"}
    plan = ablate("plan", own, "--quick", "--json").json()
    assert plan["to_train"] == 4
    assert ablate("run", own).code == 0
    assert {row["status"] for row in ablate("table", own, "--format", "json").rows().values()} == {"finished"}


def test_reading_runs_no_user_code(own, ablate):
    for name in ("model.py", "data.py"):
        (own.parent / name).write_text("raise SystemExit('user code ran')\nNet = load = None\n")
    for words in (["plan", own, "--quick"], ["diff", own, "plain", "wide"], ["table", own]):
        done = ablate(*words)
        assert done.code == 0, done.err
        assert "user code ran" not in done.out + done.err


def test_bad_rows_keep_their_reasons_and_the_others_finish(own, ablate):
    own.write_text(
        own.read_text()
        + """
  - {name: raises, from: plain, set: {model: {target: "model:Broken"}}}
  - {name: diverges, from: plain, set: {optimizer.lr: 1.0e+30}}
  - {name: huge, from: plain, set: {model: {name: mlp, hidden: [1000000000000]}}}
  - {name: nothing, from: plain, add: [{dropout: {conv: 0.5, hidden: 0}}]}
  - {name: after, from: plain, set: {batch_size: 8}}
"""
    )
    done = ablate("run", own, "--format", "json")
    assert done.code == 1
    rows = done.rows()
    assert {name: row["status"] for name, row in rows.items()} == {
        "plain": "finished",
        "wide": "finished",
        "raises": "failed",
        "diverges": "diverged",
        "huge": "out_of_memory",
        "nothing": "no_effect",
        "after": "finished",
    }
    assert rows["diverges"]["verdict"] == "unstable"
    said = "raises (failed), diverges (diverged), huge (out of memory). "
    assert said in done.err
    assert f"run: ablate logs {own} raises\n" in done.err
    assert "--retry-failed" in done.err
    text = ablate("table", own, "--notes").out
    assert re.search(r"the second law \(model\.py, line \d+, in \w+\)", text)
    assert "is not finite in epoch" in text
    # failed runs are known: only --retry-failed trains them again
    assert "0 to train" in ablate("run", own).err
    (own.parent / "model.py").write_text(
        (own.parent / "model.py")
        .read_text()
        .replace('raise RuntimeError("the second law")', "return super().forward(x)")
    )
    retried = ablate("run", own, "--retry-failed", "--format", "json")
    assert retried.rows()["raises"]["status"] == "finished"


def test_a_process_that_dies_is_a_failed_row(own, ablate):
    model = own.parent / "model.py"
    model.write_text(
        model.read_text().replace('raise RuntimeError("the second law")', "import os; os.kill(os.getpid(), 9)")
    )
    own.write_text(own.read_text() + "\n  - {name: killed, from: plain, set: {model: {target: 'model:Broken'}}}\n")
    done = ablate("run", own, "--format", "json")
    assert done.code == 1
    assert done.rows()["killed"]["status"] == "failed"
    assert done.rows()["wide"]["status"] == "finished"
    assert "signal 9" in ablate("table", own).out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_interrupted_says_how_to_go_on(own, tmp_path, number):
    command = [sys.executable, "-m", "ablate", "run", str(own), "--no-mlflow", "--set", "epochs=1000000"]
    command += ["--jobs", "1"]  # a second job that has only just begun would have no status yet
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    store = tmp_path / "runs" / "store"
    while not (store.is_dir() and any(path.stat().st_size for path in store.glob("*/metrics.jsonl"))):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert ": ablate run" in err
    assert "epochs=1000000" in err
    import json

    states = [json.loads(path.read_text()) for path in store.glob("*/status.json")]
    assert {state["status"] for state in states} == {"interrupted"}
    for state in states:
        try:
            os.kill(state["pid"], 0)
        except ProcessLookupError:
            continue
        raise AssertionError("a job outlived its command")


def test_fail_fast_starts_nothing_new(own, ablate):
    own.write_text(own.read_text().replace("{target: model:Net}", "{target: 'model:Broken'}"))
    done = ablate("run", own, "--fail-fast", "--jobs", "1", "--format", "json")
    assert done.code == 1
    assert sorted(row["status"] for row in done.rows().values()) == ["failed", "queued"]


def test_an_unguarded_script_can_run_a_study(own, tmp_path):
    script = own.parent / "script.py"
    script.write_text(
        """
import ablate
table = ablate.run("recipe.yaml", root=__import__("pathlib").Path("runs"))
print([round(row.valid_loss, 6) for row in table.rows])
network = ablate.load("recipe.yaml", "wide", seed=1, root=__import__("pathlib").Path("runs"))
print(network.layers[1].out_features, network.training)
"""
    )
    done = subprocess.run([sys.executable, str(script)], cwd=own.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    losses, network = done.stdout.splitlines()
    assert losses.count(".") == 2
    assert network == "16 False"
