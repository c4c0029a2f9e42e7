"""Designs whose effects combine several variants, with real training."""

from __future__ import annotations

import json

import pytest

from ablate.cli.app import run_command

RECIPE = """
study: two
data: digits
seeds: 3
baseline:
  name: plain
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 2
design: {factorial: [{dropout: {hidden: 0.3}}, {weight_decay: 0.05}]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_tricks_from_training_to_table(folder, capsys):
    assert run_command(["run", "r.yaml", "--no-mlflow", "--format", "json"]) == 0
    tree = json.loads(capsys.readouterr().out)
    loss = {row["variant"]: row["valid_loss"] for row in tree["rows"]}
    assert list(loss) == ["plain", "only dropout", "only weight_decay", "full"]
    rows, total = tree["tricks"]["rows"], loss["full"] - loss["plain"]
    assert sum(row["shapley"]["value"] for row in rows) == pytest.approx(total, abs=1e-9)
    assert tree["tricks"]["total"] == pytest.approx(total, abs=1e-9)
    both = loss["full"] - loss["only dropout"] - loss["only weight_decay"] + loss["plain"]
    [found] = tree["tricks"]["interactions"]
    assert found["effect"]["value"] == pytest.approx(both, abs=1e-9)
    assert found["effect"]["p_adjusted"] == found["effect"]["p"]
    assert tree["tricks"]["families"] == {"shapley": 2, "interactions": 1}

    # the other design needs the same four trainings
    assert run_command(["run", "r.yaml", "--design", "both-ends", "--no-mlflow", "--format", "json"]) == 0
    out, messages = capsys.readouterr()
    assert "12 finished, 0 to train" in messages
    ends = json.loads(out)
    assert [row["variant"] for row in ends["rows"]][4:] == ["without dropout", "without weight_decay"]
    for row, name, rest in zip(
        ends["tricks"]["rows"], ["dropout", "weight_decay"], ["weight_decay", "dropout"], strict=True
    ):
        assert row["alone"] == pytest.approx(loss[f"only {name}"] - loss["plain"], abs=1e-9)
        assert row["last"] == pytest.approx(loss["full"] - loss[f"only {rest}"], abs=1e-9)
        assert row["differs"]["value"] == pytest.approx(-both, abs=1e-9)

    assert run_command(["table", "r.yaml"]) == 0
    assert "Strongest interaction" in capsys.readouterr().out


def test_two_recipes_in_one_table(folder, capsys):
    (folder / "s.yaml").write_text(RECIPE.replace("study: two", "study: three").replace("lr: 0.1", "lr: 0.2"))
    (folder / "t.yaml").write_text(
        RECIPE.replace("data: digits", "metrics: [accuracy]\ncompare: {metric: accuracy}\ndata: digits")
    )
    assert run_command(["table", "r.yaml", "s.yaml", "--format", "csv", "--columns", "variant,from"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["study,variant,from", "two,plain,"]
    assert lines[5] == "three,plain,"
    assert len(lines) == 9
    assert run_command(["table", "r.yaml", "r.yaml"]) == 2
    assert "study (=two) is given twice" in capsys.readouterr().err
    (folder / "t.yaml").write_text((folder / "t.yaml").read_text().replace("study: two", "study: four"))
    assert run_command(["table", "r.yaml", "t.yaml"]) == 2
    assert "must compare the same metric, but two compares valid_loss" in capsys.readouterr().err
    assert run_command(["table", "r.yaml", "t.yaml", "--metric", "valid_loss", "--format", "tex"]) == 0
    assert capsys.readouterr().out.count(r"\midrule") == 2
