"""Pretraining without labels: an autoencoder learns the inputs, and a classifier starts from its encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ablate as library
from ablate.data.load import known_spec, load_parts
from ablate.notes.note import Note
from ablate.recipe import Recipe, RecipeError
from ablate.recipe.settings import Choice
from ablate.registry import lookup

RECIPE = """
study: pretraining
data: {name: digits, limit: 300, valid: 0.5}
metrics: [accuracy]
compare: {metric: accuracy}
reach: {accuracy: 0.2}
seeds: 2
baseline:
  name: from scratch
  model: {name: mlp, hidden: [24, 12]}
  loss: cross_entropy
  optimizer: {name: adam, lr: 0.01}
  batch_size: 16
  epochs: 2
  add: [{train_fraction: 0.2}]
variants:
  - name: autoencoder
    from: from scratch
    remove: [train_fraction]
    set: {data.reconstruct: true, model: {name: autoencoder, hidden: [24, 12], code: 4}, loss: mse, metrics: [rmse], epochs: 6}
  - {name: pretrained, from: from scratch, add: [{from_weights: autoencoder}]}
  - {name: frozen, from: pretrained, add: [{freeze: {layers: hidden*}}]}
"""


def write(folder, text=RECIPE):
    path = folder / "pretraining.yaml"
    path.write_text(text)
    return path


def data(name, **settings) -> Choice:
    return Choice("data", name, None, lookup("data", name).settings(**settings))


def test_a_classifier_starts_from_the_encoder_and_the_rows_are_compared_without_it(tmp_path):
    path = write(tmp_path)
    table = library.run(path, root=tmp_path / "runs")
    rows = {row.variant: row for row in table.rows}
    assert {row.status for row in table.rows} == {"finished"}
    stage = rows["autoencoder"]
    assert stage.metrics["accuracy"] is None
    assert stage.metrics["rmse"] > 0
    assert (stage.delta_parent, stage.delta_baseline, stage.verdict) == (None, None, None)
    assert Note("not_measured", values={"metric": "accuracy"}) in stage.notes
    assert rows["pretrained"].delta_parent is not None
    left = ["output.weight", "output.bias"]
    values = {"source": "autoencoder", "taken": 4, "total": 6, "left": left, "more": 0}
    assert Note("initial_weights", values=values) in rows["pretrained"].notes
    for seed in (0, 1):
        encoder = library.load(path, "autoencoder", seed, root=tmp_path / "runs").state_dict()
        frozen = library.load(path, "frozen", seed, root=tmp_path / "runs").state_dict()
        for name in ("hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias"):
            assert torch.equal(frozen[name], encoder[name])
        assert frozen["output.weight"].shape == (10, 12)


def test_the_autoencoder_is_measured_against_the_inputs_it_has_not_trained_on(tmp_path):
    path = write(tmp_path)
    library.run(path, root=tmp_path / "runs")
    parts = load_parts(data("digits", limit=300, valid=0.5), None)
    said = library.predict(path, "autoencoder", parts.valid.inputs.numpy(), seed=1, root=tmp_path / "runs")
    pictures = parts.valid.inputs.flatten(1).float() / (255 if parts.valid.inputs.dtype == torch.uint8 else 1)
    row = next(run for run in library.table(path, root=tmp_path / "runs").rows if run.variant == "autoencoder")
    first = library.predict(path, "autoencoder", parts.valid.inputs.numpy(), seed=0, root=tmp_path / "runs")
    errors = [float(np.mean((guess - pictures.numpy()) ** 2)) for guess in (first, said)]
    assert row.valid_loss == pytest.approx(np.mean(errors), rel=1e-4)


@pytest.mark.parametrize("name", ["digits", "wine", "shapes"])
def test_targets_are_the_inputs_of_the_same_split(name):
    plain, own = load_parts(data(name), None), load_parts(data(name, reconstruct=True), None)
    for part, other in ((plain.train, own.train), (plain.valid, own.valid)):
        assert torch.equal(part.rows, other.rows)
        numbers = part.inputs.flatten(1).float()
        assert torch.equal(other.targets, numbers / 255 if part.inputs.dtype == torch.uint8 else numbers)
        assert other.targets.data_ptr() != other.inputs.data_ptr(), "a trick that changes inputs would change targets"
    known = known_spec(data(name, reconstruct=True))
    assert known is None or known == own.spec
    assert own.spec.outputs == own.train.targets.shape[1]
    assert (own.spec.task, own.spec.classes, own.spec.places) == ("regression", (), ())


def test_what_does_not_suit_is_said_before_training(tmp_path, ablate):
    path = write(tmp_path, RECIPE.replace("metrics: [rmse], ", ""))
    done = ablate("run", path)
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "metric (=accuracy)" in done.err
    text = """
data: {name: text, reconstruct: true}
baseline: {model: {name: autoencoder}, loss: mse, optimizer: {name: sgd, lr: 0.1}}
"""
    done = ablate("run", write(tmp_path, text))
    assert done.code != 0
    assert (
        "data.reconstruct (=true) requires floating-point inputs, but the data are tokens. Remove it."
        in done.err + done.out
    )


def test_a_row_that_nothing_is_built_upon_must_measure_what_is_compared(tmp_path):
    text = RECIPE[: RECIPE.index("  - {name: pretrained")]
    with pytest.raises(RecipeError, match=r"compare.metric \(=accuracy\) .* autoencoder only has"):
        Recipe.load(write(tmp_path, text))
    with pytest.raises(RecipeError, match=r"autoencoder: loss \(=mse\) .* from scratch"):
        Recipe.load(write(tmp_path, text.replace("compare: {metric: accuracy}\nreach: {accuracy: 0.2}\n", "")))


def test_by_their_losses_the_others_are_compared_still(tmp_path):
    text = RECIPE.replace("compare: {metric: accuracy}\nreach: {accuracy: 0.2}\n", "").replace("seeds: 2", "seeds: 1")
    table = library.run(write(tmp_path, text), root=tmp_path / "runs")
    rows = {row.variant: row for row in table.rows}
    assert rows["autoencoder"].delta_parent is None
    losses = {"metric": "valid_loss", "own": "mse", "parent": "cross_entropy"}
    assert Note("other_loss", values=losses) in rows["autoencoder"].notes
    assert rows["pretrained"].delta_parent is not None
