"""Runs of the digits with three seeds: the values of their samples, the differences on new samples computed from the files
by hand, and ``ablate examples``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.cli.app import run_command

RECIPE = """
study: digits
seeds: 3
baseline:
  name: plain
  data: {name: digits, limit: 300}
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.2}
  metrics: [accuracy, ece]
  epochs: 2
variants:
  - {name: adam, set: {optimizer: {name: adam, lr: 0.01}}}
  - {name: best, from: plain, set: {select: best, optimizer.lr: 0.3}}
"""

Done = namedtuple("Done", "code out err")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "r.yaml").write_text(RECIPE)
    return folder


@pytest.fixture
def ablate(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)

    def run(*words):
        capsys.readouterr()
        code = run_command([str(word) for word in words])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def trained(ablate, folder):
    """The stored arrays of each variant's runs, by seed, as numpy reads them."""
    if not (folder / "runs").exists():
        assert ablate("run", "r.yaml", "--no-mlflow", "--jobs", "1").code == 0
    rows = json.loads((folder / "runs" / "digits" / "study.json").read_text())["rows"]
    paths = {row["variant"]: [folder / "runs" / "store" / row["runs"][str(seed)] for seed in range(3)] for row in rows}
    return paths


def arrays(path: Path):
    with np.load(path / "examples.npz", allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def by_hand(mine, theirs, name):
    """Δ and its interval from loops over seeds and samples."""
    pairs = [(arrays(a), arrays(b)) for a, b in zip(mine, theirs, strict=True)]
    ids = sorted(pairs[0][0]["ids"].tolist())
    d = []
    for a, b in pairs:
        first, second = (
            dict(zip(one["ids"].tolist(), one[f"value/{name}"].astype(float), strict=True)) for one in (a, b)
        )
        d.append([first[i] - second[i] for i in ids])
    n, count = len(d), len(ids)
    rows, columns = [math.fsum(row) / count for row in d], [math.fsum(row[j] for row in d) / n for j in range(count)]
    mean = math.fsum(rows) / n
    seed = math.fsum((row - mean) ** 2 for row in rows) / (n - 1)
    example = math.fsum((column - mean) ** 2 for column in columns) / (count - 1)
    left = [(d[i][j] - rows[i] - columns[j] + mean) ** 2 for i in range(n) for j in range(count)]
    residual = math.fsum(left) / ((n - 1) * (count - 1))
    variance = max(seed / n + example / count - residual / (n * count), seed / n, example / count)
    half = stats.t.ppf(0.975, min(n, count) - 1) * math.sqrt(variance)
    return mean, mean - half, mean + half


@pytest.mark.parametrize("metric", ["valid_loss", "accuracy"])
def test_the_difference_on_new_samples_is_that_of_the_stored_files(ablate, trained, metric):
    rows = {
        row["variant"]: row
        for row in json.loads(ablate("table", "r.yaml", "--metric", metric, "--format", "json").out)["rows"]
    }
    assert rows["plain"]["delta_new_samples"] is None
    for name in ("adam", "best"):
        row = rows[name]
        found = [row[key] for key in ("delta_new_samples", "new_samples_low", "new_samples_high")]
        assert found == pytest.approx(by_hand(trained[name], trained["plain"], metric), rel=1e-9)
        assert row["delta_new_samples"] == pytest.approx(row["delta_parent"], rel=1e-5, abs=1e-6)
    line = next(
        csv.DictReader(
            io.StringIO(ablate("table", "r.yaml", "--metric", metric, "--format", "csv", "--only", "adam").out)
        )
    )
    assert float(line["delta_new_samples"]) == rows["adam"]["delta_new_samples"]


def test_each_run_stores_the_samples_of_its_selected_epoch(trained):
    for paths in trained.values():
        for path in paths:
            status, found = json.loads((path / "status.json").read_text()), arrays(path)
            assert set(found) == {"ids", "value/valid_loss", "value/accuracy"}
            assert len(set(found["ids"])) == len(found["ids"]) == 60
            for name in ("valid_loss", "accuracy"):
                mean = found[f"value/{name}"].mean(dtype=np.float64)
                assert mean == pytest.approx(status["results"]["selected"][name], rel=1e-6)


def test_a_metric_that_is_no_mean_and_another_epoch_have_none(ablate, trained):
    for more in (("--metric", "ece", "--set", "compare.better=lower"), ("--set", "compare.at=best")):
        rows = json.loads(ablate("table", "r.yaml", "--only", "plain,adam", "--format", "json", *more).out)["rows"]
        known = [row["delta_new_samples"] for row in rows]
        if more[0] == "--metric":
            assert known == [None, None]
            assert ablate("examples", "r.yaml", "plain", "adam", *more).code == 2
    message = ablate("examples", "r.yaml", "plain", "adam", "--metric", "ece").err
    assert "has no values of ece for single samples. They are stored by the built-in loop" in message


def test_the_column_says_where_the_epoch_was_chosen_on_these_samples(ablate, trained):
    done = ablate("table", "r.yaml", "--columns", "variant,delta_new_samples,new_samples_share")
    line = "Δ on new samples: Δ parent, its 95% confidence interval for new seeds and samples like these 60 validation samples"
    assert line in done.out
    assert "The epoch of best was chosen on these samples, so Δ may be biased." in done.out
    assert "Δ on new samples" not in ablate("table", "r.yaml", "--columns", "variant,delta_parent").out


def test_no_table_reads_samples_that_it_does_not_show(ablate, trained, monkeypatch):
    from ablate.evidence import new_samples

    read = []
    monkeypatch.setattr(new_samples.OnNewSamples, "_compared", lambda self, variant: read.append(variant))
    ablate("table", "r.yaml", "--columns", "variant,valid_loss")
    assert read == []
    monkeypatch.setattr(new_samples, "QUICK_VALUES", 100)
    ablate("table", "r.yaml")
    assert read == []
    ablate("table", "r.yaml", "--columns", "delta_new_samples")
    assert sorted(read) == ["adam", "best", "plain"]


def test_examples_are_the_samples_with_the_largest_differences(ablate, trained):
    mine, theirs = ([arrays(path) for path in trained[name]] for name in ("adam", "plain"))
    difference = np.mean(
        [a["value/valid_loss"] - b["value/valid_loss"] for a, b in zip(mine, theirs, strict=True)], axis=0
    )
    largest = np.argsort(-np.abs(difference))[:4]
    found = json.loads(ablate("examples", "r.yaml", "plain", "adam", "--top", 4, "--format", "json").out)
    assert [row["position"] for row in found["samples"]] == mine[0]["ids"][largest].tolist()
    for row, i in zip(found["samples"], largest, strict=True):
        assert (
            row["difference"] == pytest.approx(row["second"] - row["first"]) == pytest.approx(difference[i], rel=1e-5)
        )
        each = [a["value/valid_loss"][i] - b["value/valid_loss"][i] for a, b in zip(mine, theirs, strict=True)]
        assert row["sd"] == pytest.approx(np.std(np.float64(each), ddof=1), rel=1e-5)
    assert (found["seeds"], found["of"]) == (3, 60)
    back = json.loads(ablate("examples", "r.yaml", "adam", "plain", "--top", 1, "--format", "json").out)["samples"][0]
    assert back["difference"] == -found["samples"][0]["difference"]
    lines = ablate("examples", "r.yaml", "plain", "adam", "--top", 2).out.splitlines()
    assert lines[0].split() == ["Sample", "plain", "adam", "Difference", "±", "sd"]
    assert lines[2].split()[0] == str(found["samples"][0]["position"])
    assert ablate("examples", "r.yaml", "plain", "adam", "--format", "csv").out.count("\n") == 21
    assert ablate("examples", "r.yaml", "plain", "adam", "--format", "md").out.startswith("|   Sample |")


def test_examples_as_images(ablate, trained, folder):
    done = ablate("examples", "r.yaml", "plain", "adam", "--top", 3, "-o", "worst.png")
    assert (done.code, done.err) == (0, "Wrote worst.png.\n")
    assert (folder / "worst.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plain", "adm"), "variant (=adm) is not defined in r.yaml. Did you mean 'adam'?"),
        (("adam", "adam"), "VARIANT_B (=adam) must be another variant than VARIANT_A."),
        (("plain", "adam", "--format", "jsn"), "--format (=jsn) must be one of"),
        (("plain", "adam", "-o", "a.txt"), "--output (=a.txt)"),
        (("plain", "adam", "--seeds", "7,8"), "cannot be compared"),
    ],
)
def test_wrong_arguments_are_one_line(ablate, trained, words, message):
    done = ablate("examples", "r.yaml", *words)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_run_without_the_file_is_finished(ablate, trained):
    """A run of an earlier version: everything but the differences on new samples is as before."""
    path = trained["adam"][1] / "examples.npz"
    kept = path.read_bytes()
    try:
        path.unlink()
        [row] = json.loads(ablate("table", "r.yaml", "--only", "adam", "--format", "json").out)["rows"]
        assert (row["status"], row["delta_new_samples"]) == ("finished", None)
        assert row["delta_parent"] is not None
        assert "seed 1 of variant (=adam) has no values" in ablate("examples", "r.yaml", "plain", "adam").err
        assert "0 to train" in ablate("run", "r.yaml", "--no-mlflow").err
    finally:
        path.write_bytes(kept)


