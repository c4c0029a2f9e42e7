"""Initial values: they depend on seed, name and shape only, and have the moments of their papers."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from ablate.layers.branches import ResidualBlock
from ablate.registry import entries, lookup

INITS = [entry.settings() for entry in entries("init")]
NAMES = [entry.name for entry in entries("init")]
every_init = pytest.mark.parametrize("init", INITS, ids=NAMES)


def network(*extra):
    layers = [
        ("conv1", nn.Conv2d(1, 4, 3)),
        ("norm1", nn.BatchNorm2d(4)),
        ("block1", ResidualBlock(nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 1), norm=nn.BatchNorm2d(4))))),
        ("flatten", nn.Flatten()),
        ("hidden1", nn.Linear(4 * 36, 20)),
        ("output", nn.Linear(20, 3)),
    ]
    for place, name, layer in extra:
        layers.insert(place, (name, layer))
    return nn.Sequential(OrderedDict(layers))


def values(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a.keys() & b.keys())


@every_init
def test_a_seed_gives_the_same_values_whatever_was_drawn_before(init):
    first, second = network(), network()
    init.apply(first, 3)
    torch.rand(17)
    init.apply(second, 3)
    assert same(values(first), values(second))
    init.apply(second, 3)
    assert same(values(first), values(second))


@every_init
def test_seeds_and_names_give_different_values(init):
    first, second = network(), network()
    init.apply(first, 0)
    init.apply(second, 1)
    assert not torch.equal(first.conv1.weight, second.conv1.weight)
    twins = nn.Sequential(OrderedDict(a=nn.Linear(5, 5), b=nn.Linear(5, 5), **dict(network().named_children())))
    init.apply(twins, 0)
    assert not torch.equal(twins.a.weight, twins.b.weight)


@every_init
def test_other_layers_make_no_difference(init):
    plain = network()
    more = network((3, "dropout", nn.Dropout()), (1, "extra", nn.Conv2d(4, 4, 1)), (0, "first", nn.Conv2d(1, 1, 1)))
    init.apply(plain, 5)
    init.apply(more, 5)
    assert same(values(plain), values(more))


@every_init
def test_all_parameters_are_set_and_norms_are_as_torch_resets_them(init):
    model = network((5, "embedding", nn.Embedding(7, 3)))
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(9.0)
    assert init.apply(model, 0) == [name for name, _ in model.named_parameters()]
    assert all((p != 9.0).all() for p in model.parameters())
    assert torch.equal(model.norm1.weight, torch.ones(4))
    last = torch.zeros if init == lookup("init", "zero_gamma").settings() else torch.ones
    assert torch.equal(model.block1.branch.norm.weight, last(4))
    assert torch.equal(model.norm1.bias, torch.zeros(4))
    again = network((5, "embedding", nn.Embedding(7, 3)))
    init.apply(again, 0)
    assert same(values(model), values(again))


@every_init
def test_torchs_global_generator_is_left_alone(init):
    model = network()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    init.apply(model, 0)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("init", [init for init, name in zip(INITS, NAMES, strict=True) if name != "zero_gamma"])
def test_a_parameter_that_no_rule_sets_is_not_claimed(init):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(2))
            self.layer = nn.Linear(2, 2)

    assert init.apply(Own(), 0) == ["layer.weight", "layer.bias"]


def test_a_networks_own_rule_has_the_last_word_over_its_layers():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def reset_parameters(self):
            nn.init.constant_(self.layer.weight, 0.25)

    model = Own()
    assert set(lookup("init", "default").settings().apply(model, 0)) == {"layer.weight", "layer.bias"}
    assert torch.equal(model.layer.weight, torch.full((2, 2), 0.25))


def test_a_single_layer_can_be_the_network():
    layer = nn.Linear(3, 2)
    assert lookup("init", "xavier_uniform").settings().apply(layer, 0) == ["weight", "bias"]


def drawn(name, layer, **fields):
    lookup("init", name).settings(**fields).apply(nn.Sequential(OrderedDict(layer=layer)), 0)
    return layer.weight.detach().double().numpy().ravel(), layer.bias.detach()


@pytest.mark.parametrize("layer", [nn.Linear(400, 600), nn.Conv2d(40, 60, 3)], ids=["linear", "conv"])
@pytest.mark.parametrize(
    ("name", "fields", "spread"),
    [
        ("xavier_uniform", {}, lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        ("xavier_uniform", {"gain": 1.5}, lambda fan_in, fan_out: 1.5 * math.sqrt(2 / (fan_in + fan_out))),
        ("he_normal", {}, lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
        ("he_normal", {"mode": "fan_out"}, lambda fan_in, fan_out: math.sqrt(2 / fan_out)),
        ("default", {}, lambda fan_in, fan_out: math.sqrt(1 / (3 * fan_in))),
        ("xavier_normal", {"gain": 0.5}, lambda fan_in, fan_out: 0.5 * math.sqrt(2 / (fan_in + fan_out))),
        ("he_uniform", {}, lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
        ("gaussian", {"deviation": 0.3}, lambda fan_in, fan_out: 0.3),
        ("uniform", {"bound": 0.3}, lambda fan_in, fan_out: 0.3 / math.sqrt(3)),
        ("orthogonal", {"gain": 2}, lambda fan_in, fan_out: 2 / math.sqrt(max(fan_in, 600 if fan_in == 400 else 60))),
    ],
)
def test_moments(layer, name, fields, spread):
    weight, bias = drawn(name, layer, **fields)
    window = int(np.prod(layer.weight.shape[2:]))
    expected = spread(layer.weight.shape[1] * window, layer.weight.shape[0] * window)
    n = weight.size
    assert abs(weight.mean()) < 5 * expected / math.sqrt(n)
    assert weight.std() == pytest.approx(expected, rel=5 / math.sqrt(n))
    fourth = np.mean(weight**4) / np.mean(weight**2) ** 2
    of_normal = "normal" in name or name in ("gaussian", "orthogonal")
    assert fourth == pytest.approx(3.0 if of_normal else 1.8, rel=0.03)
    assert name == "default" or not bias.any()
