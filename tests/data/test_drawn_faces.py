from __future__ import annotations

import numpy as np
import pytest

from ablate.data.drawn_faces import draw_faces, missing_pattern
from ablate.data.faces import PAIRS, POINTS, Faces

I = {name: i for i, name in enumerate(POINTS)}  # noqa: E741


@pytest.fixture(scope="module")
def drawn() -> Faces:
    return draw_faces(1000)


@pytest.fixture(scope="module")
def complete(drawn: Faces) -> Faces:
    rows = ~np.isnan(drawn.keypoints).any((1, 2))
    return Faces(drawn.images[rows], drawn.keypoints[rows])


def grey(images: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mean grey value of the 3×3 pixels around points (n, 2)."""
    x, y = (np.floor(points).astype(int).clip(1, 94)[:, axis] for axis in (0, 1))
    rows = np.arange(len(images))
    return np.mean([images[rows, y + dy, x + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)], axis=0)


def test_they_are_the_same_every_time():
    one, two = draw_faces(40), draw_faces(40)
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.keypoints, two.keypoints)
    other = draw_faces(40, seed=1)
    assert (one.images != other.images).mean() > 0.5


def test_the_missing_points_are_the_competitions():
    known = ~missing_pattern()

    def rows(*words: str, without: str = "-") -> int:
        return int(
            known[:, [i for name, i in I.items() if all(w in name for w in words) and without not in name]].all(1).sum()
        )

    assert len(known) == 7049
    assert rows("eye_center") == 7033
    assert rows("nose_tip") == 7049
    assert rows("mouth", without="bottom") == 2260
    assert rows("bottom_lip") == 7016
    assert rows("eye_", "corner") == 2247
    assert rows("eyebrow") == 2190
    assert rows() == 2140
    assert (known.sum(1) <= 4).sum() == 7049 - 2278


def test_left_is_the_subjects_left_and_every_point_is_in_the_picture(complete: Faces):
    for left, right in PAIRS:
        assert left.replace("left", "right") == right
        assert (complete.keypoints[:, I[left], 0] > complete.keypoints[:, I[right], 0]).all()
    assert complete.keypoints.min() > 0
    assert complete.keypoints.max() < 96


def test_the_points_are_where_the_picture_shows_them(complete: Faces):
    """Pupils are darker than the skin between the eyes, on either side, and the tip of the nose is lighter than the
    nostrils below it.
    """
    between = complete.keypoints[:, [I["left_eye_inner_corner"], I["right_eye_inner_corner"]]].mean(1)
    skin = grey(complete.images, between)
    for side in ("left", "right"):
        assert (grey(complete.images, complete.keypoints[:, I[f"{side}_eye_center"]]) < 0.8 * skin).mean() > 0.95
    nose = complete.keypoints[:, I["nose_tip"]]
    assert (grey(complete.images, nose) > grey(complete.images, nose + np.array([0, 3]))).mean() > 0.95


def test_a_mirrored_face_is_a_face(complete: Faces):
    """Points at 96 − x with the pairs swapped lie on the mirrored picture as those of any other face do; without the
    swap they do not.
    """
    mirrored = complete.images[:, :, ::-1]
    unswapped = complete.keypoints * np.array([-1, 1]) + np.array([96, 0])
    swapped = unswapped.copy()
    for left, right in PAIRS:
        swapped[:, [I[left], I[right]]] = unswapped[:, [I[right], I[left]]]
    for name in POINTS:
        twin = name.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")
        np.testing.assert_array_equal(
            grey(mirrored, swapped[:, I[name]]), grey(complete.images, complete.keypoints[:, I[twin]])
        )
    mean = complete.keypoints.mean(0)
    assert np.abs(swapped.mean(0) - mean).max() < 1
    assert np.abs(unswapped.mean(0) - mean).max() > 20


def test_there_is_something_to_learn_and_people_come_back(drawn: Faces, complete: Faces):
    spread = np.sqrt(((complete.keypoints - complete.keypoints.mean(0)) ** 2).mean())
    assert 3 < spread < 5
    assert drawn.person is not None
    _, counts = np.unique(drawn.person, return_counts=True)
    assert 1 < counts.mean() < 8
    assert complete.images.reshape(len(complete.images), -1).std(1).min() > 5
