"""Stochastic depth: per sample, survivors scaled, the mean kept; the right form and the wrong one; rates over depth."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from ablate.data.dataset import Spec
from ablate.layers.branches import ResidualBlock
from ablate.layers.dropout import DropPath, noisy_layers
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, NoEffect

SPEC = Spec((6,), 6, "regression")


class Double(nn.Module):
    """A branch that is no Sequential: 2·x, so that x + f(x) is 3·x."""

    def forward(self, x):
        return 2 * x


class Theirs(nn.Module):
    """A user's own residual block, which says nothing of itself."""

    def __init__(self):
        super().__init__()
        self.conv_path = Double()

    def forward(self, x):
        return x + self.conv_path(x)


class Telling(Theirs):
    residual_branch = "conv_path"


def blocks(n, kind=lambda: ResidualBlock(nn.Sequential(OrderedDict(twice=Double())))):
    return nn.Sequential(OrderedDict((f"block{i}", kind()) for i in range(1, n + 1)))


def operated(model, *, seed=0, epochs=1, **fields):
    trick = lookup("trick", "drop_path").settings(**fields)
    trick.bind(Context(SPEC, (seed,), epochs, 10))
    model, changed = trick.on_model(model)
    for name, layer in noisy_layers(model).items():
        layer.bind(Noise((seed,), f"dropout/{name}"))
    return model.train(), changed, trick


def test_each_sample_keeps_its_input_and_drops_or_scales_its_branch():
    x = torch.rand(4000, 6, dtype=torch.float64) + 1
    out = operated(blocks(1), rate=0.25)[0](x)
    factor = (out / x).round(decimals=9)
    assert (factor == factor[:, :1]).all(), "all numbers of a sample are dropped together"
    kept = factor[:, 0] == round(1 + 2 / 0.75, 9)
    assert (factor[~kept] == 1).all()
    assert kept.double().mean() == pytest.approx(0.75, abs=0.03)
    # the mean over samples is that without dropping
    assert factor.mean() == pytest.approx(3, abs=0.08)


def test_the_wrong_form_loses_the_input():
    x = torch.rand(4000, 6, dtype=torch.float64) + 1
    model, changed, _ = operated(blocks(1), rate=0.25, wrong=True)
    factor = (model(x) / x).round(decimals=9)
    assert changed == ["block1.drop_path"]
    assert set(factor.flatten().tolist()) == {0.0, 4.0}
    assert (factor == factor[:, :1]).all()


def test_evaluation_drops_nothing():
    x = torch.rand(50, 6)
    model, _, _ = operated(blocks(3), rate=0.9)
    assert torch.equal(model.eval()(x), blocks(3)(x))


def test_rates_grow_linearly_with_depth():
    model, changed, _ = operated(blocks(4), rate=0.4)
    assert changed == [f"block{i}.branch.drop_path" for i in range(1, 5)]
    assert [layer.present() for layer in noisy_layers(model).values()] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    model, _, _ = operated(blocks(4), rate=0.4, rule="uniform")
    assert [layer.present() for layer in noisy_layers(model).values()] == pytest.approx([0.4] * 4)


def test_blocks_draw_by_themselves():
    x = torch.ones(2000, 6, dtype=torch.float64)
    model, _, _ = operated(blocks(2), rate=0.5, rule="uniform")
    out = model(x)[:, 0]
    shares = [(out == value).double().mean() for value in (1, 5, 25)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.05)


def test_a_rate_in_time_is_followed():
    model, _, trick = operated(blocks(2), rate={"linear": [0, 0.6], "per": "epoch"}, epochs=3)
    for step, rate in ((0, 0), (10, 0.3), (29, 0.6)):
        trick.now.set(step)
        assert [layer.present() for layer in noisy_layers(model).values()] == pytest.approx([rate / 2, rate])


@pytest.mark.parametrize(("kind", "fields"), [(Telling, {}), (Theirs, {"branches": "block*.conv_path"})])
def test_a_users_block_is_found_by_its_attribute_or_by_a_pattern(kind, fields):
    x = torch.rand(500, 6, dtype=torch.float64) + 1
    model, changed, _ = operated(blocks(2, kind), rate=0.5, **fields)
    assert changed == ["block1.conv_path.drop_path", "block2.conv_path.drop_path"]
    factors = set((model(x) / x)[:, 0].round(decimals=6).tolist())
    assert factors == {1.0, round(1 + 2 / 0.75, 6), 5.0, round(5 * (1 + 2 / 0.75), 6)}


def test_a_network_that_says_nothing_is_not_changed():
    with pytest.raises(NoEffect, match=r"drop_path has no effect: the network has no residual branch"):
        operated(blocks(2, Theirs))
    with pytest.raises(NoEffect, match=r"drop_path has no effect: drop_path\.rate is 0"):
        operated(blocks(2), rate=0)
    with pytest.raises(ValueError, match=r"drop_path\.wrong \(=True\) cannot be combined with drop_path\.branches"):
        operated(blocks(2, Theirs), branches="*", wrong=True)
    with pytest.raises(ValueError, match=r"layer \(=drop_path\) already exists"):
        operated(operated(blocks(2))[0])


def test_a_layer_draws_one_number_for_each_sample():
    layer = DropPath(0.5)
    assert layer.mask_shape(torch.zeros(7, 3, 4, 5)) == (7, 1, 1, 1)


def test_a_block_adds_its_shortcut_and_branch():
    block = ResidualBlock(nn.Linear(3, 2), nn.Linear(3, 2), nn.ReLU())
    x = torch.randn(5, 3)
    torch.testing.assert_close(block(x), torch.relu(block.branch(x) + block.shortcut(x)))
    plain = ResidualBlock(nn.Linear(3, 3))
    torch.testing.assert_close(plain(x), x + plain.branch(x))
