"""Flip: picture and keypoints go together, exactly a share of the batch, nothing in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ablate.data.dataset import Batch, Keypoints, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.flip import mirror, mirror_keypoints, swap
from ablate.tricks.trick import Context

FLIP = lookup("trick", "flip").settings
PAIRS = ((0, 1), (2, 4))
MARKS = Keypoints(PAIRS, ("left eye", "right eye", "left mouth", "nose", "right mouth"))
FACES = Spec((1, 96, 96), 10, "regression", keypoints=MARKS)
DIGITS = Spec((1, 8, 8), 10, "classification")


def drawn(points):
    """Pictures (n, 1, 96, 96) float64 whose pixel under point number i has the brightness i + 1; points (n, 5, 2) in
    pixels, pixel j covering j … j + 1.
    """
    images = np.zeros((len(points), 1, 96, 96))
    for image, marks in zip(images, points, strict=True):
        for i, (x, y) in enumerate(marks):
            image[0, int(y), int(x)] = i + 1
    return torch.tensor(images)


def places(n, seed=0):
    """Different pixels' centres, (n, 5, 2)."""
    draw = np.random.default_rng(seed)
    return np.stack([np.stack([draw.permutation(96)[:5], draw.permutation(96)[:5]], axis=1) for _ in range(n)]) + 0.5


def encoded(points):
    return torch.tensor((points - 48) / 48).flatten(1)


def decoded(targets):
    return (targets.unflatten(-1, (-1, 2)) * 48 + 48).numpy()


def applied(batch, *, share=0.5, seeds=(0,), stacked=False):
    trick = FLIP(share=share)
    trick.bind(Context(batch.spec, seeds, 1, 1))
    return trick.on_batch(batch, Noise(seeds, "trick/flip", stacked=stacked))


def test_twice_is_the_identity():
    images, points = torch.rand(3, 1, 96, 96, dtype=torch.float64), encoded(places(3))
    assert torch.equal(mirror(mirror(images)), images)
    assert torch.equal(mirror_keypoints(mirror_keypoints(points, MARKS), MARKS), points)


def test_a_dot_at_a_keypoint_stays_at_its_partners_keypoint():
    points = places(6)
    out = applied(Batch(drawn(points), encoded(points), encoded(points), FACES), share=1.0)
    partner = [1, 0, 4, 3, 2]
    for image, marks in zip(out.inputs.numpy(), decoded(out.targets), strict=True):
        for i, (x, y) in enumerate(marks):
            assert image[0, int(y), int(x)] == partner[i] + 1


def test_x_is_negated_where_the_centre_is_the_pictures():
    out = mirror_keypoints(
        torch.tensor([[0.25, 0.5, -0.75, 0.125]], dtype=torch.float64), Keypoints(((0, 1),), ("a", "b"))
    )
    assert out.tolist() == [[0.75, 0.125, -0.25, 0.5]]


def test_another_centre_is_mirrored_at_the_pictures_middle():
    marks = Keypoints((), ("a",), centre=0.0, scale=1.0, frame=96)
    assert mirror_keypoints(torch.tensor([[10.5, 3.0]]), marks).tolist() == [[85.5, 3.0]]


@pytest.mark.parametrize(
    ("n", "share", "count"), [(128, 0.5, 64), (10, 0.3, 3), (100, 0.57, 57), (8, 0.0, 0), (8, 1.0, 8)]
)
def test_exactly_a_share_of_the_batch_is_mirrored(n, share, count):
    images = torch.arange(n * 64.0).view(n, 1, 8, 8)
    targets = torch.arange(n)
    out = applied(Batch(images, targets, targets, DIGITS), share=share)
    changed = (out.inputs != images).flatten(1).any(1)
    assert changed.sum() == count
    assert torch.equal(out.inputs[changed], images.flip(-1)[changed])
    assert torch.equal(out.targets, targets)


def test_pictures_and_targets_of_the_same_samples_are_mirrored():
    points = places(32)
    batch = Batch(drawn(points), encoded(points), encoded(points), FACES)
    out = applied(batch)
    assert torch.equal((out.inputs != batch.inputs).flatten(1).any(1), (out.targets != batch.targets).any(1))


