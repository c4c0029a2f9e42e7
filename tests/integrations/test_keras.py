"""Keras' epochs and checkpoints become those of the run, with the real library and its backend for PyTorch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests.integrations.alike import diverges, ends_when_asked, resumes_alike

pytestmark = pytest.mark.slow

MODULE = """
import os
os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np

def model_of(lr, shape=(4,)):
    first = [keras.Input(shape)] if shape else []
    layers = [keras.layers.Dense(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.3), keras.layers.Dense(3)]
    model = keras.Sequential([*first, *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(lr), loss, metrics=["accuracy"])
    return model

def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4)).astype("float32")
    return x, x[:, :3].argmax(1)

def fit(model, epochs, callbacks, first=0):
    x, y = data()
    model.fit(x[:40], y[:40], 8, epochs, 0, callbacks, validation_data=(x[40:], y[40:]), initial_epoch=first)

def main(run, lr=0.01, resume=True, shape=True):
    from ablate.integrations.keras import AblateCallback
    callback, model = AblateCallback(run), model_of(lr, (4,) if shape else None)
    fit(model, run.epochs, [callback], callback.resume(model) if resume else 0)
"""

RECIPE = "trainer: {target: 'own_keras:main'}\nbaseline: {name: base, epochs: 4, args: {lr: 0.01}}\n"


@pytest.fixture
def recipe(tmp_path, needs):
    needs("keras")
    torch.set_num_threads(1)
    (tmp_path / "own_keras.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


def test_losses_are_bit_equal_to_those_of_the_training_alone(recipe, train):
    report = train(recipe, seed=3)
    module, rows = {}, []
    exec(MODULE, module)
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    record = module["keras"].callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rows.append(dict(logs)))
    module["fit"](module["model_of"](0.01), 4, [record])
    names = {"train_loss": "loss", "valid_loss": "val_loss", "accuracy": "val_accuracy", "train_accuracy": "accuracy"}
    expected = [{name: row[theirs] for name, theirs in names.items()} for row in rows]
    assert [{name: line[name] for name in names} for line in report.lines] == expected
    assert [line["at"] for line in report.lines] == [{"epoch": i, "step": 5 * i} for i in range(1, 5)]
    assert len({line["train_loss"] for line in report.lines}) == 4


def test_a_resumed_run_equals_an_uninterrupted_one(recipe, train):
    resumes_alike(train, recipe)


@pytest.mark.parametrize("resume", [True, False])
def test_it_ends_when_asked(recipe, train, report, resume):
    ends_when_asked(train, report, recipe, [f"args.resume={resume}"], saved=[2] if resume else [])


def test_a_loss_that_is_not_finite_is_a_divergence(recipe, train):
    diverges(train, recipe, ["args.lr=1e30"])


def test_a_model_without_an_input_shape_is_refused(recipe, train):
    with pytest.raises(ValueError, match=r"model \(=sequential.*\) must be compiled and have an input shape"):
        train(recipe, sets=["args.shape=false"])
