"""Dropout: where it is put, what it does to numbers, whose random numbers it takes."""

from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ablate.data.dataset import Spec
from ablate.layers.dropout import NoisyDropout, draw_masks, handed_in, mask_shapes, noisy_layers, replace_dropout
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, NoEffect

DROPOUT = lookup("trick", "dropout").settings
CONVNET, MLP = (lookup("model", name).settings for name in ("convnet", "mlp"))
DIGITS = Spec((1, 8, 8), 3, "classification")


def put(model, epochs=10, **fields):
    trick = DROPOUT(**fields)
    trick.bind(Context(DIGITS, (0,), epochs, 1))
    return trick, *trick.on_model(model)


def bind(model, seeds=(0,), *, stacked=False):
    for name, layer in noisy_layers(model).items():
        layer.bind(Noise(seeds, f"dropout/{name}", stacked=stacked))
    return model


def layer(p, seed=0, **options):
    new = NoisyDropout(p, **options).train()
    new.bind(Noise((seed,), "dropout/x"))
    return new


# the layer


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_mean_and_variance(p):
    x = torch.full((1000, 200), 3.0, dtype=torch.float64)
    out = layer(p)(x)
    n = x.numel()
    assert out.unique().tolist() == pytest.approx([0, 3 / (1 - p)], rel=1e-15)
    # of a unit: mean x, variance x² p/(1 − p); five standard errors
    variance = 9 * p / (1 - p)
    assert out.mean().item() == pytest.approx(3, abs=5 * (variance / n) ** 0.5)
    assert out.var().item() == pytest.approx(variance, rel=0.02)


def test_off_in_evaluation_and_where_the_rate_is_zero():
    x = torch.rand(5, 7)
    assert torch.equal(layer(0.5).eval()(x), x)
    assert torch.equal(layer(0.0)(x), x)


def test_whole_channels():
    out = layer(0.5, channelwise=True)(torch.ones(50, 20, 4, 4)).flatten(2)
    assert ((out == 0).all(2) | (out == 2).all(2)).all()
    assert 0.4 < (out == 0).double().mean() < 0.6


def test_gradients_pass_where_units_are_kept():
    x = torch.ones(100, dtype=torch.float64, requires_grad=True)
    out = layer(0.5)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_type_stays_and_the_mask_does_not_depend_on_it(dtype):
    out = layer(0.5)(torch.ones(4, 9, dtype=dtype))
    assert out.dtype == dtype
    assert torch.equal(out.double(), layer(0.5)(torch.ones(4, 9)).double())


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_rates_of_a_layer_are_checked(p):
    with pytest.raises(ValueError, match=r"p \(=.*\) must be at least 0 and less than 1"):
        NoisyDropout(p)


def test_without_a_stream_it_draws_from_torch():
    torch.manual_seed(0)
    first = NoisyDropout(0.5)(torch.ones(50))
    torch.manual_seed(0)
    assert torch.equal(NoisyDropout(0.5)(torch.ones(50)), first)


