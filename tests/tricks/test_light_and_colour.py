"""Noise, brightness, contrast and colour noise: their distributions, against NumPy; what is not chosen stays bit-equal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ablate.data.dataset import Batch, Part, Parts, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.colour_pca import colour_axes
from ablate.tricks.trick import Context

MEANS = np.array([0.3, 0.5, 0.7])[:, None, None]
SPEC = Spec((3, 6, 7), 4, "classification")


def colourful(n, seed=0):
    """Pictures (n, 3, 6, 7) whose channels vary together."""
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(3, 3))
    return torch.tensor(np.einsum("ij,njhw->nihw", mixing, draw.normal(size=(n, 3, 6, 7))) + MEANS)


def applied(name, images, *, step=0, train=None, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(SPEC, (0,), 1, 10))
    part = Part(images if train is None else train, torch.zeros(len(images), dtype=torch.int64))
    trick.on_data(Parts(part, part, SPEC))
    trick.now.set(step)
    targets = torch.arange(len(images))
    out = trick.on_batch(Batch(images, targets, targets, SPEC), Noise((0,), "x"))
    assert torch.equal(out.targets, targets)
    return out.inputs


@pytest.mark.parametrize("name", ["noise", "brightness", "contrast", "colour_pca"])
def test_a_share_is_changed_and_the_rest_is_bit_equal(name):
    images = colourful(40)
    kept = images.clone()
    out = applied(name, images, share=0.25)
    assert (out != images).flatten(1).any(1).sum() == 10
    assert torch.equal(images, kept)


@pytest.mark.parametrize(
    ("name", "field"),
    [("noise", "deviation"), ("brightness", "amount"), ("contrast", "by"), ("colour_pca", "deviation")],
)
def test_a_scheduled_strength_is_followed(name, field):
    images = colourful(40)
    moved = [
        (applied(name, images, step=step, **{field: {"linear": [0, 0.4]}}) - images).abs().mean() for step in (0, 4, 9)
    ]
    assert moved[0] < 1e-12
    assert 0 < moved[1] < moved[2]


def test_noise_is_normal_with_its_deviation():
    added = applied("noise", torch.zeros(2000, 3, 6, 7).double(), deviation=0.3)
    assert added.mean().abs() < 0.005
    assert added.std() == pytest.approx(0.3, rel=0.01)
    assert (added.abs() < 0.3).double().mean() == pytest.approx(0.6827, abs=0.01)


def test_brightness_is_one_even_number_for_a_picture():
    images = colourful(4000)
    added = applied("brightness", images, amount=0.5) - images
    spread = added.flatten(1).amax(1) - added.flatten(1).amin(1)
    assert spread.max() < 1e-12
    counts, _ = np.histogram(added[:, 0, 0, 0].numpy(), 8, (-0.5, 0.5))
    assert counts.sum() == 4000
    # chi-squared with 7 degrees of freedom is below 30 but once in 10,000
    assert ((counts - 500) ** 2 / 500).sum() < 30


def test_contrast_keeps_the_mean_and_stretches_by_a_factor_even_in_the_logarithm():
    images = colourful(2000)
    out = applied("contrast", images, by=0.5).numpy().reshape(2000, -1)
    before = images.numpy().reshape(2000, -1)
    np.testing.assert_allclose(out.mean(1), before.mean(1), atol=1e-12)
    factors = out.std(1) / before.std(1)
    assert 1 / 1.5 - 1e-9 <= factors.min() < 0.67
    assert 1.49 < factors.max() <= 1.5 + 1e-9
    assert abs(np.log(factors).mean()) < 0.02
    np.testing.assert_allclose(
        out - out.mean(1, keepdims=True), (before - before.mean(1, keepdims=True)) * factors[:, None], atol=1e-9
    )


def test_colour_axes_are_numpys_principal_axes():
    images = colourful(600)
    axes = colour_axes(images).numpy()
    colours = images.numpy().transpose(0, 2, 3, 1).reshape(-1, 3)
    np.testing.assert_allclose(axes.T @ axes, np.cov(colours.T, bias=True), rtol=1e-9)
    np.testing.assert_allclose(axes @ axes.T, np.diag(np.linalg.eigvalsh(np.cov(colours.T, bias=True))), atol=1e-9)


def test_colour_noise_has_the_training_colours_covariance_times_the_deviation_squared():
    train, images = colourful(300), colourful(20000, seed=1)
    added = applied("colour_pca", images, train=train, deviation=0.2) - images
    assert (added - added[:, :, :1, :1]).abs().max() < 1e-12
    colours = train.numpy().transpose(0, 2, 3, 1).reshape(-1, 3)
    expected = np.cov(colours.T, bias=True) * 0.04
    np.testing.assert_allclose(np.cov(added[:, :, 0, 0].numpy().T), expected, atol=0.05 * np.abs(expected).max())


def test_colours_of_bytes_are_those_of_the_batches():
    images = torch.randint(0, 256, (50, 3, 6, 7), dtype=torch.uint8)
    part = Part(images, torch.zeros(50))
    trick = lookup("trick", "colour_pca").settings()
    trick.bind(Context(SPEC, (0,), 1, 1))
    trick.on_data(Parts(part, part, SPEC))
    torch.testing.assert_close(trick._axes, colour_axes(images.double() / 255), rtol=1e-5, atol=1e-6)


def test_streamed_pictures_have_no_covariance():
    part = Part(dataset=TensorDataset(torch.rand(3, 3, 6, 7), torch.zeros(3)))
    trick = lookup("trick", "colour_pca").settings()
    trick.bind(Context(SPEC, (0,), 1, 1))
    with pytest.raises(
        ValueError, match=r"trick \(=colour_pca\) needs data in memory; the train part \(=TensorDataset\) is streamed"
    ):
        trick.on_data(Parts(part, part, SPEC))


def test_tokens_take_no_noise():
    spec = Spec((5,), 4, "classification")
    trick = lookup("trick", "noise").settings()
    trick.bind(Context(spec, (0,), 1, 1))
    tokens = torch.ones(3, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"trick \(=noise\) needs inputs that are measurements; they are torch\.int64"):
        trick.on_batch(Batch(tokens, tokens, tokens, spec), Noise((0,), "x"))


def test_noise_is_for_tables_too():
    spec = Spec((5,), 4, "classification")
    trick = lookup("trick", "noise").settings(share=0.5)
    trick.bind(Context(spec, (0, 1), 1, 1))
    table = torch.zeros(2, 8, 5)
    out = trick.on_batch(Batch(table, table, table, spec), Noise((0, 1), "x")).inputs
    assert (out != 0).any(-1).sum(-1).tolist() == [4, 4]
