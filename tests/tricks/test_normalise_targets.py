"""Targets in a small range: the training part's numbers, gaps, and metrics in the original unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ablate.data.dataset import Keypoints, Part, Parts, Spec, TargetScaling
from ablate.metrics.regression import in_original_unit
from ablate.registry import lookup
from ablate.tricks.trick import Context

SPEC = Spec((3,), 2, "regression")


def prices(n, seed=0):
    draw = np.random.default_rng(seed)
    return np.stack([draw.normal(10_000, 300, n), draw.uniform(-2, 9, n)], axis=1)


def scaled(*arrays, spec=SPEC, **fields):
    made = [Part(torch.zeros(len(a), 3), torch.tensor(a)) for a in arrays]
    trick = lookup("trick", "normalise_targets").settings(**fields)
    trick.bind(Context(spec, (0,), 1, 1))
    return trick.on_data(Parts(made[0], made[1], spec, *made[2:]))


@pytest.mark.parametrize("per", ["output", "all"])
@pytest.mark.parametrize("to", ["standard", "unit", "symmetric"])
def test_the_training_part_gets_the_range_and_the_others_its_numbers(to, per):
    arrays = prices(50), prices(20, 1), prices(10, 2)
    out = scaled(*arrays, to=to, per=per)
    axis = 0 if per == "output" else (0, 1)
    low, high = arrays[0].min(axis), arrays[0].max(axis)
    shift, scale = {
        "standard": (arrays[0].mean(axis), arrays[0].std(axis)),
        "unit": (low, high - low),
        "symmetric": ((low + high) / 2, (high - low) / 2),
    }[to]
    for part, array in zip((out.train, out.valid, out.test), arrays, strict=True):
        np.testing.assert_allclose(part.targets.numpy(), (array - shift) / scale, rtol=1e-9, atol=1e-12)
        back = out.spec.target_scaling.original(part.targets)
        np.testing.assert_allclose(back.numpy(), array, rtol=1e-12, atol=1e-10)
    assert out.train.inputs.shape == (50, 3)


def test_gaps_stay_and_do_not_count():
    train = prices(30)
    train[3, 0] = train[5, 1] = np.nan
    out = scaled(train, prices(5, 1))
    assert out.train.targets.isnan().nonzero().tolist() == [[3, 0], [5, 1]]
    np.testing.assert_allclose(np.nanmean(out.train.targets.numpy(), 0), 0, atol=1e-9)


def test_what_is_constant_in_training_is_divided_by_one():
    train = prices(10)
    train[:, 1] = 4
    out = scaled(train, train + 1)
    assert (out.train.targets[:, 1] == 0).all()
    assert (out.valid.targets[:, 1] == 1).all()


def test_two_scalings_are_undone_together():
    first = TargetScaling((5.0,), (2.0,))
    spec = replace(SPEC, target_scaling=first)
    array = prices(20)
    out = scaled(first.scaled(torch.tensor(array)).numpy(), array, spec=spec)
    np.testing.assert_allclose(out.spec.target_scaling.original(out.train.targets).numpy(), array, rtol=1e-12)


def test_metrics_are_in_the_original_unit():
    array = prices(40)
    out = scaled(array, prices(5, 1))
    prediction = out.train.targets + torch.randn(40, 2, dtype=torch.float64) * 0.1

    def rmse(prediction, target):
        return (prediction - target).square().mean().sqrt()

    back = out.spec.target_scaling.original(prediction).numpy()
    measured = in_original_unit(rmse, out.spec)(prediction, out.train.targets)
    assert float(measured) == pytest.approx(np.sqrt(((back - array) ** 2).mean()), rel=1e-9)
    assert in_original_unit(rmse, SPEC) is rmse


def test_a_metric_of_single_targets_keeps_their_shape():
    spec = replace(SPEC, outputs=1, target_scaling=TargetScaling((100.0,), (7.0,)))
    seen = []

    def measure(prediction, target):
        seen.append((prediction.shape, target.shape))
        return target.sum()

    total = in_original_unit(measure, spec)(torch.zeros(3, 1), torch.zeros(3))
    assert seen == [((3, 1), (3,))]
    assert total == 300


def test_float32_targets_far_from_0_lose_nothing():
    array = prices(50).astype(np.float32)
    out = scaled(array, array)
    assert out.train.targets.dtype == torch.float32
    np.testing.assert_allclose(out.train.targets[:, 0].double().std(correction=0), 1, rtol=1e-5)
    assert out.train.targets.mean(0).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (Spec((3,), 2, "classification"), "classes"),
        (Spec((1, 8, 8), 4, "regression", keypoints=Keypoints((), ("a", "b"))), "keypoints, which are already scaled"),
    ],
)
def test_classes_and_keypoints_are_refused(spec, what):
    with pytest.raises(
        ValueError, match=rf"trick \(=normalise_targets\) requires continuous targets, but they are {what}"
    ):
        scaled(prices(5), prices(5), spec=spec)


def test_an_output_that_is_never_known_is_said():
    train = prices(5)
    train[:, 1] = np.nan
    with pytest.raises(ValueError, match="all training targets of one output are missing"):
        scaled(train, prices(5))
