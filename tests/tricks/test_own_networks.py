"""Tricks that change the layers of users' networks, against the same networks changed by hand; or why they cannot."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.tricks.trick import Context, NoEffect

IMAGES, TOKENS = Spec((2, 8, 8), 3, "classification"), Spec((5, 8), 3, "classification")


def no_norm(features):
    return nn.Identity()


class Functional(nn.Module):
    """Layers are declared in another order than they are called in, and functions are called in the code."""

    def __init__(self, norm=no_norm, act=F.relu):
        super().__init__()
        self.head, self.act = nn.Linear(6, 3), act
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 6, 3)
        self.norm1, self.norm2 = norm(4), norm(6)

    def forward(self, x):
        x = self.act(self.norm1(self.conv1(x)))
        return self.head(self.act(self.norm2(self.conv2(x))).mean((2, 3)))


class Block(nn.Module):
    """As torchvision's: one activation layer that is called twice."""

    def __init__(self, channels, norm=no_norm, act=nn.ReLU):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.bn1, self.bn2, self.relu = norm(channels), norm(channels), act()

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + x)


class Residual(nn.Module):
    """A ModuleList of blocks."""

    def __init__(self, norm=no_norm, act=nn.ReLU):
        super().__init__()
        self.blocks = nn.ModuleList([Block(2, norm, act) for _ in range(2)])
        self.fc = nn.Linear(2, 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3)))


def sequential(norm=no_norm, act=nn.ReLU):
    layers = {"conv": nn.Conv2d(2, 4, 3), "norm": norm(4), "act": act(), "flat": nn.Flatten(), "out": nn.Linear(144, 3)}
    return nn.Sequential(OrderedDict(layers))


class Transformer(nn.Module):
    def __init__(self, act="relu"):
        super().__init__()
        self.layer, self.out = (
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation=act, batch_first=True),
            nn.Linear(8, 3),
        )

    def forward(self, x):
        return self.out(self.layer(x).mean(1))


class Calls(nn.Module):
    """Functions and a method, and one layer."""

    def __init__(self, layer=True):
        super().__init__()
        self.a, self.b, self.act = nn.Linear(8, 8), nn.Linear(8, 3), nn.ReLU() if layer else nn.Identity()

    def forward(self, x):
        return self.b(torch.relu_(F.leaky_relu(self.act(self.a(x))))).mean(1).tanh()


def bound(name, spec=IMAGES, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(spec, (0,), 1, 1))
    return trick


def same_outputs(changed, by_hand, x):
    """In training and in evaluation mode, with the same weights."""
    missing = by_hand.load_state_dict(changed.state_dict(), strict=False).missing_keys
    assert all("norm" in name or "bn" in name for name in missing)
    for mode in (True, False):
        with torch.no_grad():
            assert torch.equal(changed.train(mode)(x), by_hand.train(mode)(x))


@pytest.mark.parametrize(
    ("make", "act", "names"),
    [
        (Functional, F.tanh, ["act"]),
        (Residual, nn.Tanh, ["blocks.0.relu", "blocks.1.relu"]),
        (sequential, nn.Tanh, ["act"]),
    ],
)
def test_activations_of_every_kind_of_network(make, act, names):
    trick = bound("activation")
    changed, found = trick.on_model(make())
    assert found == names
    assert not trick.notes()
    same_outputs(changed, make(act=act), torch.randn(4, 2, 8, 8))


@pytest.mark.parametrize("act", ["relu", "gelu", nn.ReLU()])
def test_activation_of_a_transformer_also_in_the_fast_path_of_evaluation(act):
    changed, found = bound("activation", TOKENS).on_model(Transformer(act))
    assert found == ["layer.activation"]
    same_outputs(changed, Transformer(nn.Tanh()), torch.randn(4, 5, 8))


def test_calls_of_functions_are_reported():
    trick = bound("activation", TOKENS)
    _, found = trick.on_model(Calls())
    assert found == ["act"]
    (note,) = trick.notes()
    assert "leaky_relu() in Calls, relu() in Calls" in note
    assert "tanh" not in note.replace("activation", "")
    with pytest.raises(NoEffect, match=r"calls leaky_relu\(\) in Calls, relu\(\) in Calls.* layer"):
        bound("activation", TOKENS).on_model(Calls(layer=False))


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (Functional, ["conv1.norm", "conv2.norm"]),
        (Residual, [f"blocks.{i}.conv{j}.norm" for i in range(2) for j in (1, 2)]),
        (sequential, ["conv_norm"]),
    ],
)
def test_norms_of_every_kind_of_network(make, names):
    trick = bound("batch_norm")
    plain = make()
    keys = list(plain.state_dict())
    changed, found = trick.on_model(plain)
    assert found == names
    assert set(keys) <= set(changed.state_dict())
    assert not trick.notes()
    same_outputs(changed, make(norm=nn.BatchNorm2d), torch.randn(4, 2, 8, 8))


