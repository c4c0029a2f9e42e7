"""Networks for some of the points share the faces that judge them, and train on all other rows that have these points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data.faces import POINTS
from ablate.data.facial_keypoints import FacialKeypoints

SPECIALISTS = {
    7033: ("left_eye_center", "right_eye_center"),
    7049: ("nose_tip",),
    2260: ("mouth_left_corner", "mouth_right_corner", "mouth_center_top_lip"),
    7016: ("mouth_center_bottom_lip",),
    2247: ("left_eye_inner_corner", "right_eye_inner_corner", "left_eye_outer_corner", "right_eye_outer_corner"),
    2190: ("left_eyebrow_inner_end", "right_eyebrow_inner_end", "left_eyebrow_outer_end", "right_eyebrow_outer_end"),
}
"""Rows of the competition's file that have these points."""


def data(**fields) -> FacialKeypoints:
    return FacialKeypoints(size=8, split_on="complete", **fields)


@pytest.fixture(scope="module")
def single():
    return data().load()


def test_the_single_net_has_the_study_s_split(single):
    plain = FacialKeypoints(size=8).load()
    assert single.notes["train"] == 1712
    assert single.notes["valid"] == 428
    assert torch.equal(single.valid.rows, plain.valid.rows)
    assert torch.equal(single.train.rows, plain.train.rows)


@pytest.mark.parametrize(("rows", "columns"), SPECIALISTS.items(), ids=lambda value: str(value)[:12])
def test_a_specialist_has_its_own_rows_and_columns(rows, columns, single):
    parts = data(columns=columns).load()
    assert len(parts.train) + len(parts.valid) == parts.notes["samples"] == rows
    assert torch.equal(parts.valid.rows, single.valid.rows)
    assert not torch.isin(parts.train.rows, parts.valid.rows).any()
    assert parts.train.targets.shape == (rows - 428, 2 * len(columns))
    assert not parts.train.targets.isnan().any()
    assert parts.spec.outputs == 2 * len(columns)
    where = [POINTS.index(name) for name in columns]
    pairs = {frozenset((columns[a], columns[b])) for a, b in parts.spec.keypoints.pairs}
    whole = {frozenset((POINTS[a], POINTS[b])) for a, b in single.spec.keypoints.pairs}
    assert pairs == {pair for pair in whole if pair <= set(columns)}
    columns_of = [2 * i + axis for i in where for axis in (0, 1)]
    assert torch.equal(parts.valid.targets, single.valid.targets[:, columns_of])


def test_with_persons_nobody_stands_on_both_sides(single):
    whole, nose = data(group="person").load(), data(group="person", columns=("nose_tip",)).load()
    for parts in (whole, nose):
        assert not torch.isin(parts.valid.groups, parts.train.groups).any()
    assert torch.isin(whole.valid.rows, nose.valid.rows).all()
    assert not torch.isin(whole.valid.rows, nose.train.rows).any()
    assert len(nose.train) + len(nose.valid) == 7049


def test_a_limit_cuts_both_parts_and_leaves_the_split(single):
    few = data(limit=500, columns=("nose_tip",)).load()
    assert few.notes["samples"] == 500
    assert int(torch.cat([few.train.rows, few.valid.rows]).max()) == 499
    assert torch.isin(few.valid.rows, single.valid.rows).all()
    with pytest.raises(ValueError, match=r"data\.limit \(=2\) leaves no sample"):
        data(limit=2).load()


def test_the_split_of_kept_rows_would_leak(single):
    """Why the option is there: a split of the rows that a specialist keeps puts the single net's validation faces into
    its training part.
    """
    nose = FacialKeypoints(size=8, columns=("nose_tip",)).load()
    assert torch.isin(single.valid.rows, nose.train.rows).sum() > 300


@pytest.mark.shared
def test_real_faces_can_lack_what_the_competition_lacks(faces):
    counts = {}
    for name, columns in {
        "all": None,
        "eyes": SPECIALISTS[7033],
        "nose": SPECIALISTS[7049],
        "mouth": SPECIALISTS[2260],
    }.items():
        parts = data(path=faces, lacking="kaggle", group="person", columns=columns).load()
        counts[name] = (len(parts.train), len(parts.valid))
    assert counts == {"all": (842, 210), "eyes": (2740, 715), "nose": (2745, 717), "mouth": (885, 225)}


def test_faces_that_lack_points_already_are_refused():
    with pytest.raises(ValueError, match=r"data\.lacking \(=kaggle\) requires faces without missing keypoints"):
        data(lacking="kaggle").load()
    assert np.isnan(FacialKeypoints(size=8, missing="mask")._read().keypoints).any()
