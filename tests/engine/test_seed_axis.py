"""A network with a hidden axis of seeds gives what ``torch.func.vmap`` of ``functional_call`` gives, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, vmap

from ablate.layers.seed_axis import hidden_axis, lent_tensors, slots_of

SEEDS = 3


class Tied(nn.Module):
    """One weight under two names, a buffer that is updated in place and another that is assigned."""

    def __init__(self):
        super().__init__()
        self.encode, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.decode = nn.Linear(4, 4, bias=False)
        self.decode.weight = self.encode.weight
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x):
        self.passes = self.passes + 1
        hidden = self.norm(torch.relu(self.encode(x)))
        return {"hidden": hidden, "output": (self.decode(hidden), hidden.mean())}


class Wrong(nn.Linear):
    """Returns a number beside a tensor."""

    def forward(self, x):
        return super().forward(x), 3


@pytest.fixture
def stacked():
    """A network, its stacked tensors by name, and by the ids of its own."""

    def make(kind, *arguments):
        torch.manual_seed(0)
        network = kind(*arguments)
        own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        leaves = {}
        for name, one in own.items():
            values = torch.randn(SEEDS, *one.shape) if one.is_floating_point() else one.expand(SEEDS, *one.shape)
            leaves[name] = values.abs().clone().requires_grad_(isinstance(one, nn.Parameter))
        return network, leaves, {id(one): leaves[name] for name, one in own.items()}

    return make


def applied(network, by_id, x):
    with hidden_axis(SEEDS) as axis, lent_tensors(slots_of(network, by_id), axis):
        return axis.show(network(axis.hide(x)))


def by_vmap(network, leaves, x):
    return vmap(lambda values, one: functional_call(network, values, (one,)))(leaves, x)


def test_outputs_gradients_and_buffers_are_those_of_vmap(stacked):
    x = torch.randn(SEEDS, 8, 4)
    found = []
    for ours in (True, False):
        network, leaves, by_id = stacked(Tied)
        outputs = applied(network, by_id, x) if ours else by_vmap(network, leaves, x)
        (outputs["output"][0].square().sum() + outputs["hidden"].sum()).backward()
        found.append([outputs["hidden"], *outputs["output"]])
        found[-1] += [leaf.detach() if leaf.grad is None else leaf.grad for leaf in leaves.values()]
    assert len(found[0]) == 3 + 4 + 4  # outputs, parameters of which one is tied, buffers
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.mark.parametrize("features", [4, 5])
def test_the_network_has_its_own_tensors_afterwards(stacked, features):
    network, _, by_id = stacked(Tied)
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    if features == 4:
        applied(network, by_id, torch.randn(SEEDS, 8, features))
    else:
        with pytest.raises(RuntimeError):
            applied(network, by_id, torch.randn(SEEDS, 8, features))
    now = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    assert own.keys() == now.keys()
    assert all(own[name] is now[name] for name in own)
    assert vmap(torch.sum)(torch.ones(2, 3)).tolist() == [3, 3], "no level of vmap is left behind"


def test_only_tensors_are_taken_and_returned(stacked):
    network, _, by_id = stacked(Wrong, 4, 2)
    with pytest.raises(ValueError, match="only tensors, not int"):
        applied(network, by_id, torch.randn(SEEDS, 8, 4))
    with pytest.raises(ValueError, match="only tensors, not str"):
        applied(network, by_id, [torch.randn(SEEDS, 8, 4), "text"])


def test_random_numbers_inside_are_refused(stacked):
    network, _, by_id = stacked(lambda: nn.Sequential(nn.Linear(4, 2), nn.Dropout()))
    with pytest.raises(RuntimeError, match="random operation"):
        applied(network, by_id, torch.randn(SEEDS, 8, 4))
