"""Other activations by surgery: what they compute, RReLU's noise, and what is left alone."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Spec
from ablate.layers.dropout import NoisyRReLU, noisy_layers, replace_dropout
from ablate.layers.stacked_network import StackedNetwork
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, NoEffect

SWAP = lookup("trick", "activation").settings
KINDS = ["sigmoid", "tanh", "leaky_relu", "prelu", "rrelu", "elu", "gelu", "silu"]


def swap(model, kind="tanh"):
    trick = SWAP(kind=kind)
    trick.bind(Context(Spec((1, 4, 4), 2, "regression"), (0,), 1, 1))
    return trick.on_model(model)


def network():
    act = nn.ReLU()
    inner = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 3), act=act, again=act))
    return nn.Sequential(
        OrderedDict(inner=inner, flatten=nn.Flatten(), hidden=nn.Linear(8, 4), mish=nn.Mish(), output=nn.Linear(4, 2))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_activation_becomes_the_asked_one(kind):
    model = network().double().eval()
    model, changed = swap(model, kind)
    assert changed == ["inner.act", "inner.again", "mish"] or changed == ["mish", "inner.act", "inner.again"]
    assert model.inner.act is model.inner.again
    assert not model.mish.training
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    expected = (
        {"prelu": lambda v: torch.where(v >= 0, v, 0.25 * v)}.get(kind)
        or getattr(F, kind, None)
        or getattr(torch, kind)
    )
    torch.testing.assert_close(model.mish(x).double(), expected(x))
    with pytest.raises(NoEffect, match="activation has no effect"):
        swap(model, kind)


def test_softmax_and_names_stay():
    model = nn.Sequential(OrderedDict(a=nn.Linear(3, 3), b=nn.ReLU(), c=nn.Softmax(1)))
    model, changed = swap(model, "gelu")
    assert changed == ["b"]
    assert isinstance(model.c, nn.Softmax)


def rrelu_network(seed):
    model = lookup("model", "mlp").settings(hidden=[30], activation="rrelu").build((20,), 3).double()
    lookup("init", "he_normal").settings().apply(model, seed)
    replace_dropout(model)
    return model


def bound(model, seeds):
    for name, layer in noisy_layers(model).items():
        layer.bind(Noise(seeds, f"dropout/{name}"))
    return model


def test_rrelu_of_a_network_draws_from_the_seeds_noise():
    model = bound(rrelu_network(0), (0,))
    assert isinstance(model.act1, NoisyRReLU)
    x = -torch.ones(400, 30, dtype=torch.float64)
    torch.testing.assert_close(model.eval().act1(x), F.rrelu(x, training=False))
    slope = -model.train().act1(x)
    assert slope.min() >= 1 / 8
    assert slope.max() < 1 / 3
    spread = (1 / 3 - 1 / 8) / 12**0.5
    assert slope.mean().item() == pytest.approx((1 / 8 + 1 / 3) / 2, abs=5 * spread / 12000**0.5)
    assert slope.std().item() == pytest.approx(spread, rel=0.03)
    assert torch.equal(model.act1(-x), -x)
    again = bound(rrelu_network(0), (0,)).train().act1(x)
    assert torch.equal(again, -slope)


def test_rrelu_in_a_stack_is_each_seeds_own():
    x = torch.randn(5, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    networks = [rrelu_network(seed) for seed in range(3)]
    stack = StackedNetwork(networks)
    bound(stack.template, (0, 1, 2))
    stack.train()
    together = stack(x.expand(3, 5, 20).contiguous())
    for seed in range(3):
        torch.testing.assert_close(
            together[seed], bound(rrelu_network(seed), (seed,)).train()(x), rtol=1e-9, atol=1e-12
        )


def test_prelu_brings_a_parameter_for_each_layer():
    trick = SWAP(kind="prelu")
    trick.bind(Context(Spec((1, 4, 4), 2, "regression"), (0,), 1, 1))
    model, _ = trick.on_model(network())
    assert {name for name, _ in model.named_parameters()} - {name for name, _ in network().named_parameters()} == {
        "inner.act.weight",
        "mish.weight",
    }
