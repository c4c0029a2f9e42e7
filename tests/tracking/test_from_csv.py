"""``ablate table --from-csv``: the numbers of the file, and one line for each mistake."""

from __future__ import annotations

import json
from statistics import mean, stdev

import pytest
from scipy import stats

VALUES = {
    "base": [0.50, 0.52, 0.49, 0.51, 0.50],
    "flip": [0.45, 0.46, 0.45, 0.46, 0.44],
    "wide": [0.50, 0.53, 0.48, 0.50, 0.51],
}


def lines(header="variant,seed,valid_loss", order=range(5)):
    return "\n".join([header, *(f"{name},{seed},{VALUES[name][seed]}" for name in VALUES for seed in order)]) + "\n"


def table(ablate, tmp_path, text, *words):
    (tmp_path / "results.csv").write_text(text)
    return ablate("table", "--from-csv", "results.csv", "--by", "variant", "--format", "json", *words)


def test_the_numbers_are_those_of_the_file(ablate, tmp_path):
    done = table(ablate, tmp_path, lines())
    assert done.code == 0, done.err
    rows = done.rows()
    assert list(rows) == list(VALUES)
    for name, values in VALUES.items():
        assert rows[name]["valid_loss"] == pytest.approx(mean(values), rel=1e-12)
        assert rows[name]["valid_loss_sd"] == pytest.approx(stdev(values), rel=1e-12)
    differences = [a - b for a, b in zip(VALUES["flip"], VALUES["base"], strict=True)]
    interval = stats.t.interval(0.95, 4, mean(differences), stdev(differences) / 5**0.5)
    assert rows["flip"]["delta_parent"] == pytest.approx(mean(differences), rel=1e-12)
    assert rows["flip"]["ci_low"] < mean(differences) < rows["flip"]["ci_high"]
    assert rows["flip"]["ci_high"] - rows["flip"]["ci_low"] < 2 * (interval[1] - interval[0])
    assert rows["flip"]["verdict"] == "helps"
    assert "base: used as the baseline, as it was logged first" in done.err


def test_rows_are_paired_by_seed_whatever_their_order(ablate, tmp_path):
    shuffled = lines().splitlines()
    text = "\n".join([shuffled[0], *reversed(shuffled[1:])]) + "\n"
    again = table(ablate, tmp_path, text, "--baseline", "base").rows()
    assert again["flip"]["ci_low"] == table(ablate, tmp_path, lines()).rows()["flip"]["ci_low"]


def test_the_last_row_of_a_run_counts(ablate, tmp_path):
    text = "variant,seed,epoch,val_loss\na,0,1,9\na,0,2,0.5\na,1,1,9\na,1,2,0.7\n"
    done = table(ablate, tmp_path, text, "--metric", "val_loss")
    assert done.rows()["a"]["val_loss"] == pytest.approx(0.6)
    assert "the most recent one is used" in done.err


def test_without_a_column_of_seeds_nothing_is_paired(ablate, tmp_path):
    done = table(ablate, tmp_path, "variant,loss\na,1\na,2\nb,3\n")
    assert done.rows()["b"]["delta_parent"] is None
    assert "no run has a seed" in done.err


def test_values_that_are_not_finite_are_divergences(ablate, tmp_path):
    rows = table(ablate, tmp_path, "variant,seed,loss\na,0,1\na,1,nan\nb,0,inf\nb,1,2\n").rows()
    assert [rows[name]["status"] for name in "ab"] == ["diverged", "diverged"]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("variant,seed,loss\na,0,1\n", ["--by", "varient"], "--by (=varient) must be a column of results.csv. Did you"),
        ("variant,seed,loss\na,0,1\n", ["--seed", "sed"], "--seed (=sed) must be a column of results.csv."),
        ("variant,seed,loss\na,0,1\n", ["--metric", "acc"], "--metric (=acc) was not found in any run."),
        (
            "variant,seed,loss\na,0\n",
            [],
            "--from-csv (=results.csv): line 2 must have 3 cells as the header has, but has 2.",
        ),
        ("variant,loss,loss\na,0,1\n", [], "has two columns named 'loss'. Rename one of them."),
        ("variant,seed,loss\n", [], "has no rows. It must have a header and a row per run."),
        ("", [], "has no rows."),
        (
            "variant,seed,loss\na,0,1\n",
            ["--from-mlflow", "x"],
            "--from-mlflow (=x) cannot be combined with --from-csv.",
        ),
    ],
)
def test_a_mistake_is_one_line(ablate, tmp_path, text, words, message):
    done = table(ablate, tmp_path, text, *words)
    assert done.code == 2
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_a_byte_order_mark_and_spaces_are_no_part_of_names(ablate, tmp_path):
    done = table(ablate, tmp_path, "\ufeffvariant, seed , loss\na, 0 , 0.5\n")
    assert json.loads(done.out)["rows"][0]["loss"] == 0.5
