"""skorch's epochs and checkpoints become those of the run, with the real library."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests.integrations.alike import diverges, ends_when_asked, resumes_alike

MODULE = """
import numpy as np
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring, LRScheduler
from skorch.dataset import ValidSplit

def net_of(lr, epochs, callbacks, split=0.25):
    layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 3), torch.nn.Softmax(-1))
    return NeuralNetClassifier(layers, lr=lr, max_epochs=epochs, batch_size=8, optimizer=torch.optim.Adam, verbose=0,
                               iterator_train__shuffle=True, train_split=ValidSplit(split), callbacks=callbacks)

def data():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(60, 4)).astype("float32")
    return x, x[:, :3].argmax(1)

def main(run, lr=0.01, schedule=False, twice=False):
    from ablate.integrations.skorch import AblateCallback
    mine = [LRScheduler("StepLR", step_size=1)] if schedule else [EpochScoring("f1_macro", name="valid_f1")]
    net = net_of(lr, run.epochs, [*mine, AblateCallback(run, names={"valid_f1": "f1"})])
    for _ in range(1 + twice):
        net.fit(*data())
    assert net.max_epochs == run.epochs
"""

RECIPE = "trainer: {target: 'own_skorch:main'}\nbaseline: {name: base, epochs: 4, args: {lr: 0.01}}\n"


@pytest.fixture
def recipe(tmp_path, needs):
    needs("skorch")
    (tmp_path / "own_skorch.py").write_text(MODULE)
    (tmp_path / "own.yaml").write_text(RECIPE)
    return tmp_path / "own.yaml"


def test_losses_are_bit_equal_to_those_of_the_training_alone(recipe, train):
    torch.set_num_threads(1)
    report = train(recipe, seed=3)
    module = {}
    exec(MODULE, module)
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    net = module["net_of"](0.01, 4, [module["EpochScoring"]("f1_macro", name="valid_f1")])
    history = net.fit(*module["data"]()).history
    names = {"train_loss": "train_loss", "valid_loss": "valid_loss", "accuracy": "valid_acc", "f1": "valid_f1"}
    expected = [{name: row[theirs] for name, theirs in names.items()} for row in history]
    assert [{name: line[name] for name in names} for line in report.lines] == expected
    assert [set(line) for line in report.lines] == [{"epoch", *names}] * 4
    assert len({line["train_loss"] for line in report.lines}) == 4


def test_a_resumed_run_equals_an_uninterrupted_one(recipe, train):
    torch.set_num_threads(1)
    resumes_alike(train, recipe)


def test_nothing_is_saved_that_would_not_resume_alike(recipe, train):
    report = train(recipe, sets=["args.schedule=true"], due_at=(1, 2))
    assert report.saved == []
    assert "lr" in report.lines[0]


@pytest.mark.parametrize("schedule", [True, False])
def test_it_ends_when_asked(recipe, train, report, schedule):
    ends_when_asked(train, report, recipe, [f"args.schedule={schedule}"], saved=[] if schedule else [2])


def test_a_loss_that_is_not_finite_is_a_divergence(recipe, train):
    diverges(train, recipe, ["args.lr=1e30"])


def test_a_second_training_is_refused(recipe, train):
    with pytest.raises(ValueError, match="AblateCallback records one training, but fit was called again"):
        train(recipe, sets=["args.twice=true"])
