"""Rotate, scale and crop: pictures, keypoints and masks go together, against SciPy, matrices and dots drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ablate.data.dataset import Batch, Keypoints, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.crop import window
from ablate.tricks.rotate import rotation
from ablate.tricks.shared.affine import map_keypoints, maps, sample
from ablate.tricks.trick import Context

MARKS = Keypoints((), ("nose", "chin"))
FACES = Spec((1, 96, 96), 4, "regression", keypoints=MARKS)
WIDE = Spec((1, 32, 48), 4, "regression", keypoints=MARKS)
MASKS = Spec((3, 12, 16), 3, "other")
MOVING = [
    ("rotate", {"degrees": 25}),
    ("scale", {"by": 0.3}),
    ("crop", {"area": 0.6, "ratio": 1.3}),
    ("crop", {"form": "padded", "pixels": 5}),
    ("shift", {"pixels": 5}),
]
moving = pytest.mark.parametrize(("name", "fields"), MOVING, ids=["rotate", "scale", "crop", "padded", "shift"])


def applied(name, batch, *, seed=0, step=0, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(batch.spec, (seed,), 1, 10))
    trick.now.set(step)
    return trick.on_batch(batch, Noise((seed,), f"trick/{name}"))


def blobs(n, spec, seed=0):
    """Pictures with two smooth round spots near the middle, and their places as targets in the original frame."""
    _, height, width = spec.input_shape
    draw = np.random.default_rng(seed)
    x = width * draw.uniform(0.4, 0.6, (n, 2))
    y = height * draw.uniform(0.4, 0.6, (n, 2))
    y[:, 1] += 0.2 * height  # apart
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    squared = (columns[None, None, None, :] - x[:, :, None, None]) ** 2 + (
        rows[None, None, :, None] - y[:, :, None, None]
    ) ** 2
    spots = np.exp(-squared / 6)
    centre = np.stack([x * 96 / width, y * 96 / height], axis=-1).reshape(n, 4)
    return spots, torch.tensor((centre - 48) / 48)


def middle_of(picture):
    """Where the mass of a picture (H, W) is, in pixels, pixel j covering j … j + 1."""
    height, width = picture.shape
    mass = picture.sum()
    return (picture.sum(0) * (np.arange(width) + 0.5)).sum() / mass, (
        picture.sum(1) * (np.arange(height) + 0.5)
    ).sum() / mass


@moving
@pytest.mark.parametrize("spec", [FACES, WIDE], ids=["96x96", "32x48"])
def test_a_spot_at_a_keypoint_stays_at_the_keypoint(name, fields, spec):
    spots, targets = blobs(20, spec)
    _, height, width = spec.input_shape
    extra = {} if name == "crop" else {"fill": "zero"}
    inside = 0
    for point in range(2):
        images = torch.tensor(spots[:, point : point + 1])
        out = applied(name, Batch(images, targets, targets, spec), **fields, **extra)
        assert not torch.equal(out.targets, targets)
        places = (out.targets.unflatten(-1, (-1, 2)) * 48 + 48)[:, point].numpy() * [width / 96, height / 96]
        for picture, (x, y) in zip(out.inputs[:, 0].numpy(), places, strict=True):
            if 6 < x < width - 6 and 6 < y < height - 6:  # the whole spot is in the picture
                inside += 1
                assert middle_of(picture) == pytest.approx((x, y), abs=0.05)
    assert inside > 20


def test_keypoints_turn_as_a_rotation_matrix_says():
    draw = np.random.default_rng(0)
    points = draw.uniform(10, 86, (7, 2, 2))
    angles = draw.uniform(-180, 180, 7)
    out = map_keypoints(torch.tensor((points - 48) / 48).flatten(1), rotation(torch.tensor(angles)), (96, 96), MARKS)
    for before, angle, after in zip(points, np.deg2rad(angles), out.numpy() * 48 + 48, strict=True):
        # clockwise as seen, since y points down
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        np.testing.assert_allclose(after.reshape(2, 2), (before - 48) @ turn.T + 48, rtol=1e-12)


def test_a_quarter_turn_moves_a_dot_clockwise_onto_the_keypoint():
    picture = torch.zeros(1, 1, 96, 96, dtype=torch.float64)
    picture[0, 0, 10, 20] = 1  # y = 10.5, x = 20.5
    points = (torch.tensor([[20.5, 10.5, 48.0, 48.0]], dtype=torch.float64) - 48) / 48
    quarter = rotation(torch.tensor([90.0], dtype=torch.float64))
    turned = sample(picture, quarter, "zero")
    # the top left goes to the top right: x' = 96 − y, y' = x
    assert turned[0, 0, 20, 85] == pytest.approx(1)
    assert turned.sum() == pytest.approx(1)
    moved = map_keypoints(points, quarter, (96, 96), MARKS) * 48 + 48
    np.testing.assert_allclose(moved[0].numpy(), [85.5, 20.5, 48, 48], rtol=1e-12)


@pytest.mark.parametrize(("fill", "mode"), [("edge", "nearest"), ("zero", "grid-constant"), ("reflect", "reflect")])
def test_pictures_are_sampled_as_scipy_does(fill, mode):
    draw = np.random.default_rng(1)
    images = draw.uniform(size=(6, 2, 11, 17))
    entries = torch.tensor(draw.uniform(-0.3, 0.3, (6, 6)) + np.array([1, 0, 0, 1, 0, 0]))
    entries[:, 4:] *= 8
    a, b, c, d, x, y = entries.unbind(1)
    forward = maps(a, b, c, d, x, y)
    out = sample(torch.tensor(images), forward, fill).numpy()
    for image, matrix, result in zip(images, forward.numpy(), out, strict=True):
        back = np.linalg.inv(matrix[:, :2])
        # SciPy counts (row, column) from the middle of the first pixel
        linear = back[::-1, ::-1]
        middle = np.array([11 / 2, 17 / 2]) - 0.5
        offset = middle - linear @ (middle + matrix[::-1, 2])
        for channel, got in zip(image, result, strict=True):
            expected = ndimage.affine_transform(channel, linear, offset, order=1, mode=mode)
            np.testing.assert_allclose(got, expected, atol=1e-12)


@moving
def test_masks_move_along_by_the_nearest_pixel(name, fields):
    masks = torch.randint(0, 3, (10, 12, 16), generator=torch.Generator().manual_seed(0))
    # a picture of three channels, each 1 where the mask has its number
    pictures = torch.nn.functional.one_hot(masks).movedim(-1, 1).double()
    fields = fields | {"pixels": 3, "share": 0.5} if "form" in fields else fields
    out = applied(name, Batch(pictures, masks, masks, MASKS), **fields)
    assert out.targets.dtype == torch.int64
    assert out.targets.shape == masks.shape
    assert not torch.equal(out.targets, masks)
    # of the four pixels that a bilinear sample blends, the nearest has at least a quarter
    share, vacated = out.inputs.gather(1, out.targets[:, None])[:, 0], (out.inputs == 0).all(1)
    assert share[~vacated].min() > 0.25 - 1e-9
    assert (out.inputs.argmax(1) == out.targets).double().mean() > 0.8
    assert (out.targets[vacated] == 0).all()
    floats = masks[:, None].double()
    again = applied(name, Batch(pictures, floats, floats, MASKS), **fields)
    assert torch.equal(again.targets[:, 0], out.targets.double())


def test_a_mask_turns_by_a_quarter_as_numpy_turns_it():
    mask = torch.arange(64).view(1, 8, 8)
    turned = sample(mask[:, None].double(), rotation(torch.tensor([90.0])), "zero", nearest=True)[0, 0].long()
    np.testing.assert_array_equal(turned.numpy(), np.rot90(mask[0].numpy(), -1))


@pytest.mark.parametrize(("name", "fields"), MOVING[:4], ids=["rotate", "scale", "crop", "padded"])
def test_a_share_of_the_batch_is_touched_and_the_rest_is_bit_equal(name, fields):
    spots, targets = blobs(20, FACES)
    images = torch.tensor(spots[:, :1])
    kept = images.clone(), targets.clone()
    out = applied(name, Batch(images, targets, targets, FACES), **fields, share=0.25)
    pictures, points = (out.inputs != images).flatten(1).any(1), (out.targets != targets).any(1)
    assert torch.equal(pictures, points)
    assert pictures.sum() == 5
    assert torch.equal(images, kept[0])
    assert torch.equal(targets, kept[1])


@pytest.mark.parametrize(("name", "field"), [("rotate", "degrees"), ("scale", "by")])
def test_a_scheduled_strength_is_followed(name, field):
    spots, targets = blobs(20, FACES)
    batch = Batch(torch.tensor(spots[:, :1]), targets, targets, FACES)
    moved = [
        (applied(name, batch, step=step, **{field: {"linear": [0, 1]}}).targets - targets).abs().mean()
        for step in (0, 4, 9)
    ]
    assert moved[0] < 1e-12
    assert moved[0] < moved[1] < moved[2]


def test_angles_are_even_in_both_directions():
    points = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64).expand(4000, 4)
    out = applied(
        "rotate",
        Batch(torch.zeros(4000, 1, 2, 2).double(), points, points, Spec((1, 2, 2), 4, "regression", keypoints=MARKS)),
        degrees=40,
    ).targets
    angles = torch.rad2deg(torch.atan2(out[:, 1], out[:, 0])).numpy()
    counts, _ = np.histogram(angles, 8, (-40, 40))
    assert counts.sum() == 4000
    # chi-squared with 7 degrees of freedom is below 30 but once in 10,000
    assert ((counts - 500) ** 2 / 500).sum() < 30


def test_scaling_up_is_as_likely_as_down():
    points = torch.tensor([[1.0, 0.0, 0.0, 0.5]], dtype=torch.float64).expand(4000, 4)
    spec = Spec((1, 2, 2), 4, "regression", keypoints=MARKS)
    out = applied("scale", Batch(torch.zeros(4000, 1, 2, 2).double(), points, points, spec), by=0.5).targets
    np.testing.assert_allclose(out[:, 3] / 0.5, out[:, 0], rtol=1e-12)
    assert 1 / 1.5 <= out[:, 0].min() < 0.68
    assert 1.48 < out[:, 0].max() <= 1.5
    assert abs(out[:, 0].log().mean()) < 0.02


def test_a_window_has_its_area_and_lies_inside():
    draw = Noise((0,), "x").uniform(4, 5000).double()
    width, height, x, y = window(draw, 0.3, 1.5)
    uncut = (width < 1) & (height < 1)
    assert uncut.double().mean() > 0.5
    area = (width * height)[uncut]
    assert area.min() >= 0.3
    assert (width * height).min() >= 0.3
    assert area.min() < 0.31
    assert ((width / height)[uncut].log().abs() <= np.log(1.5) + 1e-9).all()
    for side, place in ((width, x), (height, y)):
        assert (place.abs() + side / 2 <= 0.5 + 1e-9).all()


def test_a_whole_window_changes_nothing():
    spots, targets = blobs(5, FACES)
    images = torch.tensor(spots[:, :1])
    out = applied("crop", Batch(images, targets, targets, FACES), area=1.0, ratio=1.0)
    torch.testing.assert_close(out.inputs, images, atol=1e-12, rtol=0)
    torch.testing.assert_close(out.targets, targets, atol=1e-12, rtol=0)


def test_padded_crops_are_cuts_of_a_picture_in_zeros():
    images = torch.rand(30, 3, 8, 9, dtype=torch.float64)
    spec = Spec((3, 8, 9), 2, "regression")
    out = applied("crop", Batch(images, images, images, spec), form="padded", pixels=2).inputs.numpy()
    offsets = set()
    for image, cut in zip(images.numpy(), out, strict=True):
        padded = np.pad(image, ((0, 0), (2, 2), (2, 2)))
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(padded[:, i : i + 8, j : j + 9], cut)]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 10


def test_a_missing_point_stays_missing_and_points_may_leave_the_picture():
    points = torch.tensor([[torch.nan, torch.nan, 0.99, 0.99]], dtype=torch.float64)
    out = map_keypoints(points, rotation(torch.tensor([45.0])), (96, 96), MARKS)
    assert out[0, :2].isnan().all()
    assert out[0, 3] > 1.3


@pytest.mark.parametrize("name", ["rotate", "scale", "crop"])
def test_a_table_has_no_pictures_to_move(name):
    with pytest.raises(ValueError, match=rf"trick \(={name}\) requires images"):
        lookup("trick", name).settings().bind(Context(Spec((64,), 10, "classification"), (0,), 1, 1))


def test_padding_must_be_less_than_the_picture():
    with pytest.raises(ValueError, match=r"crop\.pixels \(=12\) must be less than the image size \(12\)"):
        lookup("trick", "crop").settings(form="padded", pixels=12).bind(Context(MASKS, (0,), 1, 1))
