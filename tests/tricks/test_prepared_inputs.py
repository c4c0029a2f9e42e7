"""Zero-centring and whitening with the training part's numbers, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import lookup
from ablate.tricks.input_scales import fit

AXES = {"feature": (0,), "channel": (0, 2, 3), "all": (0, 1, 2, 3)}


def correlated(n, seed=0):
    """(n, 2, 3, 4) whose 24 numbers vary together."""
    draw = np.random.default_rng(7)
    mixing = draw.normal(size=(24, 24))
    return (np.random.default_rng(seed).normal(size=(n, 24)) @ mixing + draw.normal(size=24)).reshape(n, 2, 3, 4)


def parts(train, valid, test=None):
    made = [None if x is None else Part(torch.as_tensor(x), torch.zeros(len(x))) for x in (train, valid, test)]
    return Parts(made[0], made[1], Spec(tuple(made[0].inputs.shape[1:]), 1, "regression"), made[2])


@pytest.mark.parametrize("per", AXES)
def test_the_training_parts_mean_is_taken_from_all_parts(per):
    arrays = correlated(50), correlated(20, 1), correlated(10, 2)
    out = lookup("trick", "zero_center").settings(per=per).on_data(parts(*arrays))
    mean = arrays[0].mean(AXES[per], keepdims=True)
    for part, array in zip((out.train, out.valid, out.test), arrays, strict=True):
        np.testing.assert_allclose(part.inputs.numpy(), array - mean, atol=1e-12)


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_the_training_part_is_uncorrelated_with_variance_1(kind):
    data = parts(correlated(200), correlated(20, 1))
    kept = data.train.inputs.clone()
    out = lookup("trick", "whitening").settings(kind=kind, epsilon=1e-12).on_data(data)
    white = out.train.inputs.flatten(1).numpy()
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(24), atol=1e-6)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-9)
    assert out.train.inputs.shape == (200, 2, 3, 4)
    assert torch.equal(data.train.inputs, kept)
    assert out.test is None


@pytest.mark.parametrize("kind", ["pca", "zca"])
def test_other_parts_are_whitened_by_the_training_part_as_numpy_would(kind):
    train, valid, test = correlated(100), correlated(30, 1), correlated(5, 2)
    out = lookup("trick", "whitening").settings(kind=kind, epsilon=0.3).on_data(parts(train, valid, test))
    flat = train.reshape(100, 24)
    u, singular, _ = np.linalg.svd(np.cov(flat.T, bias=True))
    if kind == "pca":
        u = u * np.sign(u[np.abs(u).argmax(0), np.arange(24)])
    matrix = u / np.sqrt(singular + 0.3)
    matrix = matrix if kind == "pca" else matrix @ u.T
    for part, array in ((out.valid, valid), (out.test, test)):
        expected = (array.reshape(len(array), 24) - flat.mean(0)) @ matrix
        np.testing.assert_allclose(part.inputs.flatten(1).numpy(), expected, atol=1e-8)


def test_components_come_by_falling_variance():
    train = torch.tensor(correlated(200)).flatten(1)
    _, matrix = fit(train, "pca", 1e-12)
    variances = 1 / matrix.norm(dim=0) ** 2
    assert (variances.diff() <= 0).all()


def test_fewer_samples_than_numbers_stay_finite():
    out = lookup("trick", "whitening").settings().on_data(parts(correlated(10), correlated(5, 1)))
    assert out.train.inputs.isfinite().all()
    assert out.valid.inputs.isfinite().all()


def test_bytes_become_floats():
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (60, 1, 3, 3), dtype=np.uint8)
    for name in ("zero_center", "whitening"):
        out = lookup("trick", name).settings().on_data(parts(pixels, pixels))
        assert out.train.inputs.dtype == torch.float32
        np.testing.assert_allclose(out.train.inputs.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("name", ["zero_center", "whitening"])
def test_streamed_data_and_tokens_are_refused(name):
    trick = lookup("trick", name).settings()
    streamed = Part(dataset=TensorDataset(torch.rand(3, 2), torch.rand(3)))
    with pytest.raises(
        ValueError,
        match=rf"trick \(={name}\) requires data in memory, but the train split \(=TensorDataset\) is streamed",
    ):
        trick.on_data(Parts(streamed, streamed, Spec((2,), 1, "regression")))
    tokens = torch.ones(3, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=rf"trick \(={name}\) requires floating-point inputs"):
        trick.on_data(parts(tokens, tokens))


def test_whitening_of_large_inputs_is_refused():
    large = torch.zeros(2, 20000)
    with pytest.raises(ValueError, match=r"requires at most 16384 values per input, but the inputs have 20000"):
        lookup("trick", "whitening").settings().on_data(parts(large, large))
