"""Losses against NumPy in float64, with and without gaps in the targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.registry import entries, lookup

MSE, CROSS_ENTROPY = (lookup("loss", name).settings() for name in ("mse", "cross_entropy"))


@pytest.fixture
def pair():
    draw = np.random.default_rng(0)
    prediction, target = draw.normal(size=(7, 4)), draw.normal(size=(7, 4))
    gaps = draw.random((7, 4)) < 0.3
    assert gaps.any()
    return prediction, target, gaps


def tensors(*arrays):
    return tuple(torch.tensor(array) for array in arrays)


@pytest.mark.parametrize("missing", [False, True])
def test_mse(pair, missing):
    prediction, target, _ = pair
    loss = MSE.for_targets(missing=missing)(*tensors(prediction, target))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(np.mean((prediction - target) ** 2), rel=1e-12)


def test_mse_leaves_gaps_out_of_sum_number_and_gradient(pair):
    prediction, target, gaps = pair
    target = np.where(gaps, np.nan, target)
    p, t = tensors(prediction, target)
    p.requires_grad_()
    loss = MSE(p, t)
    loss.backward()
    n = np.sum(~gaps)
    assert loss.item() == pytest.approx(np.nansum((prediction - target) ** 2) / n, rel=1e-12)
    np.testing.assert_allclose(p.grad.numpy(), np.where(gaps, 0, 2 * (prediction - target) / n), rtol=1e-12)
    assert MSE.weight(t).item() == n


def test_weighted_means_of_batches_are_the_mean_of_all(pair):
    prediction, target, gaps = pair
    p, t = tensors(prediction, np.where(gaps, np.nan, target))
    parts = [(MSE(p[rows], t[rows]), MSE.weight(t[rows])) for rows in (slice(0, 3), slice(3, 7))]
    mean = sum(loss * weight for loss, weight in parts) / sum(weight for _, weight in parts)
    assert mean.item() == pytest.approx(MSE(p, t).item(), rel=1e-12)


def test_a_batch_that_knows_nothing_counts_for_nothing():
    p = torch.ones(2, 3, requires_grad=True)
    t = torch.full((2, 3), torch.nan)
    loss = MSE(p, t)
    loss.backward()
    assert loss.item() == 0
    assert MSE.weight(t).item() == 0
    assert not p.grad.any()


def test_a_prediction_that_is_no_number_is_not_hidden():
    p, t = torch.tensor([[torch.nan, 1.0]]), torch.tensor([[0.0, torch.nan]])
    assert MSE(p, t).isnan()


def test_without_gaps_the_weight_is_the_number_of_samples():
    assert MSE.for_targets(missing=False).weight(torch.zeros(5, 3)) == 5
    assert CROSS_ENTROPY.weight(torch.zeros(5, dtype=torch.int64)) == 5


def test_telling_makes_a_copy():
    told = MSE.for_targets(missing=False)
    assert told.dump() == MSE.dump()
    assert MSE(torch.zeros(1, 1), torch.full((1, 1), torch.nan)).item() == 0
    assert told(torch.zeros(1, 1), torch.full((1, 1), torch.nan)).isnan()


def test_single_numbers_are_a_column():
    p, t = torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0])
    assert MSE(p, t).item() == 2.0


@pytest.mark.parametrize("shape", [(2, 3), (4, 2), (2,)])
def test_shapes_that_would_broadcast_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"loss \(=mse\) requires predictions and targets of the same shape, but they are \(4, 3\) and"
    ):
        MSE(torch.zeros(4, 3), torch.zeros(*shape))


def test_mse_under_vmap_is_each_replicas_own(pair):
    prediction, target, gaps = pair
    p, t = tensors(np.stack([prediction, 2 * prediction]), np.stack([np.where(gaps, np.nan, target), target]))
    torch.testing.assert_close(torch.vmap(MSE)(p, t), torch.stack([MSE(p[i], t[i]) for i in range(2)]))
    assert torch.vmap(MSE.weight)(t).tolist() == [(~gaps).sum(), gaps.size]


def test_cross_entropy():
    draw = np.random.default_rng(1)
    logits, classes = draw.normal(size=(9, 5)), draw.integers(0, 5, 9)
    log_softmax = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -log_softmax[np.arange(9), classes].mean()
    assert CROSS_ENTROPY(*tensors(logits, classes)).item() == pytest.approx(expected, rel=1e-12)
    assert CROSS_ENTROPY(*tensors(logits, np.eye(5)[classes])).item() == pytest.approx(expected, rel=1e-12)


def test_every_loss_says_what_targets_it_takes():
    assert {entry.settings.task for entry in entries("loss")} <= {"classification", "regression", None}
