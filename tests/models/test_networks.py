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
        (CONVNET(channels=[4], kernels=9), (1, 8, 8), r"model\.kernels \(=9 in conv1\) must be at most the 8x8"),
        (CONVNET(channels=[4, 4, 4, 4], pools=1), (1, 8, 8), r"model\.kernels \(=3 in conv4\) must be at most the 2x2"),
        (CONVNET(channels=[4], pools=7), (1, 8, 8), r"model\.pools \(=7 after conv1\) must be at most the 6x6"),
        (CONVNET(), (64,), r"model \(=convnet\) needs samples .* Use the model mlp"),
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
    with pytest.raises(
        MemoryError, match=r"^model\.(hidden|channels) \(=\[10+\]\) makes .* parameters, which need .* GiB"
    ):
        settings.build((1, 8, 8), 2)


def test_the_meta_device_counts_what_no_machine_holds():
    assert parameters(on_meta(MLP(hidden=[10**12]), (1,), 1)) == 3 * 10**12 + 1
    with pytest.raises(MemoryError):
        on_meta(MLP(hidden=[10**30]), (1,), 1)