FOLDS = (
    RECIPE.replace("study: digits", "study: folds")
    .replace("seeds: 3", "seeds: 2\nfolds: 3")
    .replace("limit: 300", "limit: 100")
)


def test_folds_are_put_together(ablate, folder):
    """Folds of other sizes count equally, so their samples do not."""
    (folder / "f.yaml").write_text(FOLDS)
    assert ablate("run", "f.yaml", "--no-mlflow", "--jobs", "1", "--only", "plain,adam").code == 0
    [row] = json.loads(ablate("table", "f.yaml", "--only", "adam", "--format", "json").out)["rows"]
    assert row["delta_new_samples"] == pytest.approx(row["delta_parent"], rel=1e-5, abs=1e-6)
    assert row["new_samples_low"] < row["delta_new_samples"] < row["new_samples_high"]
    found = json.loads(ablate("examples", "f.yaml", "plain", "adam", "--format", "json").out)
    assert found["of"] == 100
    assert {sample["fold"] for sample in found["samples"]} == {0, 1, 2}


def test_a_plan_says_what_a_larger_validation_set_would_change(ablate, trained):
    done = ablate("plan", "r.yaml", "--quick")
    assert (
        "Finished runs: with 150 validation samples instead of 60, the variance of Δ over seeds would be about"
        in done.err
    )
    assert "Finished runs" not in ablate("plan", "r.yaml", "--quick", "--seeds", "20,21,22").err