class Twice(nn.Module):
    """The same dropout layer used at two places, as in much of users' code."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.dropout = nn.Linear(6, 8), nn.Linear(8, 4), NoisyDropout(0.5)

    def forward(self, x):
        return self.dropout(self.second(self.dropout(torch.relu(self.first(x)))))


def convnet_with_norm():
    model = CONVNET(channels=[4], hidden=[5], batch_norm=True).build((1, 8, 8), 3)
    return put(model, conv=0.2, hidden=0.5)[1]


@pytest.mark.parametrize(
    ("model", "shape"), [(Twice(), (6,)), (convnet_with_norm(), (1, 8, 8))], ids=["used twice", "convnet"]
)
def test_a_stack_equals_its_seeds_one_by_one(model, shape):
    seeds = (3, 1, 4)
    model = model.double().train()
    models = [copy.deepcopy(model) for _ in seeds]
    inputs = torch.rand(len(seeds), 9, *shape, dtype=torch.float64)
    parameters, buffers = torch.func.stack_module_state(models)
    base = bind(copy.deepcopy(model), seeds)
    state = {name: value.clone() for name, value in base.state_dict().items()}
    shapes = mask_shapes(base, inputs[0])
    assert base.training
    assert all(torch.equal(value, state[name]) for name, value in base.state_dict().items())

    def forward(parameters, buffers, inputs, masks):
        with handed_in(base, masks):
            return torch.func.functional_call(base, (parameters, buffers), (inputs,))

    masks = draw_masks(base, shapes, torch.float64)
    stacked = torch.vmap(forward)(parameters, buffers, inputs, masks)
    for i, seed in enumerate(seeds):
        alone = bind(models[i], (seed,))(inputs[i])
        torch.testing.assert_close(stacked[i], alone, rtol=0, atol=1e-12)
    assert all(layer.masks is None for layer in noisy_layers(base).values())


# the users' own layers


def test_dropout_of_the_users_is_replaced_under_its_name():
    shared = nn.Dropout(0.3)
    model = nn.Sequential(
        OrderedDict(
            a=nn.Linear(4, 4),
            drop=shared,
            inner=nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout2d(0.2)),
            again=shared,
            alpha=nn.AlphaDropout(),
        )
    )
    keys = list(model.state_dict())
    assert replace_dropout(model) == ["drop", "again", "inner.1"]
    assert list(model.state_dict()) == keys
    assert isinstance(model.drop, NoisyDropout)
    assert model.drop is model.again
    assert (model.drop.p, model.drop.channelwise) == (0.3, False)
    assert (model.inner[1].p, model.inner[1].channelwise) == (0.2, True)
    assert isinstance(model.alpha, nn.AlphaDropout)
    assert replace_dropout(model) == []


# the surgery


def test_layers_go_behind_pools_and_hidden_activations_and_names_stay():
    model = CONVNET(channels=[4, 8], kernels=[3, 1], hidden=[6, 5]).build((1, 8, 8), 3)
    before = dict(model.named_children())
    _, after, names = put(model, conv=0.1, hidden=0.5)
    assert names == ["pool1_dropout", "pool2_dropout", "hidden1_dropout", "hidden2_dropout"]
    assert " ".join(dict(after.named_children())) == (
        "conv1 conv_act1 pool1 pool1_dropout conv2 conv_act2 pool2 pool2_dropout flatten "
        "hidden1 hidden_act1 hidden1_dropout hidden2 hidden_act2 hidden2_dropout output"
    )
    assert all(dict(after.named_children())[name] is module for name, module in before.items())


def test_a_list_gives_each_layer_its_rate():
    _, model, _ = put(CONVNET(channels=[4, 8], kernels=1).build((1, 8, 8), 3), conv=[0.1, 0.2], hidden=[0.5])
    assert [layer.present() for layer in noisy_layers(model).values()] == [0.1, 0.2, 0.5]


def test_a_zero_in_a_list_puts_no_layer_there():
    _, _, names = put(CONVNET(channels=[4, 8], kernels=1).build((1, 8, 8), 3), conv=[0.0, 0.2], hidden=0)
    assert names == ["pool2_dropout"]


def test_sequentials_inside_the_users_network_are_found_and_layers_used_twice_stay():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            relu = nn.ReLU()
            self.features = nn.Sequential(nn.Conv2d(1, 2, 3), relu, nn.AvgPool2d(2))
            self.head = nn.Sequential(nn.Linear(18, 7), nn.LayerNorm(7), relu, nn.Linear(7, 7), relu, nn.Linear(7, 3))

        def forward(self, x):
            return self.head(self.features(x).flatten(1))

    plain = Net()
    keys = list(plain.state_dict())
    _, model, names = put(copy.deepcopy(plain), conv=0.1, hidden=0.5)
    assert names == ["features.2_dropout", "head.0_dropout", "head.3_dropout"]
    assert list(model.state_dict()) == keys
    assert [type(layer).__name__ for layer in model.head] == [
        "Linear",
        "LayerNorm",
        "ReLU",
        "NoisyDropout",
        "Linear",
        "ReLU",
        "NoisyDropout",
        "Linear",
    ]
    x = torch.rand(2, 1, 8, 8)
    assert torch.equal(model.eval()(x), plain.eval()(x))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"conv": [0.1, 0.2, 0.3]},
            r"dropout\.conv \(=\[0\.1, 0\.2, 0\.3\]\) must be a number, or a list of length 1 with one number per pooling layer",
        ),
        (
            {"hidden": [0.1, {"linear": [0, 0.5]}]},
            r"dropout\.hidden \(=\[0\.1, .*\) must be a number, or a list of length 1 with one number per hidden activation",
        ),
    ],
)
def test_lists_of_another_length_are_refused(fields, message):
    with pytest.raises(ValueError, match=message) as error:
        put(CONVNET(channels=[4], hidden=[5]).build((1, 8, 8), 3), **fields)
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, NoEffect)


@pytest.mark.parametrize(
    ("model", "fields"),
    [(nn.Linear(3, 2), {}), (nn.Sequential(nn.Linear(3, 2)), {}), (MLP().build((4,), 2), {"hidden": 0.0})],
)
def test_no_layer_is_no_effect(model, fields):
    with pytest.raises(NoEffect, match="dropout has no effect"):
        put(model, **fields)


@pytest.mark.parametrize(
    "fields", [{"hidden": 1.0}, {"hidden": -0.1}, {"conv": [0.1, 1.2]}, {"hidden": {"linear": [0, 1]}}]
)
def test_rates_out_of_range_are_refused(fields):
    with pytest.raises(ValidationError, match=r"less than 1|at least 0"):
        DROPOUT(**fields)


def test_layers_follow_a_schedule_also_in_a_list_and_in_a_copy():
    model = CONVNET(channels=[4, 8], kernels=1, hidden=[5]).build((1, 8, 8), 3)
    trick, model, _ = put(model, epochs=11, conv=[{"linear": [0, 0.5]}, 0.2], hidden={"linear": [0.8, 0]})
    copied = copy.deepcopy(model)
    for step, expected in ((0, [0, 0.2, 0.8]), (5, [0.25, 0.2, 0.4]), (10, [0.5, 0.2, 0])):
        trick.now.set(step)
        for net in (model, copied):
            assert [layer.present() for layer in noisy_layers(net).values()] == pytest.approx(expected)
    assert trick.now.scheduled
    ones = torch.ones(100, 100)
    assert torch.equal(bind(model).hidden1_dropout(ones), ones)


def test_the_keypoint_studys_rates():
    model = CONVNET(channels=[2, 2, 2], kernels=[3, 2, 2], hidden=[5, 5]).build((1, 96, 96), 3)
    _, model, names = put(model, conv=[0.1, 0.2, 0.3], hidden=0.5)
    assert [layer.present() for layer in noisy_layers(model).values()] == [0.1, 0.2, 0.3, 0.5, 0.5]
    assert len(names) == 5


def test_an_activation_behind_the_last_layer_gets_none():
    """Outputs are not dropped, whatever function they pass through."""
    layers = {"hidden": nn.Linear(64, 4), "act": nn.ReLU(), "output": nn.Linear(4, 3), "squashed": nn.Sigmoid()}
    _, model, inserted = put(nn.Sequential(OrderedDict(layers)))
    assert inserted == ["hidden_dropout"]
    assert list(dict(model.named_children())) == ["hidden", "act", "hidden_dropout", "output", "squashed"]
