"""A plan tries custom code on a few samples: what a job would fail on is said before, and nothing else."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from ablate.planning import networks
from ablate.planning.failure_reason import diagnosis
from ablate.recipe import Recipe

MINE = """
import ablate
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

class Net(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Flatten(), nn.Linear(64, outputs))

class Narrow(Net):
    def forward(self, x):
        return self[1](x)

class Norm(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, outputs))

def typo(prediction, target):
    return prediction.mena()

def hardest(prediction, target):
    return nn.functional.cross_entropy(prediction, target, reduction="none").topk(16).values.mean()

def area(prediction, target):
    return roc_auc_score(target.numpy(), prediction.softmax(1).numpy(), multi_class="ovo", labels=range(10))

class NeedsData(ablate.Trick):
    def on_data(self, parts):
        self._mean = parts.train.inputs.float().mean()
        return parts
    def on_model(self, network):
        network.register_buffer("mean", self._mean)
        return network, ["mean"]

class Stale(NeedsData):
    def on_data(self, parts):
        return parts

class Broken(ablate.Trick):
    def on_gradients(self, parameters):
        raise KeyError("lost")

class Teacher(ablate.Trick):
    def between_epochs(self, epoch, weights, optimizer):
        self._kept = {name: value.clone() for name, value in weights.items()} if epoch == 0 else self._kept
    def on_weights(self, parameters):
        assert set(parameters) <= set(self._kept)

class Idle(ablate.Trick):
    def on_model(self, network):
        return network, []

def halves(fold=0, folds=1):
    inputs, targets = torch.rand(60, 64), torch.arange(60) % 10
    return (inputs[fold::2], targets[fold::2]), (inputs[1 - fold :: 2], targets[1 - fold :: 2])

def words():
    inputs = torch.arange(40).view(20, 2) % 7
    return {"train": (inputs, inputs[:, 0]), "valid": (inputs, inputs[:, 0]), "outputs": 7}

def sentences():
    inputs = torch.arange(60).view(20, 3) % 7
    return {"train": (inputs, inputs), "valid": (inputs, inputs), "outputs": 7}

class Tagger(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.table = nn.Embedding(7, outputs)
    def forward(self, x):
        return self.table(x)

class Embedded(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.table = nn.Embedding(7, outputs)
    def forward(self, x):
        return self.table(x).mean(1)
"""

PLAIN = {
    "data": "digits",
    "model": "{target: 'rehearsed:Net'}",
    "loss": "cross_entropy",
    "optimizer": "{name: sgd, lr: 0.1}",
    "metrics": "[accuracy]",
}


def describe(folder, **changed):
    (folder / "rehearsed.py").write_text(MINE)
    lines = {**PLAIN, **changed}
    above = [f"{key}: {lines.pop(key)}" for key in ("data", "metrics", "folds") if key in lines]
    below = [f"  {key}: {value}" for key, value in lines.items()]
    (folder / "r.yaml").write_text("\n".join([*above, "baseline:", "  name: a", *below]) + "\n")
    recipe = Recipe.load(folder / "r.yaml")
    return networks.describe(recipe.variants[0].settings, folder, recipe.folds, {})


def line_of(text):
    return MINE[: MINE.index(text)].count("\n") + 1


@pytest.fixture(autouse=True)
def _own_module(monkeypatch, tmp_path):
    """Every test imports the module from its own folder."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "rehearsed", raising=False)
    yield
    sys.modules.pop("rehearsed", None)


@pytest.mark.parametrize(
    ("changed", "kind", "at", "function"),
    [
        ({"model": "{target: 'rehearsed:Narrow'}"}, "RuntimeError", "return self[1](x)", "forward"),
        ({"loss": "{target: 'rehearsed:typo'}"}, "AttributeError", "return prediction.mena()", "typo"),
        ({"metrics": "[{target: 'rehearsed:typo'}]"}, "AttributeError", "return prediction.mena()", "typo"),
        ({"add": "[{target: 'rehearsed:Broken'}]"}, "KeyError", 'raise KeyError("lost")', "on_gradients"),
        ({"add": "[{target: 'rehearsed:Stale'}]"}, "AttributeError", 'network.register_buffer("mean"', "on_model"),
    ],
)
def test_an_error_of_custom_code_has_its_kind_file_and_line(tmp_path, changed, kind, at, function):
    with pytest.raises(Exception, match=r".") as raised:
        describe(tmp_path, **changed)
    reason = diagnosis(raised.value)[1]
    assert reason.startswith(f"{kind}: ")
    assert reason.endswith(f"(rehearsed.py, line {line_of(at)}, in {function})")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"optimizer": "{target: 'torch.optim:SGD', rate: 0.1}"}, r"SGD.*unexpected keyword argument 'rate'"),
        ({"add": "[{target: 'rehearsed:Idle'}]"}, "idle has no effect"),
        ({"loss": "mse"}, "loss"),
        (
            {"data": "{target: 'rehearsed:sentences'}", "model": "{target: 'rehearsed:Tagger'}"},
            r"loss \(=cross_entropy\) requires predictions of shape \(20, 7, 3\), but the network returns \(20, 3, 7\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(tmp_path, changed, reason):
    with pytest.raises(Exception, match=reason):
        describe(tmp_path, **changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"add": "[{target: 'rehearsed:NeedsData'}]"},
        {"add": "[{target: 'rehearsed:Teacher'}]"},
        {"loss": "{target: 'rehearsed:hardest'}"},
        {"metrics": "[{target: 'rehearsed:area'}]"},
        {"model": "{target: 'rehearsed:Norm'}", "batch_size": "8"},
        {"model": "{target: 'rehearsed:Norm'}", "add": "[{name: swa, start: 0}]"},
        {"data": "{target: 'rehearsed:halves'}", "folds": "2"},
        {"data": "{target: 'rehearsed:words'}", "model": "{target: 'rehearsed:Embedded'}"},
        {"optimizer": "{target: 'torch.optim:LBFGS'}"},
        {"precision": "bf16"},
        {"precision": "fp16"},
    ],
)
def test_what_a_job_can_train_is_no_error(tmp_path, changed):
    assert describe(tmp_path, **changed).parameters


def test_a_network_too_large_to_try_is_not_built(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "REHEARSED", 600)
    assert describe(tmp_path, model="{target: 'rehearsed:Narrow'}").parameters == 650


@pytest.mark.parametrize(
    ("inputs", "targets", "changed", "reason"),
    [
        (np.zeros((8, 3)), np.eye(2, dtype=int)[[0, 1] * 4], {}, r"one-hot rows of shape \(\d+, 2\)"),
        (
            np.ones((11, 3)),
            np.arange(11) % 2,
            {"batch_size": 4, "add": "[batch_norm]"},
            r"batch_size \(=4\): With 9 training samples, the last batch has one sample",
        ),
        (np.ones((11, 3)), np.arange(11) % 2, {"batch_size": 3, "add": "[batch_norm]"}, None),
    ],
)
def test_data_of_a_file_are_tried_too(tmp_path, inputs, targets, changed, reason):
    np.savez(tmp_path / "own.npz", inputs=inputs, targets=targets)
    given = {"data": "{name: npz, path: own.npz, valid: 0.2}", "model": "mlp", **changed}
    if reason is None:
        assert describe(tmp_path, **given).parameters
    else:
        with pytest.raises(ValueError, match=reason):
            describe(tmp_path, **given)
