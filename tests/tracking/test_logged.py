"""Runs that others logged: what becomes of their params, seeds and metrics, and one command from a plain script to
verdicts.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from ablate.evidence.gather import gather
from ablate.notes.note import Note
from ablate.tracking.external_runs import LoggedRun, Question, as_study, direction, read_logged

BY = Question("params.variant", metric="val_loss")


def run(variant: str | None, seed: object = None, value: float = 1.0, **more: Any) -> LoggedRun:
    run.count += 1
    params = {key: str(text) for key, text in (("variant", variant), ("seed", seed)) if text is not None}
    known = LoggedRun(
        f"id{run.count}",
        f"run {run.count}",
        "FINISHED",
        1000 * run.count,
        1000 * run.count + 2500,
        params,
        {},
        {"val_loss": value},
    )
    return replace(known, **{**more, "params": {**params, **more.get("params", {})}})


run.count = 0


def two(n: int = 3, **more: Any) -> list[LoggedRun]:
    """``n`` seeds of a plain variant and of one that is better by 0.1, more or less."""
    runs = [run("plain", seed, 1.0 + 0.05 * seed) for seed in range(n)]
    return runs + [run("better", seed, 0.9 + 0.05 * seed + 0.001 * (seed % 2), **more) for seed in range(n)]


def test_variants_seeds_and_values():
    logged = as_study("sweep", two(), BY)
    [plain, better] = logged.study.rows
    assert (plain.variant.name, plain.variant.parent) == ("plain", None)
    assert (better.variant.name, better.variant.parent) == ("better", "plain")
    assert [one.seed for one in better.runs] == [0, 1, 2]
    assert better.runs[1].results["selected"] == pytest.approx({"val_loss": 0.951})
    assert better.runs[1].seconds == 2.5
    assert logged.study.recipe.compare.better == "lower"
    row = logged.table().rows[1]
    assert row.delta_parent == pytest.approx(-0.1 + 0.001 / 3)
    assert row.verdict == "helps"
    assert row.epochs is None
    assert logged.notes == (Note("first_is_baseline", "plain"),)


def test_it_is_the_same_evidence_as_from_our_own_runs():
    """The same numbers through a study of our own: every field of the comparison agrees."""
    from ablate.recipe.variant import Compare

    logged = as_study("sweep", two(6), BY)
    own = gather(
        replace(logged.study, recipe=replace(logged.study.recipe, compare=Compare("val_loss", "lower", "last")))
    )
    for mine, theirs in zip(logged.table().rows, own.rows, strict=True):
        for name in ("delta_parent", "ci_low", "ci_high", "p", "p_adjusted", "verdict", "seeds", "metrics"):
            assert getattr(mine, name) == getattr(theirs, name)


def test_what_differs_from_the_baseline_is_what_a_row_changes():
    runs = [run("plain", s, params={"lr": "0.1", "batch_size": "32", "epochs": "5"}) for s in range(2)]
    runs += [run("hot", s, params={"lr": "0.3", "batch_size": "32", "epochs": "9", "host": f"h{s}"}) for s in range(2)]
    logged = as_study("sweep", runs, BY)
    hot = logged.study.rows[1].variant
    assert [str(change) for change in hot.changes] == ["lr = 0.3", "epochs = 9"]
    assert hot.description == "lr 0.3, epochs 9"
    table = logged.table()
    assert [row.epochs for row in table.rows] == [5, 9]
    assert Note("other_epochs", values={"own": 9, "parent": 5}) in table.rows[1].unlike


def test_the_baseline_can_be_chosen_and_comes_first():
    logged = as_study("sweep", two(), replace(BY, baseline="better"))
    assert [(r.variant.name, r.variant.parent) for r in logged.study.rows] == [("better", None), ("plain", "better")]
    assert logged.table().rows[1].verdict == "hurts"
    assert logged.notes == ()


@pytest.mark.parametrize(
    ("status", "ours"),
    [("RUNNING", "running"), ("SCHEDULED", "queued"), ("FAILED", "failed"), ("KILLED", "interrupted")],
)
def test_runs_that_did_not_finish_have_no_result(status, ours):
    runs = two()
    runs[4] = replace(runs[4], status=status, end=None)
    record = as_study("sweep", runs, BY).study.rows[1].runs[1]
    assert (record.status, record.results, record.seconds) == (ours, {}, None)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_a_divergence(value):
    runs = two()
    runs[4] = replace(runs[4], metrics={"val_loss": value})
    row = as_study("sweep", runs, BY).table().rows[1]
    assert (row.status, row.verdict) == ("diverged", "unstable")


def test_other_metrics_may_be_missing_or_infinite():
    runs = [replace(one, metrics={**one.metrics, "grad": math.inf}) for one in two()]
    row = as_study("sweep", runs, BY).table().rows[1]
    assert row.verdict == "helps"
    assert row.metrics.get("grad") is None


def test_without_seeds_nothing_is_paired():
    runs = [replace(one, params={"variant": one.params["variant"]}) for one in two()]
    logged = as_study("sweep", runs, BY)
    table = logged.table()
    assert [row.seeds for row in table.rows] == [3, 3]
    assert [row.delta_parent for row in table.rows] == [None, None]
    assert Note("no_seeds") in logged.notes
    assert all(Note("no_seed") in row.notes for row in table.rows)


def test_seeds_may_stand_elsewhere_and_be_words():
    runs = [
        replace(one, params={"variant": one.params["variant"]}, tags={"fold": f"part {'abc'[i % 3]}"})
        for i, one in enumerate(two())
    ]
    logged = as_study("sweep", runs, replace(BY, seed="tags.fold"))
    assert [[one.seed for one in row.runs] for row in logged.study.rows] == [[0, 1, 2], [0, 1, 2]]
    assert logged.table().rows[1].verdict == "helps"
    numbers = [replace(one, params={**one.params, "seed": f"{one.params['seed']}.0"}) for one in two()]
    assert [one.seed for one in as_study("sweep", numbers, BY).study.rows[0].runs] == [0, 1, 2]


@pytest.mark.parametrize(
    ("seeds", "numbers", "text"),
    [
        (["0", "1.0", " 2 "], [0, 1, 2], None),
        (["b", "a", "7"], [7, 8, 9], "a is 8, b is 9"),
        (["9" * 30, "1", "2"], [1, 2, 3], f"{'9' * 30} is 3"),
        (["9" * 18, "a", "0"], [0, 10**18 - 1, 10**18], "a is 1000000000000000000"),
        (["-1", "1e3", "1.5"], [0, 1, 2], "-1 is 0, 1.5 is 1, 1e3 is 2"),
        (["١", "1", "nan"], [1, 2, 3], "nan is 2, ١ is 3"),
        (["", " ", "4"], [4], None),
        (["a\nb", "[red]x", "s" * 99], [0, 1, 2], "[red]x is 0, a b is 1, " + "s" * 29 + "… is 2"),
        (list("abcdefg"), [*range(7)], "a is 0, b is 1, c is 2, d is 3, e is 4 and 2 more"),
    ],
)
def test_seeds_that_are_texts_are_numbered_alike_for_all_variants(seeds, numbers, text):
    from ablate.report.formats import PRINTED, render
    from ablate.report.notes import sentence

    runs = [run("plain", seed, 1.0 + 0.05 * i) for i, seed in enumerate(seeds)]
    runs += [run("better", seed, 0.9 + 0.05 * i + 0.001 * (i % 2)) for i, seed in enumerate(reversed(seeds))]
    logged = as_study("sweep", runs, BY)
    assert [[one.seed for one in row.runs] for row in logged.study.rows] == [numbers, numbers]
    said = [sentence(note) for note in logged.notes if note.kind == "text_seeds"]
    assert said == ([f"seeds of params.seed that are not integers are numbered: {text}"] if text else [])
    assert all(render(logged.table(), name) for name in PRINTED)


def test_of_several_runs_with_one_seed_the_newest_counts():
    runs = [*two(), run("better", 1, 0.5)]
    logged = as_study("sweep", runs, BY)
    assert logged.study.rows[1].runs[1].results["last"]["val_loss"] == 0.5
    assert Note("repeated_seed", "better", (1,)) in logged.notes


def test_what_belongs_to_nothing_is_left_aside_and_counted():
    runs = [*two(), run(None, 3), run("better"), run("plain")]
    logged = as_study("sweep", runs, BY)
    assert [len(row.runs) for row in logged.study.rows] == [3, 3]
    assert Note("left_out", values={"count": 1, "unit": "run", "place": "params.variant"}) in logged.notes
    assert Note("left_out", values={"count": 2, "unit": "run", "place": "params.seed"}) in logged.notes


def test_names_of_runs_can_name_variants():
    runs = [replace(one, name=one.params["variant"], params={"seed": one.params["seed"]}) for one in two()]
    assert [row.variant.name for row in as_study("sweep", runs, replace(BY, by="run_name")).study.rows] == [
        "plain",
        "better",
    ]


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("valid_loss", "lower"), ("val/loss", "lower"), ("testRmse", "lower"), ("accuracy", "higher"), ("val_acc", "higher"),
        ("eval/macro-f1", "higher"), ("rmse_pixels", "lower"), ("valAccuracy", "higher"),
    ],
)  # fmt: skip
def test_names_of_metrics_say_which_way_is_good(name, better):
    assert direction(name) == better


@pytest.mark.parametrize("name", ["thing", "loss_accuracy", "glosses"])
def test_a_metric_without_a_direction_asks(name):
    with pytest.raises(ValueError, match=rf"--better .* metric {name}"):
        direction(name)


def with_accuracy(runs):
    return [replace(one, metrics={"accuracy": 0.5, "lr": 0.1}) for one in runs]


@pytest.mark.parametrize(
    ("runs", "question", "text"),
    [
        (two(), Question("params.varient"), "--by (=params.varient) was not found in any run of sweep. Did you mean 'params.variant'?"),
        (two(), Question("tags.variant"), "--by (=tags.variant) was not found in any run of sweep. Did you mean 'params.variant'?"),
        ([], BY, "--by (=params.variant) was not found in any run of sweep. It has no runs."),
        (two(), replace(BY, seed="params.sed"), "--seed (=params.sed) was not found in any run. Did you mean 'params.seed'?"),
        (two(), replace(BY, metric="val_los"), "--metric (=val_los) was not found in any run. Did you mean 'val_loss'?"),
        (with_accuracy(two()), Question("params.variant"), "--metric is required. Available: accuracy, lr."),
        (two(), replace(BY, baseline="plane"), "--baseline (=plane) must be a value of params.variant. Did you mean 'plain'?"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_one_line(runs, question, text):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        as_study("sweep", runs, question)
    assert str(caught.value) == text


SCRIPT = """# fork
import random, sys
import mlflow

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("somebody's sweep")
for variant, gain in (("plain", 0.0), ("dropout", 0.05), ("idle", 0.0)):
    for seed in range(6):
        with mlflow.start_run():
            mlflow.log_params({"variant": variant, "seed": seed, "rate": 0.5 if variant == "dropout" else 0})
            own, shared = random.Random(f"{variant} {seed}"), random.Random(seed).gauss(0, 0.03)
            for epoch in range(3):
                mlflow.log_metrics({"val/accuracy": 0.7 + gain + shared + own.gauss(0, 0.005), "epoch": epoch}, step=epoch)
