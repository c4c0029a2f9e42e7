"""With precision float64, data are kept in float64: the same numbers as a loop by hand, and none of them in float32."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import datasets
from torch.nn import functional as F

from ablate.data.load import load_parts
from ablate.data.new_inputs import read_inputs
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.predicting import Trained, predict
from ablate.engine.training import train_epoch, validate
from ablate.recipe.settings import Choice
from ablate.registry import entries
from ablate.trainers.trainer import trainer_of

N = 30
DRAW = np.random.default_rng(0)
X = DRAW.random((N, 3))
Y = 1 + 1e-9 * DRAW.standard_normal((N, 2))
"""Targets that are all 1 in float32."""

MINE = """
import numpy as np
import torch

def arrays():
    saved = np.load("data.npz")
    pair = saved["x"], saved["y"]
    return pair, pair

def tensors():
    pair = tuple(map(torch.from_numpy, arrays()[0]))
    return pair, pair

class Lists(torch.utils.data.Dataset):
    def __init__(self):
        self.x, self.y = arrays()[0]
    def __len__(self):
        return len(self.x)
    def __getitem__(self, i):
        return self.x[i].tolist(), self.y[i].tolist()

def lists():
    return Lists(), Lists()
"""


@pytest.fixture
def source(tmp_path, monkeypatch, make_choice):
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", x=X, y=Y)
    names = ["a", "b", "c", "p", "q"]
    pd.DataFrame(np.hstack([X, Y]), columns=names).to_csv("data.csv", index=False, float_format="%.17g")
    (tmp_path / "exact.py").write_text(MINE)

    def make(name):
        if name == "npz":
            return make_choice("data", "npz", path="data.npz"), X, Y
        if name == "csv":
            return make_choice("data", "csv", path="data.csv", target=["p", "q"]), X, Y
        if name == "reconstruct":
            return make_choice("data", "npz", path="data.npz", reconstruct=True), X, X
        if name == "diabetes":
            x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
            return make_choice("data", "diabetes"), x, y[:, None]
        return Choice("data", None, f"exact:{name}", {}), X, Y

    return make


SOURCES = ["npz", "csv", "reconstruct", "diabetes", "arrays", "tensors", "lists"]


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("tricks", [(), ("standardise", "normalise_targets")], ids=["plain", "scaled"])
@pytest.mark.parametrize("loader", ["resident", "streamed"])
def test_a_training_is_a_loop_in_float64(source, settings, make_choice, tmp_path, name, tricks, loader):
    data, x, y = source(name)
    chosen = settings(
        data=data,
        model=make_choice("model", "mlp", hidden=[4]),
        loss=make_choice("loss", "mse"),
        optimizer=make_choice("optimizer", "sgd", lr=1e-3 if tricks else 1e-6, momentum=0),
        precision="float64",
        batch_size=8,
        shuffle=False,
        loader=loader,
        tricks=tuple(make_choice("trick", trick) for trick in tricks),
    )
    # scaled targets have lost nine of their sixteen digits
    tolerance = 1e-6 if tricks and y is Y else 1e-12
    parts = load_parts(data, tmp_path, double=True)
    assembly = assemble(Assignment(chosen, (0,), tmp_path), parts)
    network = copy.deepcopy(assembly.network)
    train, valid = (
        [torch.from_numpy(values[part.rows.numpy()]) for values in (x, y)] for part in (parts.train, parts.valid)
    )
    if tricks:
        moments = [(values.mean(0), values.std(0, correction=0)) for values in train]
        train, valid = (
            [(values - mean) / sd for values, (mean, sd) in zip(part, moments, strict=True)] for part in (train, valid)
        )
    optimizer, total = torch.optim.SGD(network.parameters(), lr=1e-3 if tricks else 1e-6), 0.0
    for inputs, targets in zip(train[0].split(8), train[1].split(8), strict=True):
        loss = F.mse_loss(network(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(inputs)
    assert train_epoch(assembly, 1).item() == pytest.approx(total / len(train[0]), rel=tolerance)
    for ours, theirs in zip(assembly.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=tolerance, atol=tolerance / 100)
    expected = F.mse_loss(network(valid[0]), valid[1]).item()
    assert validate(assembly)["valid_loss"].item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", ["npz", "csv", "lists"])
def test_a_job_reads_its_data_in_the_precision_of_the_training(source, settings, make_choice, tmp_path, heard, name):
    """A network of weights near 0: its loss is the mean square of the targets."""
    data, _, y = source(name)
    chosen = settings(
        data=data,
        model=make_choice("model", "mlp", hidden=[4]),
        init=make_choice("init", "gaussian", deviation=1e-30),
        loss=make_choice("loss", "mse"),
        optimizer=make_choice("optimizer", "sgd", lr=1e-30),
        precision="float64",
        epochs=1,
    )
    report = heard()
    trainer_of(chosen).train(Assignment(chosen, (0,), tmp_path), report, None)
    valid = y[load_parts(data, tmp_path).valid.rows.numpy()]
    assert report.lines[0][0]["valid_loss"] == pytest.approx(np.mean(valid**2), rel=1e-13)
    assert np.mean(valid**2) != pytest.approx(np.mean(valid.astype("float32") ** 2), rel=1e-12)


@pytest.mark.parametrize("entry", entries("data"), ids=lambda entry: entry.name)
def test_no_data_set_has_floats_of_another_precision(entry, make_choice):
    if entry.settings.needs_file or entry.name in ("images", "facial_keypoints"):
        return
    for double in (False, True):
        parts = load_parts(make_choice("data", entry.name), None, double=double)
        for tensor in parts.train.tensors:
            exact = (tensor.double() * 16).frac().abs().max() == 0  # digits are whole sixteenths
            assert (
                not tensor.is_floating_point() or exact or tensor.dtype == (torch.float64 if double else torch.float32)
            )


@pytest.mark.parametrize("name", ["npz", "csv"])
def test_predictions_are_in_float64(source, settings, make_choice, tmp_path, name):
    data, _, _ = source(name)
    chosen = settings(
        data=data,
        model=make_choice("model", "mlp", hidden=[4]),
        loss=make_choice("loss", "mse"),
        precision="float64",
    )
    network = assemble(Assignment(chosen, (0,), tmp_path), load_parts(data, tmp_path, double=True)).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 1e-9)
    torch.save(network.state_dict(), "weights.pt")
    inputs, _ = read_inputs(data, tmp_path / f"data.{name}")
    found, _ = predict(Trained(chosen, 0, tmp_path, tmp_path / "weights.pt"), inputs)
    torch.testing.assert_close(found, network(torch.from_numpy(X)).detach(), rtol=1e-12, atol=0)
