"""Clipping against torch's own, max-norm and l1 against their formulas, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.registry import lookup
from ablate.tricks.trick import Context

SPEC = Spec((1, 8, 8), 3, "classification")


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()


def with_gradients(scale=1.0, seed=0):
    model = network(seed)
    inputs, targets = torch.randn(6, 1, 8, 8, dtype=torch.float64), torch.arange(6) % 3
    (nn.functional.cross_entropy(model(inputs), targets) * scale).backward()
    return model


def bound(name, *, seeds=(0,), **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(SPEC, seeds, 1, 10))
    return trick


@pytest.mark.parametrize("limit", [0.01, 1.0, 1000.0])
def test_clipping_by_norm_equals_torchs(limit):
    ours, torchs = with_gradients(), with_gradients()
    bound("clip_norm", limit=limit).on_gradients(dict(ours.named_parameters()))
    nn.utils.clip_grad_norm_(torchs.parameters(), limit)
    for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("limit", [0.001, 1000.0])
def test_clipping_by_value_equals_torchs(limit):
    ours, torchs = with_gradients(), with_gradients()
    bound("clip_value", limit=limit).on_gradients(dict(ours.named_parameters()))
    nn.utils.clip_grad_value_(torchs.parameters(), limit)
    for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_each_seed_of_a_stack_has_its_own_norm():
    models = [with_gradients(scale, seed) for seed, scale in enumerate((0.01, 100.0))]
    stacked = {}
    for name, _ in models[0].named_parameters():
        pair = [dict(model.named_parameters())[name] for model in models]
        stacked[name] = nn.Parameter(torch.stack([p.detach() for p in pair]))
        stacked[name].grad = torch.stack([p.grad for p in pair])
    bound("clip_norm", seeds=(0, 1), limit=1.0).on_gradients(stacked)
    for i, model in enumerate(models):
        before = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert (before > 1) == (i == 1)
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(stacked[name].grad[i], parameter.grad, rtol=1e-12, atol=0)


def test_a_parameter_without_a_gradient_is_left_out():
    model = network()
    for name in ("clip_norm", "clip_value", "l1"):
        bound(name).on_gradients(dict(model.named_parameters()))
    assert all(p.grad is None for p in model.parameters())


def test_weights_into_a_unit_are_capped_and_short_ones_stay():
    model = network()
    with torch.no_grad():
        model[0].weight[0] *= 50
        model[4].weight[1] *= 50
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    bound("max_norm", limit=2.0).on_weights(dict(model.named_parameters()))
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, before[name])
            continue
        for row, old in zip(parameter.detach().numpy(), before[name].numpy(), strict=True):
            length = np.linalg.norm(old.ravel())
            if length > 2:
                np.testing.assert_allclose(row, old * 2 / length, rtol=1e-12)
            else:
                np.testing.assert_array_equal(row, old)
    lengths = [np.linalg.norm(row.ravel()) for row in model[4].weight.detach().numpy()]
    assert max(lengths) == pytest.approx(2)
    assert min(lengths) < 1


def test_weights_of_zero_stay():
    weight = nn.Parameter(torch.zeros(3, 4))
    bound("max_norm").on_weights({"w": weight})
    assert (weight == 0).all()


@pytest.mark.parametrize("biases_and_norms", [False, True])
def test_l1_is_the_gradient_of_its_penalty(biases_and_norms):
    ours, torchs = with_gradients(), with_gradients()
    with torch.no_grad():
        for model in (ours, torchs):
            model[4].weight[0, :5] = 0  # autograd's gradient of |0| is 0
    bound("l1", rate=0.03, biases_and_norms=biases_and_norms).on_gradients(dict(ours.named_parameters()))
    penalty = sum(p.abs().sum() for p in torchs.parameters() if p.dim() > 1 or biases_and_norms)
    (0.03 * penalty).backward()
    for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-15)


def test_frozen_weights_stay():
    model = with_gradients()
    model[4].weight.requires_grad_(False)
    kept, gradient = model[4].weight.clone(), model[4].weight.grad.clone()
    bound("max_norm", limit=1e-3).on_weights(dict(model.named_parameters()))
    bound("l1", rate=1.0).on_gradients(dict(model.named_parameters()))
    assert torch.equal(model[4].weight, kept)
    assert torch.equal(model[4].weight.grad, gradient)


def test_limits_in_time_are_followed():
    trick = bound("max_norm", limit={"linear": [3, 1]})
    weight = nn.Parameter(torch.full((2, 4), 10.0))
    for step, length in ((0, 3), (9, 1)):
        trick.now.set(step)
        trick.on_weights({"w": weight})
        assert weight.detach().norm(dim=1).tolist() == pytest.approx([length, length])


@pytest.mark.parametrize("name", ["clip_norm", "clip_value", "max_norm"])
def test_a_limit_is_above_0(name):
    with pytest.raises(ValueError, match="greater than 0"):
        lookup("trick", name).settings(limit=0)