@pytest.mark.parametrize("make", [Functional, Residual, sequential])
def test_norms_are_replaced_in_the_order_of_calls(make):
    torch.manual_seed(0)
    changed, found = bound("group_norm", groups=2).on_model(make(norm=nn.BatchNorm2d))
    assert len(found) == sum(isinstance(layer, nn.GroupNorm) for layer in changed.modules())
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in changed.modules())
    same_outputs(changed, make(norm=lambda features: nn.GroupNorm(2, features)), torch.randn(4, 2, 8, 8))


def test_layers_of_torchs_own_modules_are_left_out():
    for name in ("batch_norm", "group_norm", "layer_norm"):
        with pytest.raises(NoEffect, match=r"layer.linear1, layer.linear2 \(in TransformerEncoderLayer\)"):
            bound(name, TOKENS).on_model(Transformer())


class Sequences(nn.Module):
    def __init__(self, norm=no_norm):
        super().__init__()
        self.a, self.norm, self.b, self.out = nn.Linear(8, 8), norm(8), nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(self.b(self.norm(self.a(x)).mean(1)))


def test_batch_norm_leaves_out_sequences_and_says_so():
    trick = bound("batch_norm", TOKENS)
    changed, found = trick.on_model(Sequences())
    assert found == ["b.norm"]
    assert changed(torch.randn(4, 5, 8)).shape == (4, 3)
    (note,) = trick.notes()
    assert "a (its outputs are (N, 5, 8), not (N, features))" in note


def test_layer_norm_of_sequences():
    changed, found = bound("layer_norm", TOKENS).on_model(Sequences())
    assert found == ["a.norm", "b.norm"]

    class ByHand(Sequences):
        def forward(self, x):
            return self.out(F.layer_norm(self.b(F.layer_norm(self.a(x), (8,)).mean(1)), (6,)))

    same_outputs(changed, ByHand(), torch.randn(4, 5, 8))


class ChannelsLast(nn.Module):
    """As in ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(2, 4, 3), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.out(self.norm(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2)))


def test_a_norm_over_the_last_axis_is_left_alone():
    with pytest.raises(NoEffect, match=r"conv \(the inputs of its LayerNorm are \(N, 6, 6, 4\)"):
        bound("batch_norm").on_model(ChannelsLast())


class Untried(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(2, 4, 3), nn.Linear(4, 3)

    def forward(self, x):
        raise RuntimeError("only on Mondays")


def test_a_network_that_cannot_be_tried():
    with pytest.raises(NoEffect, match=r"conv .*cannot be tried: RuntimeError: only on Mondays"):
        bound("batch_norm").on_model(Untried())


def test_trying_a_network_changes_nothing():
    class Draws(Functional):
        def __init__(self):
            super().__init__(nn.BatchNorm2d)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return super().forward(x + torch.rand(()))

    model = Draws()
    before, random = {n: b.clone() for n, b in model.named_buffers()}, torch.get_rng_state()
    bound("activation").on_model(model)
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())
    assert torch.equal(torch.get_rng_state(), random)


NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs, norm=False):
        super().__init__()
        self.conv, self.out = nn.Conv2d(2, 4, 3), nn.Linear(4, outputs)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
    def forward(self, x):
        return self.out(self.norm(self.conv(x)).relu().mean((2, 3)))
"""


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["alone", "stacked"])
def test_training_equals_that_of_the_network_changed_by_hand(tmp_path: Path, heard, seeds):
    (tmp_path / "nets_with_norms.py").write_text(NETS)
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.rand(40, 2, 8, 8, generator=generator), torch.arange(40) % 3
    data = Parts(Part(inputs, targets), Part(inputs, targets), IMAGES)

    def losses(*tricks, **options):
        def choice(kind, name, **fields):
            return Choice(kind, name, None, lookup(kind, name).settings.model_validate(fields))

        settings = Settings(
            data=choice("data", "digits"),
            model=Choice("model", None, "nets_with_norms:Net", options),
            init=choice("init", "default"),
            loss=choice("loss", "cross_entropy"),
            optimizer=choice("optimizer", "sgd", lr=0.05),
            tricks=[choice("trick", trick) for trick in tricks],
            batch_size=16,
            epochs=2,
            stack=len(seeds),
        )
        report = heard()
        train(Assignment(settings, seeds, tmp_path), data, report)
        assert report.facts.stack == [list(seeds)]
        return [line["valid_loss"] for lines in report.lines.values() for line in lines]

    assert losses("batch_norm") == pytest.approx(losses(norm=True), rel=1e-6)
    assert losses("batch_norm") != pytest.approx(losses(), rel=1e-3)
