"""Shift: picture and keypoints move together by whole pixels, evenly drawn, nothing in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data.dataset import Batch, Keypoints, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.shift import move
from ablate.tricks.trick import Context

SHIFT = lookup("trick", "shift").settings
MARKS = Keypoints((), ("nose",))
FACES = Spec((1, 96, 96), 2, "regression", keypoints=MARKS)
SMALL = Spec((1, 32, 48), 2, "regression", keypoints=MARKS)


def applied(trick, batch, seeds=(0,)):
    trick.bind(Context(batch.spec, seeds, 1, 1))
    return trick.on_batch(batch, Noise(seeds, "trick/shift"))


def dots(n, spec, seed=0):
    """Pictures with one bright pixel, far enough from the edge, and its place as a target in the original frame."""
    _, height, width = spec.input_shape
    draw = np.random.default_rng(seed)
    x, y = draw.integers(6, width - 6, n), draw.integers(6, height - 6, n)
    images = torch.zeros(n, 1, height, width, dtype=torch.float64)
    images[torch.arange(n), 0, torch.tensor(y), torch.tensor(x)] = 1
    centre = np.stack([(x + 0.5) * 96 / width, (y + 0.5) * 96 / height], axis=1)
    return images, torch.tensor((centre - 48) / 48)


@pytest.mark.parametrize("spec", [FACES, SMALL], ids=["96x96", "32x48"])
@pytest.mark.parametrize("fill", ["edge", "zero"])
def test_a_dot_at_a_keypoint_stays_at_the_keypoint(spec, fill):
    images, targets = dots(40, spec)
    out = applied(SHIFT(pixels=5, fill=fill), Batch(images, targets, targets, spec))
    _, height, width = spec.input_shape
    assert not torch.equal(out.inputs, images)
    for image, (x, y) in zip(out.inputs, out.targets * 48 + 48, strict=True):
        assert image[0, int(y * height / 96), int(x * width / 96)] == 1
        assert image.sum() == 1


def test_each_sample_equals_a_padded_cut_in_numpy():
    images = torch.rand(20, 3, 8, 9, dtype=torch.float64)
    moves = torch.tensor(np.random.default_rng(0).integers(-3, 4, (20, 2)))
    for fill, mode in (("edge", "edge"), ("zero", "constant")):
        out = move(images, moves, fill)
        for i, (dx, dy) in enumerate(moves.tolist()):
            padded = np.pad(images[i].numpy(), ((0, 0), (3, 3), (3, 3)), mode=mode)
            np.testing.assert_array_equal(out[i].numpy(), padded[:, 3 - dy : 11 - dy, 3 - dx : 12 - dx])


def test_moves_are_even_in_both_directions():
    spec = Spec((1, 17, 17), 2, "regression")
    images = torch.zeros(6000, 1, 17, 17)
    images[:, 0, 8, 8] = 1
    out = applied(SHIFT(pixels=2, fill="zero"), Batch(images, images, images, spec)).inputs
    counts = out.sum((0, 1))
    assert counts[6:11, 6:11].sum() == 6000
    # 25 cells with 240 expected in each: chi-squared with 24 degrees of freedom is below 60 but once in 10,000
    assert ((counts[6:11, 6:11] - 240) ** 2 / 240).sum() < 60


def test_nothing_handed_in_changes_and_gaps_stay():
    images, targets = dots(6, FACES)
    targets[0] = torch.nan
    kept = images.clone(), targets.clone()
    out = applied(SHIFT(pixels=3), Batch(images, targets, targets, FACES))
    assert torch.equal(images, kept[0])
    torch.testing.assert_close(targets, kept[1], equal_nan=True, rtol=0, atol=0)
    assert out.targets[0].isnan().all()
    assert not out.targets[1:].isnan().any()


def test_classes_stay():
    spec = Spec((1, 8, 8), 10, "classification")
    classes = torch.arange(4)
    out = applied(SHIFT(pixels=1), Batch(torch.rand(4, 1, 8, 8), classes, classes, spec))
    assert torch.equal(out.targets, classes)


def test_a_move_must_be_smaller_than_the_picture():
    with pytest.raises(ValueError, match=r"shift\.pixels \(=8\) must be less than the image size \(8\)"):
        SHIFT(pixels=8).bind(Context(Spec((1, 8, 9), 2, "regression"), (0,), 1, 1))


def test_a_table_cannot_be_moved():
    with pytest.raises(ValueError, match=r"trick \(=shift\) requires images"):
        SHIFT().bind(Context(Spec((8,), 2, "regression"), (0,), 1, 1))
