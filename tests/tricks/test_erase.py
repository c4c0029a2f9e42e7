"""Cutout and random erasing: where the rectangles lie, how large they are, what stands in them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data.dataset import Batch, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.erase import rectangles
from ablate.tricks.trick import Context

SPEC = Spec((2, 20, 30), 4, "classification")


def applied(name, images, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(SPEC, (0,), 1, 10))
    targets = torch.arange(len(images))
    out = trick.on_batch(Batch(images, targets, targets, SPEC), Noise((0,), "x"))
    assert torch.equal(out.targets, targets)
    return out.inputs


def boxes(changed):
    """Top, bottom, left, right of the changed pixels (n, H, W) of each picture; all inside must be changed."""
    found = []
    for picture in changed.numpy():
        rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
        box = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
        assert picture[box[0] : box[1], box[2] : box[3]].all()
        found.append(box)
    return np.array(found)


def test_rectangles_are_slices():
    top, bottom, left, right = torch.tensor([[0, 3], [2, 9], [-1, 4], [2, 5]])
    expected = np.zeros((2, 1, 6, 7), dtype=bool)
    expected[0, 0, 0:2, 0:2] = True
    expected[1, 0, 3:6, 4:5] = True
    np.testing.assert_array_equal(rectangles(top, bottom, left, right, (6, 7)).numpy(), expected)


def test_a_square_has_its_middle_at_any_pixel_and_may_stick_out():
    images = torch.rand(12000, 2, 20, 30) + 1
    out = applied("cutout", images, pixels=5)
    assert torch.equal((out == 0)[:, 0], (out == 0)[:, 1])
    assert torch.equal(out[out != 0], images[out != 0])
    top, bottom, left, right = boxes((out == 0)[:, 0]).T
    assert set(bottom - top) == {3, 4, 5}
    # a middle's row decides the rows that are left: all 20 as likely, 16 of them give a whole square
    whole = (bottom - top == 5) & (right - left == 5)
    assert whole.mean() == pytest.approx(16 / 20 * 26 / 30, abs=0.02)
    counts = np.bincount(top[bottom - top == 5], minlength=16)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 45  # chi-squared, 15 degrees of freedom, 1 in 10,000


def test_an_erased_rectangle_lies_inside_and_has_its_area_and_ratio():
    images = torch.full((5000, 2, 20, 30), -1.0, dtype=torch.float64)
    out = applied("random_erasing", images, share=1.0, smallest=0.05, largest=0.3, ratio=2.0)
    top, bottom, left, right = boxes((out != -1).any(1)).T
    area, ratio = (bottom - top) * (right - left) / 600, (right - left) / (bottom - top)
    # sides are whole pixels
    assert area.min() > 0.03
    assert area.max() < 0.35
    assert area.mean() == pytest.approx(0.175, abs=0.01)
    assert abs(np.log(ratio).mean()) < 0.05
    assert ratio.max() < 2.6
    assert ratio.min() > 1 / 2.6
    assert len(set(top)) > 10
    assert len(set(left)) > 15
    assert top.min() == 0
    assert bottom.max() == 20


@pytest.mark.parametrize("fill", ["uniform", "normal", "zero", "mean"])
def test_what_stands_in_an_erased_rectangle(fill):
    images = torch.rand(200, 2, 20, 30, dtype=torch.float64) + 5
    out = applied("random_erasing", images, share=0.5, fill=fill)
    hidden = out != images
    assert hidden.flatten(1).any(1).sum() == 100
    inside = out[hidden]
    if fill == "zero":
        assert (inside == 0).all()
    elif fill == "mean":
        means = images.mean((1, 2, 3))
        for i in torch.nonzero(hidden.flatten(1).any(1))[:, 0]:
            torch.testing.assert_close(out[i][hidden[i]], means[i].expand(int(hidden[i].sum())))
    elif fill == "uniform":
        assert 0 <= inside.min() < 0.01
        assert 0.99 < inside.max() < 1
        assert inside.mean() == pytest.approx(0.5, abs=0.02)
    else:
        assert inside.mean() == pytest.approx(0, abs=0.05)
        assert inside.std() == pytest.approx(1, abs=0.05)


def test_extreme_settings_stay_inside_the_picture():
    images = torch.full((200, 2, 20, 30), -1.0)
    out = applied("random_erasing", images, share=1.0, smallest=1.0, largest=1.0, ratio=10.0)
    assert (out != -1).flatten(1).any(1).all()
    assert (
        applied("random_erasing", images, share=1.0, smallest=1e-6, largest=1e-6, fill="zero").sum() == -200 * 2 * 599
    )


def test_a_square_as_large_as_the_picture_is_refused():
    with pytest.raises(ValueError, match=r"cutout\.pixels \(=20\) must be less than the picture's side \(20\)"):
        applied("cutout", torch.rand(2, 2, 20, 30), pixels=20)
