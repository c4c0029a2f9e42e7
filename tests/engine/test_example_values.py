"""The values of single validation samples: their weighted mean is what the run records, for all losses and metrics that
are means over samples, and others store nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ablate.data.dataset import Parts, Spec, TargetScaling
from ablate.data.examples import MOST
from ablate.engine import example_values
from ablate.engine.example_values import as_one_mean, loss_of_each, metric_of_each
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Monitor
from ablate.registry import entries

SAMPLES = 30

NO_MEAN = {"rmse", "r2", "perplexity", "ece", "f1", "rmse_pixels"}
"""Roots, ratios and what is computed from all samples at once."""


def mean_of(values, weights):
    return float((values.double() * weights).sum() / weights.sum())


def case(entry, draw):
    """Settings of a loss or metric, and predictions and targets with gaps that suit it."""
    name = entry.name
    logits, classes = (
        torch.randn(SAMPLES, 4, 5, 6, generator=draw),
        torch.randint(0, 4, (SAMPLES, 5, 6), generator=draw),
    )
    gaps = classes.masked_fill(torch.rand(SAMPLES, 5, 6, generator=draw) < 0.3, -100)
    numbers = torch.randn(SAMPLES, 3, generator=draw)
    missing = numbers.masked_fill(torch.rand(SAMPLES, 3, generator=draw) < 0.3, torch.nan)
    options = {"multi_task": {"tasks": [{"loss": "mse", "outputs": 2}, {"loss": "l1", "outputs": 1, "weight": 2.0}]}}
    options |= {"top_k": {"k": 2}, "dice": {"per": "picture"}, "iou": {"per": "picture"}}
    given = options.get(name, {}) if entry.kind == "metric" or name == "multi_task" else {}
    made = entry.settings.model_validate(given)
    if entry.settings.task == "regression" or name == "rmse_pixels":
        return made, torch.randn(SAMPLES, 3, generator=draw), missing
    if name == "bce":
        return made, torch.randn(SAMPLES, 3, generator=draw), missing.sigmoid()
    return made, logits, gaps


LOSSES = [entry for entry in entries("loss") if entry.name != "from_model"]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("entry", LOSSES, ids=lambda entry: entry.name)
def test_every_loss_is_the_weighted_mean_of_its_samples_or_stores_nothing(entry, dtype):
    loss, prediction, target = case(entry, torch.Generator().manual_seed(3))
    prediction = prediction.to(dtype)
    target = target.to(dtype) if target.is_floating_point() else target
    whole = loss(prediction, target)
    found = as_one_mean(*loss_of_each(loss.terms or loss, loss.weight, prediction, target))
    if loss.terms is not None:  # two means of other numbers of known targets
        assert found is None
        return
    values, weights = found
    assert values.shape == weights.shape == (SAMPLES,)
    assert len(set(weights.tolist())) > 1 or entry.name == "dice"  # gaps differ
    assert mean_of(values, weights.double()) == pytest.approx(
        float(whole), rel=1e-12 if dtype == torch.float64 else 1e-5
    )
    one = loss(prediction[7:8], target[7:8])
    assert float(values[7]) == pytest.approx(float(one), rel=1e-5)


@pytest.mark.parametrize("name", ["dice_ce", "multi_task"])
def test_a_sum_of_means_is_one_mean_if_its_samples_weigh_the_same(name):
    entry = next(one for one in LOSSES if one.name == name)
    loss, prediction, target = case(entry, torch.Generator().manual_seed(4))
    target = target.nan_to_num(0.5) if target.is_floating_point() else target.clamp(min=0)
    values, weights = as_one_mean(*loss_of_each(loss.terms, loss.weight, prediction.double(), target))
    assert mean_of(values, weights.double()) == pytest.approx(float(loss(prediction.double(), target)), rel=1e-9)


@pytest.mark.parametrize("entry", entries("metric"), ids=lambda entry: entry.name)
def test_every_metric_is_the_weighted_mean_of_its_samples_or_stores_nothing(entry):
    metric, prediction, target = case(entry, torch.Generator().manual_seed(5))
    spec = Spec((4,), 3, "regression") if target.is_floating_point() else Spec((4,), 4, "classification")
    each = metric_of_each(metric, spec)
    assert (each is None) == (entry.name in NO_MEAN)
    if each is None:
        return
    values, weights = each(prediction, target)
    assert values.shape == weights.shape == (SAMPLES,)
    assert mean_of(values, weights) == pytest.approx(float(metric.measure(prediction, target, spec)), rel=1e-12)
    if target.is_floating_point():
        scaled = replace(spec, target_scaling=TargetScaling((1.0, 2.0, 3.0), (10.0, 20.0, 30.0)))
        factor = torch.tensor([10.0, 20.0, 30.0])
        by_hand = ((prediction - target).double().abs() * factor)[3].nanmean()
        assert float(metric_of_each(metric, scaled)(prediction, target)[0][3]) == pytest.approx(
            float(by_hand), rel=1e-6
        )


def with_rows(parts: Parts, **more) -> Parts:
    """The same data with positions of the validation samples: 100, 101 …"""
    return replace(parts, valid=replace(parts.valid, rows=torch.arange(100, 100 + len(parts.valid)), **more))


def outcomes(settings, assign, parts, report, seeds=(0,)):
    return train(replace(assign(settings), seeds=seeds), parts, report)


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_values_are_those_of_the_selected_epoch(settings, assign, pictures, report, make_choice, select, seeds):
    metrics = (make_choice("metric", "accuracy"), make_choice("metric", "ece"))
    # the accuracy stops to rise before the last epoch
    monitor = Monitor(metric="accuracy", better="higher")
    chosen = settings(select=select, metrics=metrics, epochs=8, monitor=monitor)
    parts = with_rows(pictures, groups=torch.arange(len(pictures.valid)) // 2)
    found = outcomes(chosen, assign, parts, report, seeds)
    assert select == "last" or any(one.best_epoch != one.epoch for one in found)
    for one in found:
        assert one.examples.ids.tolist() == list(range(100, 120))
        assert one.examples.groups.tolist() == [i // 2 for i in range(20)]
        assert one.examples.values.keys() == {"valid_loss", "accuracy"}
        for name, values in one.examples.values.items():
            assert float(values.mean(dtype=np.float64)) == pytest.approx(one.results["selected"][name], rel=1e-6)
    if len(seeds) > 1:
        assert len({one.examples.values["valid_loss"].tobytes() for one in found}) == len(seeds)


def test_a_stack_stores_what_its_seeds_alone_do(settings, assign, pictures, report):
    chosen = settings(precision="float64")
    parts = with_rows(pictures)
    together = outcomes(chosen, assign, parts, report, (0, 1, 2))
    for seed in range(3):
        [alone] = outcomes(chosen, assign, parts, report, (seed,))
        values = together[seed].examples.values["valid_loss"]
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, alone.examples.values["valid_loss"], rtol=1e-9)


@pytest.mark.parametrize("precision", ["bf16", "float64"])
def test_reduced_and_full_precision(settings, assign, pictures, report, precision):
    [one] = outcomes(settings(precision=precision), assign, with_rows(pictures), report)
    mean = float(one.examples.values["valid_loss"].mean(dtype=np.float64))
    assert mean == pytest.approx(one.results["selected"]["valid_loss"], rel=5e-3 if precision == "bf16" else 1e-12)


def test_averaged_weights_and_predictions_of_tricks(settings, assign, pictures, report, make_choice):
    tricks = (
        make_choice("trick", "ema"),
        make_choice("trick", "dropout", hidden=0.3),
        make_choice("trick", "mc_dropout"),
    )
    [one] = outcomes(settings(tricks=tricks), assign, with_rows(pictures), report)
    mean = float(one.examples.values["valid_loss"].mean(dtype=np.float64))
    assert mean == pytest.approx(one.results["selected"]["valid_loss"], rel=1e-6)


def test_a_diverged_seed_and_samples_without_positions_store_nothing(settings, assign, pictures, report, make_choice):
    chosen = settings(optimizer=make_choice("optimizer", "sgd", lr=1e30))
    [lost] = outcomes(chosen, assign, with_rows(pictures), report)
    assert lost.status == "diverged"
    assert lost.examples is None
    assert outcomes(settings(), assign, pictures, report)[0].examples is None


def test_too_many_samples_store_nothing(settings, assign, pictures, report, monkeypatch):
    monkeypatch.setattr(example_values, "MOST", 19)
    assert MOST == 1_000_000
    assert outcomes(settings(), assign, with_rows(pictures), report)[0].examples is None


OWN = """
import torch
from torch.nn import functional as F

def mean(prediction, target):
    return F.cross_entropy(prediction, target, label_smoothing=0.1)

def root(prediction, target):
    return F.cross_entropy(prediction, target).sqrt()

def unstackable(prediction, target):
    return F.cross_entropy(prediction, target) * float(prediction.max().item() > -1e9)
"""


@pytest.mark.parametrize(("function", "stored"), [("mean", True), ("root", False), ("unstackable", False)])
def test_custom_losses_that_are_means_over_samples(
    settings, assign, pictures, report, tmp_path, monkeypatch, function, stored
):
    name = f"own_loss_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    loss = Choice("loss", None, f"{name}:{function}", {})
    assignment = replace(assign(settings(loss=loss)), folder=tmp_path)
    [one] = train(assignment, with_rows(pictures), report)
    assert one.status == "finished"
    assert (one.examples is not None) == stored
    if stored:
        mean = float(one.examples.values["valid_loss"].mean(dtype=np.float64))
        assert math.isclose(mean, one.results["selected"]["valid_loss"], rel_tol=1e-6)