"""


@pytest.fixture(scope="module")
def somewhere(prepared, tmp_path_factory):
    """A folder with a database that a plain script has logged three variants with six seeds each into."""
    import shutil

    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(prepared, folder / "mlflow.db")
    uri = f"sqlite:///{(folder / 'mlflow.db').as_posix()}"
    subprocess.run([sys.executable, "-c", SCRIPT, uri], cwd=folder, capture_output=True, check=True)
    return folder


def ablate(folder, *words):
    command = [sys.executable, "-m", "ablate", "table", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_one_command_tables_what_a_plain_script_logged(somewhere):
    before = sorted(path.name for path in somewhere.iterdir())
    words = ("--from-mlflow", "somebody's sweep", "--by", "params.variant", "--metric", "val/accuracy")
    done = ablate(somewhere, *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = {row["variant"]: row for row in json.loads(done.stdout)["rows"]}
    assert list(rows) == ["plain", "dropout", "idle"]
    assert {name: (row["seeds"], row["verdict"]) for name, row in rows.items()} == {
        "plain": (6, None), "dropout": (6, "helps"), "idle": (6, "unclear"),
    }  # fmt: skip
    assert rows["dropout"]["ci_low"] < 0.05 < rows["dropout"]["ci_high"]
    assert rows["dropout"]["description"] == "rate 0.5"
    [line] = done.stderr.splitlines()
    assert line.startswith("plain: ")
    assert "--baseline" in line
    markdown = ablate(somewhere, *words)
    assert "helps" in markdown.stdout
    assert "Epochs" not in markdown.stdout  # nobody has logged how many there were
    assert sorted(path.name for path in somewhere.iterdir()) == before


def test_an_experiment_is_found_by_name_and_by_id(somewhere):
    uri = f"sqlite:///{(somewhere / 'mlflow.db').as_posix()}"
    from mlflow import MlflowClient

    number = MlflowClient(uri).get_experiment_by_name("somebody's sweep").experiment_id
    question = Question("params.variant", metric="val/accuracy")
    assert read_logged(number, question, uri).study.rows == read_logged("somebody's sweep", question, uri).study.rows
    with pytest.raises(ValueError, match=r"--from-mlflow \(=somebodys sweep\) .* Did you mean 'somebody's sweep'\?"):
        read_logged("somebodys sweep", question, uri)


WRONG = {
    "no database": (["--from-mlflow", "x", "--by", "params.v", "--tracking-uri", "sqlite:///no.db"], "does not exist"),
    "no by": (["--from-mlflow", "x"], "--by is required"),
    "by without a kind": (["--from-mlflow", "x", "--by", "variant"], "Did you mean 'params.variant'?"),
    "better": (
        ["--from-mlflow", "x", "--by", "params.v", "--better", "more"],
        "--better (=more) must be lower or higher",
    ),
    "a recipe too": (["r.yaml", "--from-mlflow", "x", "--by", "params.v"], "RECIPE (=r.yaml) cannot"),
    "scale": (["--from-mlflow", "x", "--by", "params.v", "--scale", "2"], "--scale (=2.0) cannot"),
    "by without an experiment": (["r.yaml", "--by", "params.v"], "--by (=params.v) requires --from-mlflow"),
    "nothing": ([], "RECIPE is missing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_commands_are_one_line(case, tmp_path, monkeypatch, capsys):
    from ablate.cli.app import run_command

    monkeypatch.chdir(tmp_path)
    words, hint = WRONG[case]
    assert run_command(["table", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    [line] = said.err.strip().splitlines()
    assert hint in line
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_is_one_line(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database")
    with pytest.raises(ValueError, match=r"^MLflow \(=sqlite:.*mlflow.db\) could not be read: [^\n]*\.$"):
        read_logged("x", BY, f"sqlite:///{(tmp_path / 'mlflow.db').as_posix()}")
