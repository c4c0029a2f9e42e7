"""The networks that recipes name: sizes, names, the keypoint study's parameter counts, errors."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from ablate.registry import lookup

MLP, CONVNET = (lookup("model", name).settings for name in ("mlp", "convnet"))
FACE = (1, 96, 96)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def on_meta(settings, shape, outputs):
    with torch.device("meta"):
        return settings.build(shape, outputs)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (MLP(hidden=[100]), 924_730),
        (CONVNET(channels=[32, 64, 128], kernels=[3, 2, 2], hidden=[500, 500]), 8_051_502),
        (CONVNET(channels=[32, 64, 128], kernels=[3, 2, 2], hidden=[1000, 1000]), 16_561_502),
    ],
    ids=["net1", "net2", "net7"],
)
def test_the_keypoint_study_has_its_parameters(settings, count):
    assert parameters(on_meta(settings, FACE, 30)) == count


def test_layers_have_telling_names():
    model = CONVNET(channels=[4, 8], kernels=[3, 1], pools=[2, 1], hidden=[5], batch_norm=True).build((1, 8, 8), 3)
    names = "conv1 norm1 conv_act1 pool1 conv2 norm2 conv_act2 flatten hidden1 hidden_act1 output"
    assert list(dict(model.named_children())) == names.split()
    assert list(dict(MLP(hidden=[5, 4]).build((8,), 3).named_children())) == [
        "flatten",
        "hidden1",
        "act1",
        "hidden2",
        "act2",
        "output",
    ]


@pytest.mark.parametrize("shape", [(7,), (1, 8, 8), (3, 5, 6, 7)])
def test_mlp_takes_samples_of_any_shape(shape):
    assert MLP(hidden=[4]).build(shape, 3)(torch.rand(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(2, 16), (3, 16, 12), (1, 12, 11, 10)])
@pytest.mark.parametrize("padding", ["none", "same"])
def test_convnet_takes_signals_pictures_and_volumes(shape, padding):
    settings = CONVNET(channels=[4, 5], hidden=[6], padding=padding, batch_norm=True)
    model = settings.build(shape, 3)
    assert model(torch.rand(2, *shape)).shape == (2, 3)
    assert parameters(model) == parameters(on_meta(settings, shape, 3))


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "gelu", "silu"])
def test_activations(name):
    layer = MLP(activation=name).build((3,), 1).act1
    x = torch.linspace(-2, 2, 9)
    torch.testing.assert_close(layer(x), getattr(torch.nn.functional, name, getattr(torch, name, None))(x))


def test_no_hidden_layer_is_a_linear_model():
    assert parameters(MLP(hidden=[]).build((4,), 2)) == 10


@pytest.mark.parametrize(
    ("settings", "shape", "message"),
    [
        (
            CONVNET(channels=[4], kernels=9),
            (1, 8, 8),
            r"model\.kernels: the kernel size of conv1 \(=9\) is larger .*\(8x8\)",
        ),
        (
            CONVNET(channels=[4, 4, 4, 4], pools=1),
            (1, 8, 8),
            r"model\.kernels: the kernel size of conv4 \(=3\) is larger .*\(2x2\)",
        ),
        (
            CONVNET(channels=[4], pools=7),
            (1, 8, 8),
            r"model\.pools: the pooling size after conv1 \(=7\) is larger .*\(6x6\)",
        ),
        (CONVNET(), (64,), r"model \(=convnet\) expects inputs of shape .* Use the model mlp"),
    ],
)
def test_sizes_that_do_not_fit_are_said_in_one_line(settings, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        settings.build(shape, 2)
    assert "\n" not in str(error.value)


def test_padding_keeps_the_size_so_that_deeper_networks_fit():
    assert CONVNET(channels=[4, 4, 4], kernels=3, padding="same").build((1, 8, 8), 2)(torch.rand(1, 1, 8, 8)).shape == (
        1,
        2,
    )


@pytest.mark.parametrize("field", ["kernels", "pools"])
def test_lists_must_be_as_long_as_channels(field):
    with pytest.raises(
        ValidationError, match=rf"{field} \(=\[1, 1, 1\]\) must be one number, or one for each of the 2 channels"
    ):
        CONVNET(channels=[4, 4], **{field: [1, 1, 1]})


@pytest.mark.parametrize(
    "fields",
    [{"hidden": [0]}, {"hidden": [-3]}, {"channels": []}, {"channels": [0]}, {"kernels": 0}, {"activation": "sine"}],
)
def test_impossible_sizes_are_refused(fields):
    with pytest.raises(ValidationError):
        CONVNET(**fields)


@pytest.mark.parametrize(
    "settings",
    [
        MLP(hidden=[10**12]),
        MLP(hidden=[10**30]),
        CONVNET(channels=[4], hidden=[10**12]),
        CONVNET(channels=[10**12], hidden=[]),
    ],
)
def test_more_than_the_machine_holds_is_said_before_it_is_allocated(settings):
    with pytest.raises(MemoryError, match=r"^model\.(hidden|channels) \(=\[10+\]\) requires .* GiB for .* parameters"):
        settings.build((1, 8, 8), 2)


def test_the_meta_device_counts_what_no_machine_holds():
    assert parameters(on_meta(MLP(hidden=[10**12]), (1,), 1)) == 3 * 10**12 + 1
    with pytest.raises(MemoryError):
        on_meta(MLP(hidden=[10**30]), (1,), 1)


# pools, norms and sizes


def test_pools_of_other_kinds():
    fields = {"channels": [4, 8], "kernels": [3, 2], "pools": [2, 3], "hidden": [5]}
    average = CONVNET(**fields, pool="average").build((1, 20, 20), 3)
    assert [type(layer).__name__ for name, layer in average.named_children() if "pool" in name] == ["AvgPool2d"] * 2
    assert parameters(average) == parameters(CONVNET(**fields).build((1, 20, 20), 3))
    strided = CONVNET(**fields, pool="strided").build((1, 20, 20), 3)
    assert not any("pool" in name for name, _ in strided.named_children())
    assert (strided.conv1.stride, strided.conv2.stride) == ((2, 2), (3, 3))
    assert strided.conv1.weight.shape == average.conv1.weight.shape
    assert strided(torch.rand(2, 1, 20, 20)).shape == (2, 3)


@pytest.mark.parametrize("padding", ["none", "same"])
@pytest.mark.parametrize("side", [17, 18, 19, 20, 21])
def test_strides_are_counted_as_they_come_out(side, padding):
    settings = CONVNET(channels=[2, 2], kernels=3, pools=[2, 3], hidden=[4], pool="strided", padding=padding)
    model = settings.build((1, side, side + 1), 3)
    assert model(torch.rand(2, 1, side, side + 1)).shape == (2, 3)


def test_a_stride_with_zeros_around_needs_odd_kernels():
    with pytest.raises(
        ValidationError, match=r"kernels \(=2\) must be odd if pool: strided is combined with padding: same"
    ):
        CONVNET(channels=[4], kernels=2, pool="strided", padding="same")


def test_local_response_normalisation_is_alexnets():
    model = CONVNET(channels=[8], lrn=5, hidden=[4]).build((1, 9, 9), 3)
    names = list(dict(model.named_children()))
    assert names[:4] == ["conv1", "conv_act1", "lrn1", "pool1"]
    x = torch.rand(2, 8, 3, 3, dtype=torch.float64)
    near = torch.stack([x[:, max(c - 2, 0) : c + 3].square().sum(1) for c in range(8)], 1)
    torch.testing.assert_close(model.lrn1(x), x / (1 + 1e-4 * near / 5) ** 0.75)


def test_spatial_pyramid_pools_give_as_many_numbers_for_any_picture():
    settings = CONVNET(channels=[4], pools=1, spp=[1, 2, 4], hidden=[5])
    small, large = settings.build((1, 12, 12), 3), settings.build((1, 30, 21), 3)
    assert small.hidden1.in_features == large.hidden1.in_features == 4 * (1 + 4 + 16)
    large.load_state_dict(small.state_dict())
    assert small(torch.rand(2, 1, 30, 21)).shape == (2, 3)


RESNET = lookup("model", "resnet").settings


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (MLP(hidden=[100, 50], parameters=100_000), ("hidden",)),
        (MLP(hidden=[10] * 6, parameters=100_000), ("hidden",)),
        (CONVNET(channels=[8, 16], hidden=[32], parameters=50_000), ("channels", "hidden")),
        (RESNET(channels=[16, 32], parameters=60_000), ("channels",)),
    ],
)
def test_networks_of_equal_parameters(settings, fields):
    model = settings.build((1, 16, 16), 10)
    assert parameters(model) == pytest.approx(settings.parameters, rel=0.05)
    found = settings.sized((1, 16, 16), 10)
    assert parameters(found.build((1, 16, 16), 10)) == parameters(model)
    factors = [b / a for field in fields for a, b in zip(getattr(settings, field), getattr(found, field), strict=True)]
    assert max(factors) / min(factors) < 1.1
    # no other factor comes nearer
    for step in (0.98, 1.02):
        other = found.in_proportion(step)
        if other != found:
            assert abs(parameters(other.build((1, 16, 16), 10)) - settings.parameters) >= abs(
                parameters(model) - settings.parameters
            )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (MLP(hidden=[10], parameters=100), r"model\.parameters \(=100\) must be at least 277"),
        (
            MLP(hidden=[], parameters=10_000),
            r"model\.parameters \(=10000\) cannot be reached",
        ),
    ],
)
def test_parameters_that_cannot_be_had(settings, message):
    with pytest.raises(ValueError, match=message) as error:
        settings.build((1, 16, 16), 10)
    assert "\n" not in str(error.value)