def test_a_missing_point_is_missing_at_its_partners_place():
    points = encoded(places(4))
    points[:, 4:6] = torch.nan  # the left corner of the mouth
    out = applied(Batch(torch.rand(4, 1, 96, 96), points, points, FACES), share=1.0).targets
    assert out[:, 8:10].isnan().all()
    assert not out[:, :8].isnan().any()


def test_nothing_handed_in_changes():
    images, points = torch.rand(8, 1, 96, 96), encoded(places(8))
    kept = images.clone(), points.clone()
    batch = Batch(images, points, points, FACES)
    out = applied(batch, share=1.0)
    assert torch.equal(images, kept[0])
    assert torch.equal(points, kept[1])
    assert torch.equal(out.true_targets, points)
    assert batch.inputs is images


def test_other_samples_are_mirrored_every_time():
    images = torch.rand(64, 1, 8, 8)
    trick, noise = FLIP(), Noise((0,), "trick/flip")
    trick.bind(Context(DIGITS, (0,), 1, 1))
    batch = Batch(images, torch.zeros(64), torch.zeros(64), DIGITS)
    first, second = (trick.on_batch(batch, noise).inputs for _ in range(2))
    assert not torch.equal(first, second)


def test_a_scheduled_share_is_followed():
    trick = FLIP(share={"linear": [0, 1], "per": "epoch"})
    trick.bind(Context(DIGITS, (0,), epochs=3, steps_per_epoch=2))
    images = torch.rand(8, 1, 8, 8)
    counts = []
    for step in range(6):
        trick.now.set(step)
        out = trick.on_batch(Batch(images, images, images, DIGITS), Noise((0,), "trick/flip")).inputs
        counts.append(int((out != images).flatten(1).any(1).sum()))
    assert counts == [0, 0, 4, 4, 8, 8]


def test_masks_are_mirrored_with_their_pictures():
    masks = torch.randint(0, 4, (10, 6, 7), generator=torch.Generator().manual_seed(0))
    spec = Spec((1, 6, 7), 4, "other")
    pictures = masks[:, None].float()
    out = applied(Batch(pictures, masks, masks, spec))
    assert out.targets.dtype == torch.int64
    assert torch.equal(out.inputs[:, 0], out.targets.float())
    assert (out.targets != masks).flatten(1).any(1).sum() == 5
    stack = Batch(torch.stack([pictures] * 2), torch.stack([masks] * 2), torch.stack([masks] * 2), spec)
    out = applied(stack, seeds=(0, 1))
    assert torch.equal(out.inputs[:, :, 0], out.targets.float())


def test_swap_changes_the_places_of_pairs_only():
    points = torch.arange(10.0)[None]
    assert swap(points, PAIRS).tolist() == [[2, 3, 0, 1, 8, 9, 6, 7, 4, 5]]


def test_a_table_cannot_be_mirrored():
    with pytest.raises(
        ValueError,
        match=r"trick \(=flip\) requires images \(C, H, W\) or volumes \(C, D, H, W\), but samples have shape \(64,\)",
    ) as error:
        FLIP().bind(Context(Spec((64,), 10, "classification"), (0,), 1, 1))
    assert "\n" not in str(error.value)


def test_a_share_is_between_0_and_1():
    with pytest.raises(ValidationError, match="at most 1"):
        FLIP(share=1.5)


def test_a_left_keypoint_without_its_right_one_is_refused():
    """A mirrored left eye looks like a right one, whose place the picture's label would name the left eye's."""
    marks = Keypoints(((1, 2),), ("left_eye_center", "mouth_left_corner", "mouth_right_corner", "nose_tip"))
    with pytest.raises(
        ValueError,
        match=r"trick \(=flip\) swaps left and right keypoints, but the counterpart of left_eye_center is missing",
    ):
        FLIP().check(Spec((1, 96, 96), 8, "regression", keypoints=marks))
    FLIP().check(FACES)
    FLIP().check(Spec((1, 96, 96), 2, "regression", keypoints=Keypoints((), ("nose_tip",))))
