"""The mean prediction of a row's seeds, against a mean by hand over loaded networks; however the seeds were trained."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ablate import api
from ablate.data.load import load_parts
from ablate.execution.ensembles import described, key_of
from ablate.recipe import Recipe
from ablate.recipe.settings import trainer_choice
from ablate.store.records import RunRecord

TEXT = """
study: together
data: digits
metrics: [accuracy]
seeds: 3
baseline:
  name: plain
  model: {name: mlp, hidden: [8]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.2}
  select: best
  epochs: 2
  stack: STACK
variants:
  - {name: average, add: [standardise, ema]}
"""


@pytest.mark.parametrize("stack", ["off", "3"])
def test_it_is_the_mean_of_the_networks_that_the_store_has(stack, ablate, tmp_path):
    path = tmp_path / "together.yaml"
    path.write_text(TEXT.replace("STACK", stack))
    assert ablate("run", path).code == 0
    done = ablate("ensemble", path, "--json")
    rows = json.loads(done.out)["rows"]
    assert [row["label"] for row in rows] == ["plain (ensemble of 3 seeds)", "average (ensemble of 3 seeds)"]
    recipe = Recipe.load(path)
    data = load_parts(recipe.variants[0].settings.data, tmp_path)
    inputs, targets = data.valid.inputs, data.valid.targets
    inputs = inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs
    networks = [api.load(recipe, "plain", seed, root=tmp_path / "runs") for seed in range(3)]
    with torch.no_grad():
        p = torch.stack([network(inputs).softmax(1) for network in networks]).mean(0)
    assert rows[0]["ensemble"]["valid_loss"] == pytest.approx(float(nn.functional.nll_loss(p.log(), targets)), rel=1e-5)
    assert rows[0]["ensemble"]["accuracy"] == pytest.approx(float((p.argmax(1) == targets).double().mean()))
    table = {row["variant"]: row for row in json.loads(ablate("table", path, "--format", "json").out)["rows"]}
    for row in rows:
        assert row["mean_of_seeds"]["valid_loss"] == pytest.approx(table[row["variant"]]["valid_loss"])
        # cross-entropy is convex in the prediction
        assert row["ensemble"]["valid_loss"] < row["mean_of_seeds"]["valid_loss"]

    # kept in the study's folder: the second answer needs no networks
    kept = json.loads((tmp_path / "runs" / "together" / "ensembles.json").read_text())
    assert len(kept) == 2
    for weights in (tmp_path / "runs" / "store").glob("*/best.pt"):
        weights.unlink()
    assert json.loads(ablate("ensemble", path, "--json").out)["rows"] == rows


def test_numbers_that_are_none_and_rows_without_weights(ablate, tmp_path):
    (tmp_path / "mine.py").write_text("def undefined(prediction, target): return prediction.sum() * float('nan')\n")
    path = tmp_path / "together.yaml"
    text = TEXT.replace("STACK", "off").replace("[accuracy]", "[accuracy, {target: 'mine:undefined'}]")
    path.write_text(text + "  - {name: both, from: plain, joined: [plain]}\n")
    ablate("run", path, "--seeds", "2")
    done = ablate("ensemble", path, "--seeds", "2", "--json")
    rows = {row["variant"]: row for row in json.loads(done.out)["rows"]}
    assert sorted(rows["plain"]["ensemble"]) == ["accuracy", "valid_loss"]
    assert "both has no ensemble: " in done.err


def test_the_mean_of_numbers_near_the_largest_float():
    runs = [
        SimpleNamespace(
            seed=seed, fingerprint=f"{seed}", record=RunRecord(f"{seed}", seed, results={"selected": {"x": 1.7e308}})
        )
        for seed in (0, 1)
    ]
    for run in runs:
        run.variant = SimpleNamespace(settings=SimpleNamespace(joined=(), trainer=trainer_choice("loop")))
    found = described("a", runs, {key_of(runs): {"x": 1.0}})
    assert found.single == {"x": 1.7e308}


def test_one_seed_is_no_ensemble(ablate, tmp_path):
    path = tmp_path / "together.yaml"
    path.write_text(TEXT.replace("STACK", "off"))
    ablate("run", path, "--seeds", "1", "--only", "plain")
    done = ablate("ensemble", path, "--only", "plain", "--seeds", "1")
    assert done.code == 1
    assert "plain has no ensemble: at least 2 finished seeds are required, but it has 1." in done.err
    assert (
        "plain has no ensemble: at least 2 finished seeds are required, but it has 0."
        in ablate("ensemble", path, "--seeds", "7,8").err
    )
