"""Standardising with the training part's numbers, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import lookup

STANDARDISE = lookup("trick", "standardise").settings
AXES = {"feature": (0,), "channel": (0, 2, 3), "all": (0, 1, 2, 3)}


def parts(train, valid, test=None):
    made = [None if x is None else Part(torch.as_tensor(x), torch.zeros(len(x))) for x in (train, valid, test)]
    return Parts(made[0], made[1], Spec(tuple(made[0].inputs.shape[1:]), 1, "regression"), made[2])


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    scale = draw.uniform(0.1, 50, (1, 3, 4, 5))
    return [draw.normal(7, 1, (n, 3, 4, 5)) * scale for n in (50, 20, 10)]


@pytest.mark.parametrize("per", AXES)
def test_all_parts_take_the_training_parts_numbers(arrays, per):
    out = STANDARDISE(per=per).on_data(parts(*arrays))
    mean, deviation = (f(arrays[0], axis=AXES[per], keepdims=True) for f in (np.mean, np.std))
    for part, array in zip((out.train, out.valid, out.test), arrays, strict=True):
        np.testing.assert_allclose(part.inputs.numpy(), (array - mean) / deviation, rtol=1e-9, atol=1e-9)
    train = out.train.inputs.numpy()
    np.testing.assert_allclose(train.mean(AXES[per]), 0, atol=1e-9)
    np.testing.assert_allclose(train.std(AXES[per]), 1, rtol=1e-9)


def test_nothing_handed_in_changes_and_the_rest_stays(arrays):
    data = parts(*arrays)
    kept = data.train.inputs.clone()
    out = STANDARDISE().on_data(data)
    assert torch.equal(data.train.inputs, kept)
    assert out.spec is data.spec
    assert out.train.targets is data.train.targets


def test_there_may_be_no_test_part(arrays):
    assert STANDARDISE().on_data(parts(*arrays[:2])).test is None


def test_bytes_become_floats():
    draw = np.random.default_rng(0)
    train, valid = (draw.integers(0, 256, (40, 1, 4, 4), dtype=np.uint8) for _ in range(2))
    out = STANDARDISE().on_data(parts(train, valid))
    assert out.train.inputs.dtype == torch.float32
    np.testing.assert_allclose(
        out.valid.inputs, (valid / 255 - train.mean(0) / 255) / (train.std(0) / 255), rtol=1e-4, atol=1e-5
    )


def test_what_is_constant_in_training_is_divided_by_one():
    train, valid = torch.rand(30, 4), torch.rand(5, 4)
    train[:, 2] = 0.1
    valid[:, 2] = 0.6
    out = STANDARDISE().on_data(parts(train, valid))
    torch.testing.assert_close(out.train.inputs[:, 2], torch.zeros(30), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.valid.inputs[:, 2], torch.full((5,), 0.5), atol=1e-6, rtol=0)


def test_streamed_data_are_refused():
    streamed = Part(dataset=TensorDataset(torch.rand(3, 2), torch.rand(3)))
    data = Parts(streamed, streamed, Spec((2,), 1, "regression"))
    with pytest.raises(
        ValueError,
        match=r"trick \(=standardise\) requires data in memory, but the train split \(=TensorDataset\) is streamed",
    ) as error:
        STANDARDISE().on_data(data)
    assert "\n" not in str(error.value)


def test_tokens_are_refused():
    with pytest.raises(
        ValueError, match=r"trick \(=standardise\) requires floating-point inputs, but they are torch\.int64"
    ):
        STANDARDISE().on_data(parts(torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64)))
