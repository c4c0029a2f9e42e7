"""The plateau's rates against torch's ReduceLROnPlateau, over given sequences of a metric."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ablate.data.dataset import Spec
from ablate.registry import lookup
from ablate.tricks.trick import Context

PLATEAU = lookup("trick", "plateau").settings
SPEC = Spec((4,), 2, "classification")
EPOCHS = 60
CASES = [
    {},
    {"factor": 0.5, "patience": 0},
    {"factor": 0.3, "patience": 2, "threshold": 0.1},
    {"factor": 0.5, "patience": 1, "threshold": 0.05, "threshold_mode": "abs", "cooldown": 3},
    {"factor": 0.1, "patience": 1, "threshold": 0.2, "min_lr": 0.002},
]


def bound(seeds=(0,), monitor="valid_loss", better="lower", **fields):
    trick = PLATEAU(**fields)
    trick.bind(Context(SPEC, seeds, EPOCHS, 1, monitor=monitor, better=better))
    return trick


def curves(seeds):
    """Falling curves with noise, of unlike speed."""
    draw = np.random.default_rng(0)
    falling = np.exp(-np.outer(0.02 + 0.03 * np.arange(seeds), np.arange(EPOCHS)))
    return falling + 0.1 * draw.standard_normal((seeds, EPOCHS))


def torchs(curve, mode, fields, lr=0.05):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = ReduceLROnPlateau(optimizer, mode=mode, eps=0, **({"patience": 10} | fields))
    rates = []
    for value in curve:
        scheduler.step(value)
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("fields", CASES, ids=str)
@pytest.mark.parametrize("better", ["lower", "higher"])
def test_rates_are_torchs(fields, better):
    curve = curves(1)[0] if better == "lower" else -curves(1)[0] + 2
    trick, rates = bound(better=better, **fields), []
    for epoch, value in enumerate(curve, start=1):
        trick.on_epoch(epoch, {"valid_loss": np.array([value])})
        rates.append(trick.on_rate(0.05))
    expected = torchs(curve, "min" if better == "lower" else "max", fields)
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[-1] < 0.05


def test_each_seed_has_its_own_and_goes_on_from_a_checkpoint(tmp_path):
    fields = CASES[2]
    values = curves(3)
    whole, rates = bound((0, 1, 2), **fields), []
    for epoch in range(EPOCHS):
        whole.on_epoch(epoch + 1, {"valid_loss": values[:, epoch]})
        rates.append(np.broadcast_to(np.asarray(whole.on_rate(0.05)), 3))
        if epoch == 20:
            torch.save(whole.state(), tmp_path / "state.pt")
    for seed in range(3):
        assert np.array(rates)[:, seed] == pytest.approx(torchs(values[seed], "min", fields), rel=1e-9)
    assert len(set(rates[-1])) > 1

    resumed = bound((0, 1, 2), **fields)
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert np.array_equal(np.broadcast_to(np.asarray(resumed.on_rate(0.05)), 3), rates[20])
    for epoch in range(21, EPOCHS):
        resumed.on_epoch(epoch + 1, {"valid_loss": values[:, epoch]})
        assert np.array_equal(np.broadcast_to(np.asarray(resumed.on_rate(0.05)), 3), rates[epoch])


def test_it_multiplies_a_schedule_and_never_raises_a_rate():
    trick = bound(factor=0.1, patience=0, min_lr=0.01)
    for epoch in (1, 2):
        trick.on_epoch(epoch, {"valid_loss": np.array([1.0])})
    assert trick.on_rate(0.5) == pytest.approx(0.05)
    assert trick.on_rate(0.02) == 0.01
    assert trick.on_rate(0.004) == 0.004
    rates = trick.on_rate(torch.tensor([0.5, 0.02, 0.004]))
    assert rates.tolist() == pytest.approx([0.05, 0.01, 0.004])


def test_no_number_is_no_improvement():
    trick = bound(factor=0.5, patience=1)
    for epoch, value in enumerate([1.0, np.nan, np.nan], start=1):
        trick.on_epoch(epoch, {"valid_loss": np.array([value])})
    assert trick.on_rate(1.0) == 0.5


def test_a_metric_that_is_not_measured_is_said():
    with pytest.raises(ValueError, match=r"plateau\.monitor\.metric \(=dice\) must be one of valid_loss"):
        bound(monitor="dice").on_epoch(1, {"valid_loss": np.ones(1)})


@pytest.mark.parametrize("fields", [{"factor": 1}, {"factor": 0}, {"patience": -1}, {"min_lr": -0.1}])
def test_ranges(fields):
    with pytest.raises(ValidationError):
        PLATEAU(**fields)
