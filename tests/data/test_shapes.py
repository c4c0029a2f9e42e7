from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data.drawn_shapes import NAMES, RADII, Scenes, inside, paint, scenes
from ablate.data.shapes import Shapes


def by_hand(given: Scenes, picture: int, *place: float) -> tuple[float, int]:
    """Brightness without noise and class of a point, from the definition, one point at a time."""
    point = np.array(place)
    value, kind = float(given.ground[picture]), 0
    for slot, here in enumerate(given.kind[picture]):
        if here == 0:
            continue
        own = given.turn[picture, slot] @ (point - given.centre[picture, slot]) / given.radius[picture, slot]
        distance = np.sqrt((own**2).sum())
        small = np.sort(np.abs(own))
        covered = {
            1: distance <= 1,
            2: small[-1] <= 0.85,
            3: small[-1] <= 1.1 and small[-2] <= 0.33,
            4: np.sqrt(0.4) <= distance <= np.sqrt(1.2),
        }.get(int(here), in_triangle(own) if len(own) == 2 else None)
        if covered:
            value, kind = float(given.tone[picture, slot]), int(here)
    return float(np.clip(value + given.light[picture] @ (point - 0.5), 0, 1)), kind


def in_triangle(own: np.ndarray) -> bool:
    """Within the triangle whose corners lie 1.25 from the middle: on the same side of all its sides."""
    angles = np.pi * np.array([30, 150, 270]) / 180
    corners = 1.25 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    sides = [(corners[i], corners[(i + 1) % 3]) for i in range(3)]
    crosses = [(b - a)[0] * (own - a)[1] - (b - a)[1] * (own - a)[0] for a, b in sides]
    return all(c >= 0 for c in crosses) or all(c <= 0 for c in crosses)


@pytest.mark.parametrize(("dimensions", "classes"), [(2, 6), (3, 5)])
def test_picture_and_mask_are_what_the_scene_says(dimensions, classes):
    size = 24 if dimensions == 2 else 10
    given = scenes(12, dimensions, size, classes, figures=5, seed=3)
    assert set(np.unique(given.kind)) == set(range(classes))
    pictures, masks = paint(given, noise=0)
    rng, wrong, seen = np.random.default_rng(0), 0, set()
    for picture in range(12):
        for pixel in rng.integers(0, size, (150, dimensions)):
            value, kind = by_hand(given, picture, *(pixel + 0.5) / size)
            seen.add(kind)
            same = masks[picture][tuple(pixel)] == kind and abs(pictures[picture][tuple(pixel)] - value * 255) <= 1
            wrong += not same
    # a pixel whose middle lies on an edge may be rounded to either side
    assert wrong <= 2
    assert len(seen) == classes


def test_figures_overlap_and_classes_have_unlike_areas():
    parts = Shapes(count=300, classes=6).load()
    area = torch.bincount(parts.train.targets.flatten(), minlength=6)
    assert area.min() > 0
    assert torch.equal(area.sort(descending=True).values, area), "later classes cover less"
    given = scenes(300, 2, 32, 6, 5, 42)
    alone = [
        paint(Scenes(**{**vars(given), "kind": np.eye(5, dtype=np.int64)[slot] * given.kind}), 0)[1]
        for slot in range(5)
    ]
    covered = np.stack(alone).astype(bool).sum(0)
    assert 0.05 < (covered > 1).mean() < 0.5
    assert np.all((given.kind > 0).sum(1) >= 1)
    assert len(RADII) == len(NAMES[2]) == len(NAMES[3])


@pytest.mark.parametrize("settings", [{}, {"dimensions": 3, "size": 12}])
def test_a_tetrahedron_a_ball_and_so_on_have_the_volumes_of_geometry(settings):
    dimensions = settings.get("dimensions", 2)
    points = np.random.default_rng(0).uniform(-1.6, 1.6, (1, dimensions, 200_000)).astype(np.float32)
    cube = 3.2**dimensions
    share = {kind: float(inside(kind, points).mean()) * cube for kind in range(1, 6)}
    if dimensions == 2:
        expected = {1: np.pi, 2: 1.7**2, 3: 2 * 2.2 * 0.66 - 0.66**2, 4: np.pi * 0.8, 5: 3 * np.sqrt(3) * 0.625**2}
    else:
        shell = 4 / 3 * np.pi * (1.2**1.5 - 0.4**1.5)
        tetrahedron = 8 * np.sqrt(3) * 0.55**3
        expected = {1: 4 / 3 * np.pi, 2: 1.7**3, 3: 3 * 2.2 * 0.66**2 - 2 * 0.66**3, 4: shell, 5: tetrahedron}
    assert share == pytest.approx(expected, rel=0.03)


def test_the_same_seed_draws_the_same_bytes_and_more_scenes_keep_those_of_fewer():
    first, again, other = (Shapes(count=20, seed=seed).load() for seed in (1, 1, 2))
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert torch.equal(first.train.targets, again.train.targets)
    assert not torch.equal(first.train.inputs, other.train.inputs)
    few, many = (paint(scenes(count, 2, 64, 4, 5, 42), 0.1) for count in (3, 300))
    assert all(np.array_equal(a, b[:3]) for a, b in zip(few, many, strict=True))


def test_noise_is_of_the_size_that_was_asked_for_and_leaves_masks():
    given = scenes(50, 2, 32, 4, 5, 42)
    plain, noisy = paint(given, 0), paint(given, 0.05)
    assert np.array_equal(plain[1], noisy[1])
    ground = (plain[0] > 50) & (plain[0] < 200)
    difference = (noisy[0].astype(float) - plain[0])[ground] / 255
    assert difference.std() == pytest.approx(0.05, rel=0.02)


def test_its_facts_are_known_before_it_is_drawn():
    for settings in ({}, {"dimensions": 3, "size": 8, "classes": 2, "count": 5}):
        data = Shapes(**settings)
        parts = data.load()
        assert parts.spec == data.spec()
        assert tuple(parts.train.inputs.shape[1:]) == parts.spec.input_shape
        assert tuple(parts.train.targets.shape[1:]) == parts.spec.places
        assert (parts.train.inputs.dtype, parts.train.targets.dtype) == (torch.uint8, torch.int64)
        assert int(parts.train.targets.max()) < parts.spec.outputs == len(parts.spec.classes)
    with pytest.raises(ValueError, match=r"data\.group \(=scene\): this dataset has no groups"):
        Shapes(count=5, group="scene").load()
