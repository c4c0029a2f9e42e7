"""Commands as users type them: output on stdout, messages on stderr, one line for what is wrong."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate.cli.app import run_command
from ablate.cli.run import ended_badly

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "recipes" / "digits.yaml"


WRONG = {
    "no such command": (["pln", "x.yaml"], "command (=pln) does not exist. Did you mean 'plan'?"),
    "no such file": (["run", "nowhere.yaml"], "nowhere.yaml"),
    "a folder": (["plan", "."], "."),
    "unknown flag": (["plan", DIGITS, "--sedes", "3"], "Did you mean '--seeds'?"),
    "unlike any flag": (["plan", DIGITS, "--bogus"], "See 'ablate plan --help'."),
    "a schema in no folder": (["schema", "-o", "nowhere/x.json"], "--output (=nowhere/x.json)"),
    "predictions in another format": (
        ["predict", DIGITS, "net1", "--data", "x.npz", "-o", "q.txt"],
        "--output (=q.txt) must end in .csv.",
    ),
    "unknown row": (["table", DIGITS, "--only", "net9"], "net9"),
    "seeds": (["plan", DIGITS, "--seeds", "-1"], "-1"),
    "scale": (["plan", DIGITS, "--scale", "0"], "scale"),
    "set without value": (["plan", DIGITS, "--set", "epochs"], "epochs"),
    "set unknown": (["plan", DIGITS, "--set", "epoch=3"], "epochs"),
    "set wrong type": (["plan", DIGITS, "--set", "epochs=many"], "many"),
    "jobs": (["run", DIGITS, "--jobs", "none"], "--jobs (=none)"),
    "device": (["run", DIGITS, "--device", "tpu"], "--device (=tpu)"),
    "not a number": (["run", DIGITS, "--threads", "two"], "--threads (=two) must be an integer."),
    "too small": (["run", DIGITS, "--timeout=0"], "--timeout (=0) must be at least 1."),
    "no time limit": (
        ["run", DIGITS, "--timeout", "inf"],
        "--timeout (=inf) must be at most 31536000. Omit it for no time limit.",
    ),
    "a time limit of ages": (["run", DIGITS, "--timeout", "1e18"], "--timeout (=1e+18) must be at most"),
    "no number": (["run", DIGITS, "--timeout", "nan"], "--timeout (=nan) must be at least 1."),
    "threads that cannot start": (
        ["run", DIGITS, "--threads", "100000"],
        "--threads (=100000) must be at most 1024.",
    ),
    "processes that cannot start": (["run", DIGITS, "--jobs", "100000"], "--jobs (=100000) must be at most 1024."),
    "many jobs": (["run", DIGITS, "--jobs-per-gpu", "100000"], "--jobs-per-gpu (=100000) must be at most 1024."),
    "fewer than no retries": (["run", DIGITS, "--retries", "-1"], "--retries (=-1) must be at least 0."),
    "retries for ever": (["run", DIGITS, "--retries", "1000000"], "--retries (=1e+06) must be at most 1000."),
    "epochs for ever": (["run", DIGITS, "--scale", "1e300"], "--scale (=1e+300) must be at most 1000000."),
    "no directory": (["run", DIGITS, "--runs", ""], "--runs (=) must be the name of a directory, such as runs."),
    "no directory to clean": (["clean", "--runs", " "], "--runs (= ) must be the name of a directory, such as runs."),
    "too large": (["ui", "--port", "99999"], "--port (=99999) must be at most 65535."),
    "no value": (["plan", DIGITS, "--seeds"], "--seeds requires a value."),
    "one argument too many": (["plan", DIGITS, "more"], "argument (=more) is not expected."),
    "format": (["run", DIGITS, "--format", "docx"], "--format (=docx)"),
    "suffix": (["export", DIGITS, "-o", "table.docx"], "--output (=table.docx)"),
    "exported column": (["export", DIGITS, "-o", "table.md", "--columns", "x"], "--columns (=x)"),
    "metric of a run": (["run", DIGITS, "--metric", "acuracy"], "--metric (=acuracy)"),
    "order": (["table", DIGITS, "--sort", "zzz"], "--sort (=zzz)"),
    "no folder": (["export", DIGITS, "-o", "nowhere/table.md"], "nowhere"),
    "column": (["table", DIGITS, "--columns", "valid_los"], "--columns (=valid_los)"),
    "variant": (["diff", DIGITS, "net1", "nte2"], "net2"),
    "catalog": (["catalog", "dropuot"], "dropout"),
    "missing argument": (["diff", DIGITS, "net1"], "VARIANT_B is missing."),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(ablate, case, tmp_path):
    words, hint = WRONG[case]
    done = ablate(*words)
    assert done.code == 2
    assert done.out == ""
    [line] = done.err.strip().splitlines()
    assert hint in line
    assert "Traceback" not in line
    assert not (tmp_path / "runs").exists()


def test_without_a_command_it_shows_the_help(capsys):
    assert run_command([]) == 2
    said = capsys.readouterr()
    assert "Commands" in said.out
    assert said.err == "Missing command. See 'ablate --help'.\n"


def test_debug_shows_where(ablate):
    done = ablate("--debug", "plan", "nowhere.yaml")
    assert "Traceback" in done.err


def test_new_writes_a_recipe_that_reads(ablate, tmp_path):
    assert ablate("new", "mine").code == 0
    assert ablate("plan", "mine.yaml", "--quick").code == 0
    before = (tmp_path / "mine.yaml").read_text()
    again = ablate("new", "mine")
    assert again.code == 2
    assert "already exists" in again.err
    assert (tmp_path / "mine.yaml").read_text() == before


@pytest.mark.parametrize("name", ["x y", "it's", "a: b #c"])
def test_new_takes_any_name(ablate, tmp_path, name):
    done = ablate("new", name)
    assert done.code == 0
    assert shlex.quote(f"{name}.yaml") in done.err
    assert ablate("plan", f"{name}.yaml", "--quick").out.startswith(f"Plan of {name} ")


@pytest.mark.parametrize("name", ["", " ", ".yaml"])
def test_new_needs_a_name(ablate, tmp_path, name):
    done = ablate("new", name)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert not list(tmp_path.iterdir())


def test_values_are_written_as_in_a_recipe(ablate, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "data: digits\nbaseline: {model: mlp, loss: cross_entropy, optimizer: sgd}\n"
        "variants: [{name: a, set: {model: {name: mlp, hidden: [4], activation: tanh}, shuffle: false}}]\n"
    )
    assert "model = {name: mlp, hidden: [4]" in " ".join(ablate("plan", "r.yaml", "--quick", "--json").out.split())
    shown = ablate("diff", "r.yaml", "baseline", "a").out
    assert "[4]" in shown
    assert "false" in shown
    assert '"' not in shown


def test_diff_shows_what_differs(ablate):
    done = ablate("diff", DIGITS, "net2", "net4", "--json")
    assert {item["path"] for item in done.json()} == {"optimizer.lr", "optimizer.momentum"}
    assert "optimizer.lr" in ablate("diff", DIGITS, "net2", "net4").out
    assert "same settings" in ablate("diff", DIGITS, "net2", "net2").out


def test_catalog_lists_and_prints_cards(ablate):
    listed = ablate("catalog", "--json").json()
    names = {(entry["kind"], entry["name"]) for entry in listed}
    assert {("trick", "flip"), ("schedule", "warmup"), ("optimizer", "sgd"), ("data", "digits")} <= names
    card = ablate("catalog", "dropout").out
    assert "hidden" in card
    assert "source" in card
    assert "digits" in ablate("catalog", "data").out


def test_schema_is_written_and_takes_the_shipped_recipes(ablate, tmp_path):
    import jsonschema
    from ruamel.yaml import YAML

    assert ablate("schema").code == 0
    schema = json.loads((tmp_path / "ablate.schema.json").read_text())
    checker = jsonschema.validators.validator_for(schema)
    checker.check_schema(schema)
    validator = checker(schema)
    for recipe in (ROOT / "recipes").rglob("*.yaml"):
        validator.validate(YAML(typ="safe").load(recipe))


@pytest.mark.parametrize("suffix", ["md", "tex", "html", "csv", "json", "txt"])
def test_export_writes_every_format(ablate, tmp_path, suffix):
    done = ablate("export", DIGITS, "-o", f"table.{suffix}")
    assert done.code == 0, done.err
    assert "net7" in (tmp_path / f"table.{suffix}").read_text()


def test_a_folder_of_runs_that_is_not_there_is_said(ablate, tmp_path):
    done = ablate("table", DIGITS, "--runs", "nowhere")
    assert done.code == 0
    assert "not started" in done.out
    assert "queued" not in done.out
    assert done.err.startswith("--runs (=nowhere) does not exist.")
    (tmp_path / "nowhere").mkdir()
    assert ablate("table", DIGITS, "--runs", "nowhere").err == ""


def test_nothing_is_made_where_there_is_nothing_to_publish(ablate, tmp_path):
    done = ablate("sync", DIGITS, "--runs", "nowhere")
    assert done.code == 1
    assert done.out == ""
    [line] = done.err.splitlines()
    assert "No results to upload" in line
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m ablate catalog | head -1",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_last_run_with_other_flags_is_mentioned(ablate):
    assert ablate("run", DIGITS, "--seeds", "1", "--only", "net1", "--set", "epochs=1").code == 0
    done = ablate("table", DIGITS)
    assert "--only net1" in done.err
    assert "epochs=1" in done.err


def test_plan_fails_where_a_trick_finds_nothing_to_do(ablate, tmp_path):
    (tmp_path / "r.yaml").write_text(
        "data: digits\nbaseline: {model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: sgd}\n"
        "variants: [{name: channels, add: [{dropout: 0}]}]\n"
    )
    done = ablate("plan", "r.yaml")
    assert done.code == 2
    [line] = done.err.splitlines()
    assert line.startswith("channels: ")
    assert "NoEffect" not in line
    assert "channels" in done.out


SMALL = """
description: 漢
data: digits
baseline: {model: mlp, loss: cross_entropy, optimizer: sgd, description: 漢 and é}
"""


def test_a_stream_that_lacks_a_letter_gets_the_rest(tmp_path, monkeypatch, ablate):
    (tmp_path / "r.yaml").write_text(SMALL)
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    command = [sys.executable, "-m", "ablate", "table", "r.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    assert "\\u6f22 and é" in done.stdout.decode("latin-1")


def test_the_command_that_shows_the_last_run_names_its_folder(tmp_path, ablate):
    (tmp_path / "r.yaml").write_text(SMALL)
    (tmp_path / "other" / "r").mkdir(parents=True)
    (tmp_path / "other" / "r" / "study.json").write_text('{"rows": [], "selection": ["--seeds", "2"]}')
    command = f"ablate table r.yaml --seeds 2 --runs {tmp_path / 'other'}"
    assert ablate("table", "r.yaml", "--runs", "other").err.endswith(f": {command}\n")
    assert ablate(*shlex.split(command)[1:]).err == ""


COMPARED = """
data: digits
metrics: [accuracy]
seeds: 3
baseline: {name: plain, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}
variants: [{name: wide, set: {model.hidden: [16]}}]
"""


def test_another_metric_is_compared_from_the_same_runs(ablate, tmp_path):
    (tmp_path / "r.yaml").write_text(COMPARED)
    first = ablate("run", "r.yaml", "--metric", "accuracy", "--format", "json")
    assert first.json()["compare"]["metric"] == "accuracy"
    again = ablate("run", "r.yaml", "--format", "json")
    assert "0 to train" in again.err
    assert again.json()["compare"]["metric"] == "valid_loss"
    assert first.rows()["wide"]["delta_parent"] > 0 > again.rows()["wide"]["delta_parent"]
    for words in (["--metric", "accuracy"], ["--set", "compare.metric=accuracy"]):
        assert ablate("table", "r.yaml", "--format", "json", *words).json() == first.json()
    assert ablate("export", "r.yaml", "-o", "t.json", "--metric", "accuracy").code == 0
    assert json.loads((tmp_path / "t.json").read_text()) == first.json()
    wrong = ablate("table", "r.yaml", "--metric", "acuracy")
    assert wrong.code == 2
    assert wrong.err.startswith("--metric (=acuracy) must ")
    assert "Did you mean 'accuracy'?" in wrong.err
    piped = ablate("table", "r.yaml")
    assert not any(line.startswith("|") for line in piped.out.splitlines())


def test_the_log_that_is_named_is_that_of_the_variant_whose_code_failed():
    statuses = {"first": "diverged", "second": "failed", "third": "finished", "fourth": "failed"}
    runs = [
        SimpleNamespace(variant=SimpleNamespace(name=name), record=SimpleNamespace(status=status))
        for name, status in statuses.items()
    ]
    plan = SimpleNamespace(runs=runs, recipe=SimpleNamespace(path=Path("r.yaml"), selection=("--seeds", "2")))
    [line] = ended_badly(plan, Path("runs"))
    assert "first (diverged), second (failed), fourth (failed)" in line
    assert line.endswith("run: ablate logs r.yaml second")
    runs[1].record.status = runs[3].record.status = "finished"
    assert ended_badly(plan, Path("runs"))[0].endswith("run: ablate logs r.yaml first")
    runs[0].record.status = "finished"
    assert ended_badly(plan, Path("runs")) == []
