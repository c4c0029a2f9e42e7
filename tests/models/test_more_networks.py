"""Networks of residual and inception blocks, for masks, and autoencoders: sizes, shapes, stacks, receptive fields."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ablate.layers.branches import Branches, GlobalAttentionUpsample, ResidualBlock, ResizedToInput
from ablate.layers.stacked_network import StackedNetwork
from ablate.models.receptive_field import receptive_field
from ablate.registry import lookup


def made(name, shape, outputs, **fields):
    return lookup("model", name).settings(**fields).build(shape, outputs)


def parameters(model):
    return sum(p.numel() for p in model.parameters())


IMAGENET = {"channels": [64, 128, 256, 512], "stem_kernel": 7, "stem_stride": 2, "stem_pool": True}


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"blocks": 2}, 11_689_512),
        ({"blocks": [3, 4, 6, 3]}, 21_797_672),
        ({"blocks": [3, 4, 6, 3], "bottleneck": True}, 25_557_032),
    ],
    ids=["resnet18", "resnet34", "resnet50"],
)
def test_resnets_have_the_parameters_of_torchvisions(fields, count):
    with torch.device("meta"):
        assert parameters(made("resnet", (3, 224, 224), 1000, **IMAGENET, **fields)) == count


def test_the_first_block_of_googlenet_has_its_parameters():
    # 192 maps; 64, 96→128, 16→32, 32 with biases: 12352 + 18528 + 110720 + 3088 + 12832 + 6176
    model = made("inception", (3, 16, 16), 10, stem=192, blocks=[(64, 96, 128, 16, 32, 32)], batch_norm=False)
    assert parameters(model.block1) == 163_696
    assert model.block1(torch.rand(1, 192, 16, 16)).shape == (1, 256, 16, 16)


def test_a_unet_of_two_levels_has_its_parameters():
    model = made("unet", (1, 8, 8), 2, channels=[3, 4], convolutions=1, batch_norm=False)
    # 3×3 convolutions 1→3, 3→4, 6→3; transposed 2×2 4→3; 1×1 3→2
    assert parameters(model) == (9 * 3 + 3) + (27 * 4 + 4) + (54 * 3 + 3) + (16 * 3 + 3) + (3 * 2 + 2)


@pytest.mark.parametrize("head", ["plain", "ppm", "aspp", "fpn", "pan"])
def test_heads_have_their_parameters(head):
    fields = {
        "channels": [4, 6],
        "convolutions": 1,
        "width": 5,
        "bins": [1, 2],
        "dilations": [1, 2],
        "batch_norm": False,
    }
    backbone = (9 * 4 + 4) + (36 * 6 + 6)
    fpa = (6 * 49 + 1) * 5 + (5 * 49 + 1) * 5 + 2 * (5 * 25 + 1) * 5 + 2 * (5 * 9 + 1) * 5 + 2 * (6 + 1) * 5
    own = {
        "plain": 7 * 2,
        "ppm": 2 * (6 * 3 + 3) + (12 + 1) * 2,
        "aspp": (6 + 1) * 5 + 2 * (6 * 9 + 1) * 5 + (6 + 1) * 5 + (20 + 1) * 5 + 6 * 2,
        "fpn": (6 + 1) * 5 + (4 + 1) * 5 + (5 * 9 + 1) * 5 + 6 * 2,
        "pan": fpa + (4 * 9 + 1) * 5 + (5 + 1) * 5 + 6 * 2,
    }
    assert parameters(made("fcn", (1, 12, 12), 2, head=head, **fields)) == backbone + own[head]


SHAPES = [(2, 24), (3, 16, 13), (1, 8, 8, 9)]
SMALL = {
    "resnet": [
        {"channels": [4, 6]},
        {"channels": [4], "bottleneck": True, "spp": [1, 2]},
        {"channels": [4], "residual": False},
    ],
    "inception": [{"stem": 4, "blocks": [(2, 2, 3, 1, 2, 2)]}],
    "unet": [
        {"channels": [4, 6, 8]},
        {"channels": [4, 6], "up": "linear", "batch_norm": False},
        {"channels": [4, 6], "up": "nearest", "skips": False},
    ],
    "fcn": [{"channels": [4, 6, 8], "width": 5, "head": head} for head in ("plain", "ppm", "aspp", "fpn", "pan")],
    "autoencoder": [{}],
    "convnet": [
        {"channels": [4], "lrn": 3, "spp": [1, 2], "pool": "average", "hidden": [5]},
        {"channels": [4, 5], "pool": "strided", "padding": "same", "activation": "prelu", "hidden": [5]},
    ],
}
CASES = [pytest.param(name, fields, id=f"{name}-{i}") for name, many in SMALL.items() for i, fields in enumerate(many)]


@pytest.mark.parametrize(("name", "fields"), CASES)
@pytest.mark.parametrize("shape", SHAPES, ids=["signal", "picture", "volume"])
def test_shapes_of_what_comes_out(name, fields, shape):
    model = made(name, shape, 3, **fields)
    places = shape[1:] if lookup("model", name).settings.places else ()
    assert model(torch.rand(2, *shape)).shape == (2, 3, *places)


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_seeds_stack(name, fields):
    shape = (2, 12, 9)
    init = lookup("init", "he_normal").settings()
    networks = []
    for seed in range(3):
        networks.append(made(name, shape, 3, **fields).double())
        init.apply(networks[-1], seed)
    stack = StackedNetwork(networks)
    x = torch.rand(4, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stack.train()
    together = stack(x.expand(3, *x.shape).contiguous())
    together.square().mean().backward()
    for i, network in enumerate(networks):
        alone = network.train()(x)
        torch.testing.assert_close(together[i], alone, rtol=1e-9, atol=1e-11)
        (alone.square().mean() / 3).backward()
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(stack.parameters[key].grad[i], parameter.grad, rtol=1e-7, atol=1e-9)
    stack.train(False)
    for i, network in enumerate(networks):
        torch.testing.assert_close(stack(x, shared=True)[i], network.eval()(x), rtol=1e-9, atol=1e-11)


def test_an_autoencoder_of_pictures_gives_the_sample_flattened():
    model = made("autoencoder", (2, 12, 9), 216, channels=[4, 5], hidden=[20], code=6)
    assert model(torch.rand(3, 2, 12, 9)).shape == (3, 216)
    assert model.code.out_features == 6
    # 2 → 4 → 5 maps, then 3×2 pixels of 5 maps → 20 → 6 → 20 → 30, and back 5 → 4 → 2
    dense = 30 * 20 + 20 + 20 * 6 + 6 + 6 * 20 + 20 + 20 * 30 + 30
    assert parameters(model) == (18 * 4 + 4) + (36 * 5 + 5) + dense + (45 * 4 + 4) + (36 * 2 + 2)
    encoder = made("convnet", (2, 12, 9), 7, channels=[4, 5], padding="same", hidden=[20]).state_dict()
    same = {key for key, value in model.state_dict().items() if key in encoder and value.shape == encoder[key].shape}
    assert same >= {"conv1.weight", "conv2.weight", "hidden1.weight"}


WRONG = [
    ("resnet", {}, (5,), r"model \(=resnet\) expects inputs of shape"),
    (
        "resnet",
        {"channels": [2, 2, 2, 2, 2]},
        (1, 8, 8),
        r"model\.channels \(4 halvings in resnet\) must leave at least one pixel of the 8x8",
    ),
    ("unet", {}, (5,), r"model \(=unet\) expects inputs of shape"),
    ("fcn", {"channels": [2] * 5}, (1, 8, 8), r"model\.channels \(4 halvings in fcn\)"),
    ("inception", {}, (5,), r"model \(=inception\) expects inputs of shape"),
    (
        "autoencoder",
        {"channels": [2]},
        (1, 8, 8),
        r"model\.channels \(=\[2\]\) requires 64 outputs",
    ),
]


@pytest.mark.parametrize(("name", "fields", "shape", "message"), WRONG)
def test_what_does_not_fit_is_said_in_one_line(name, fields, shape, message):
    with pytest.raises(ValueError, match=message) as error:
        made(name, shape, 3, **fields)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet", {"kernel": 2}),
        ("resnet", {"blocks": [1, 2]}),
        ("inception", {"halve": [3]}),
        ("fcn", {"head": "none"}),
    ],
)
def test_impossible_settings_are_refused(name, fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        lookup("model", name).settings(**fields)


# receptive fields


def linear(layer):
    """The same network with positive weights and nothing that hides a gradient."""
    for name, child in list(layer._modules.items()):
        if isinstance(child, nn.MaxPool2d):
            child = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, child.ceil_mode)
        elif type(child).__module__.endswith(("activation", "batchnorm")):
            child = nn.Identity()
        layer._modules[name] = linear(child)
    for parameter in layer.parameters(recurse=False):
        nn.init.constant_(parameter, 0.1)
    return layer


def reached(model, side, until=None):
    """The largest extent of the pixels that units in the middle of the output depend on."""
    picture = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    out = model.double()(picture)
    middle, largest = out.shape[2] // 2, 0
    for place in range(middle, min(middle + 8, out.shape[2])):
        (gradient,) = torch.autograd.grad(out[0, :, place, place].sum(), picture, retain_graph=True)
        pixels = gradient[0, 0].abs().sum(1).nonzero()
        largest = max(largest, int(pixels.max() - pixels.min()) + 1)
    return largest


FIELDS = [
    ("resnet", {"channels": [2, 2], "blocks": 1}),
    ("resnet", {"channels": [2, 2, 2], "blocks": [1, 2, 1], "bottleneck": True, "stem_kernel": 5, "stem_stride": 2}),
    ("resnet", {"channels": [2, 2], "blocks": 1, "residual": False, "stem_pool": True}),
    ("inception", {"stem": 2, "blocks": [(1, 1, 1, 1, 1, 1)] * 2}),
    ("unet", {"channels": [2, 2, 2], "convolutions": 1}),
    ("unet", {"channels": [2, 2], "up": "linear"}),
    ("unet", {"channels": [2, 2, 2], "up": "nearest", "convolutions": 1}),
    ("fcn", {"channels": [2, 2, 2], "convolutions": 1}),
    ("fcn", {"channels": [2, 2, 2], "convolutions": 1, "head": "fpn", "width": 2}),
]


@pytest.mark.parametrize(("name", "fields"), FIELDS, ids=[f"{name}-{i}" for i, (name, _) in enumerate(FIELDS)])
def test_receptive_fields_are_the_extent_of_the_gradient(name, fields):
    model = made(name, (1, 128, 128), 2, **fields)
    found = receptive_field(model)
    layers = [layer for layer in model if not isinstance(layer, nn.Flatten | nn.Linear | nn.AdaptiveAvgPool2d)]
    assert found == (reached(linear(nn.Sequential(*layers)), 128),) * 2


@pytest.mark.parametrize("head", ["ppm", "aspp", "pan"])
def test_heads_that_pool_the_whole_picture_have_no_field(head):
    assert receptive_field(made("fcn", (1, 64, 64), 2, head=head)) is None


def test_spatial_pyramid_pools_end_the_counting():
    plain, pyramid = (
        made("resnet", (1, 32, 32), 2, channels=[2], blocks=1, **fields) for fields in ({}, {"spp": [1, 2]})
    )
    assert receptive_field(pyramid) == receptive_field(plain) == (7, 7)


# the blocks


def test_spatial_pyramid_pooling_against_its_definition():
    model = made("resnet", (1, 8, 8), 2, channels=[3], blocks=1, spp=[1, 2])
    x = torch.rand(2, 3, 8, 8)
    whole, quarters = x.amax((2, 3)), x.unfold(2, 4, 4).unfold(3, 4, 4).amax((4, 5)).flatten(1)
    torch.testing.assert_close(model.pool(x), torch.cat([whole, quarters], 1))
    assert model.output.in_features == 3 * 5


def test_branches():
    x = torch.rand(2, 3, 6, 6)
    same, half = nn.Identity(), nn.AvgPool2d(2)
    grown = nn.functional.interpolate(half(x), size=(6, 6), mode="bilinear")
    torch.testing.assert_close(Branches({"a": same, "b": half})(x), torch.cat([x, grown], 1))
    torch.testing.assert_close(Branches({"a": same, "b": half}, "sum")(x), x + grown)
    torch.testing.assert_close(Branches({"a": same, "b": half}, "product")(x), x * grown)
    torch.testing.assert_close(ResizedToInput(half)(x), grown)
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Sigmoid())
    expected = x * gate(half(x)) + grown
    torch.testing.assert_close(GlobalAttentionUpsample(same, half, gate)(x), expected)


def test_residual_blocks_say_so():
    model = made("resnet", (1, 8, 8), 2, channels=[4, 6], blocks=2)
    assert sum(isinstance(layer, ResidualBlock) for layer in model.modules()) == 4
    plain = made("resnet", (1, 8, 8), 2, channels=[4, 6], blocks=2, residual=False)
    assert not any(isinstance(layer, ResidualBlock) for layer in plain.modules())
    shortcuts = sum(p.numel() for name, p in model.named_parameters() if ".shortcut." in name)
    assert parameters(model) - parameters(plain) == shortcuts == 4 * 6 + 2 * 6
