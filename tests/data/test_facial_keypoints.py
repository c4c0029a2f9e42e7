from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ablate.data import cache, kaggle_csv
from ablate.data.faces import PAIRS, POINTS, Faces, resample
from ablate.data.facial_keypoints import FacialKeypoints, Point

Write = Callable[[Path, Faces], Path]
EYES = ("left_eye_center", "right_eye_center")


def save(path: Path, faces: Faces, **more: Any) -> Path:
    np.savez(path, **(faces.arrays() | more))
    return path


@pytest.fixture
def npz(tmp_path: Path, few_faces: Faces) -> Path:
    return save(tmp_path / "faces.npz", Faces(few_faces.images, few_faces.keypoints, np.repeat(np.arange(4), 3)))


def test_the_names_that_a_recipe_may_write_are_the_points():
    assert get_args(Point) == POINTS


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"missing": "mask"},
        {"columns": EYES},
        {"columns": ("nose_tip", "mouth_left_corner")},
        {"size": 40},
        {"limit": 5},
    ],
)
def test_the_facts_are_known_without_reading_and_hold(npz: Path, settings: dict[str, Any]):
    data = FacialKeypoints(path=npz, **settings)
    parts = data.load()
    assert parts.spec == data.spec() == FacialKeypoints(**settings).spec()
    for part in (parts.train, parts.valid):
        assert part.inputs.dtype == torch.uint8
        assert part.inputs.shape[1:] == parts.spec.input_shape
        assert part.targets.dtype == torch.float32
        assert part.targets.shape == (len(part), parts.spec.outputs)
        assert len(parts.spec.target_names) == parts.spec.outputs


def test_the_whole_drawn_study_has_the_catalogues_counts():
    parts = FacialKeypoints().load()
    assert (len(parts.train), len(parts.valid)) == (1712, 428)
    assert parts.notes == {"samples": 2140, "train": 1712, "valid": 428, "dropped": 4909, "source": "drawn faces"}
    counts = {EYES: 7033, ("nose_tip",): 7049, ("mouth_center_bottom_lip",): 7016}
    for columns, rows in counts.items():
        assert FacialKeypoints(columns=columns).load().notes["samples"] == rows
    masked = FacialKeypoints(missing="mask").load()
    assert masked.notes["samples"] == 7049
    assert 0.48 < float(masked.train.targets.isnan().float().mean()) < 0.52


def test_values_are_those_of_the_source(npz: Path, few_faces: Faces):
    parts = FacialKeypoints(path=npz, missing="mask").load()
    for part in (parts.train, parts.valid):
        np.testing.assert_array_equal(part.inputs[:, 0], few_faces.images[part.rows])
        np.testing.assert_allclose(part.targets * 48 + 48, few_faces.keypoints[part.rows].reshape(-1, 30), atol=1e-4)


def test_drop_keeps_rows_that_have_all_chosen_points_and_mask_those_that_have_one(npz: Path):
    assert FacialKeypoints(path=npz).load().notes["dropped"] == 6
    assert FacialKeypoints(path=npz, columns=("nose_tip",)).load().notes["dropped"] == 0
    assert FacialKeypoints(path=npz, missing="mask").load().notes["dropped"] == 0
    brows = tuple(name for name in POINTS if "eyebrow" in name)
    assert FacialKeypoints(path=npz, columns=brows, missing="mask").load().notes["dropped"] == 6
    parts = FacialKeypoints(path=npz, limit=4).load()
    assert set(torch.cat([parts.train.rows, parts.valid.rows]).tolist()) == {0, 2, 4, 6}


def test_chosen_columns_keep_their_order_and_their_pairs(npz: Path, few_faces: Faces):
    data = FacialKeypoints(path=npz, columns=("mouth_right_corner", "nose_tip", "mouth_left_corner"))
    parts = data.load()
    assert parts.spec.keypoints.names == data.columns
    assert parts.spec.keypoints.pairs == ((2, 0),)
    picked = few_faces.keypoints[parts.train.rows][:, [12, 10, 11]].reshape(-1, 6)
    np.testing.assert_allclose(parts.train.targets * 48 + 48, picked, atol=1e-4)
    everything = FacialKeypoints().spec().keypoints
    assert [(everything.names[a], everything.names[b]) for a, b in everything.pairs] == list(PAIRS)


@pytest.mark.parametrize("size", [96, 48, 32, 40])
def test_resampling_takes_the_mean_of_the_area(size: int):
    images = np.random.default_rng(0).integers(0, 256, (3, 96, 96), np.uint8)
    # pixels cut into so many parts that every new one is whole
    fine = np.lcm(96, size)
    parts = images.repeat(fine // 96, 1).repeat(fine // 96, 2).reshape(3, size, fine // size, size, fine // size)
    assert np.abs(resample(images, size) - parts.mean((2, 4))).max() <= 0.501


def test_groups_stay_together(npz: Path):
    parts = FacialKeypoints(path=npz, missing="mask", group="person").load()
    assert not set(parts.train.groups.tolist()) & set(parts.valid.groups.tolist())
    assert FacialKeypoints(path=npz, missing="mask").load().train.groups is None


def test_columns_in_another_order_are_put_right(tmp_path: Path, few_faces: Faces, npz: Path):
    turned = Faces(few_faces.images, few_faces.keypoints[:, ::-1])
    other = save(tmp_path / "turned.npz", turned, columns=np.array(POINTS[::-1]))
    expected, found = (FacialKeypoints(path=path, missing="mask").load().train.targets for path in (npz, other))
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_the_csv_is_parsed_once_and_again_when_it_changes(
    tmp_path: Path, few_faces: Faces, write_kaggle: Write, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    path = write_kaggle(tmp_path / "training.csv", few_faces)
    readings: list[Path] = []
    parse = kaggle_csv.read_kaggle
    monkeypatch.setattr(kaggle_csv, "read_kaggle", lambda p: (readings.append(p), parse(p))[1])
    first = FacialKeypoints(path=path).load()
    second = FacialKeypoints(path=path).load()
    assert len(readings) == 1
    assert torch.equal(first.train.inputs, second.train.inputs)
    assert torch.equal(first.train.targets, second.train.targets)

    write_kaggle(path, Faces(255 - few_faces.images, few_faces.keypoints))
    os.utime(path, ns=(1, 1))
    third = FacialKeypoints(path=path).load()
    assert len(readings) == 2
    assert torch.equal(third.train.inputs, 255 - first.train.inputs)
    kept = list((tmp_path / "cache").iterdir())
    assert len(kept) == 1

    kept[0].write_bytes(kept[0].read_bytes()[:5000])
    fourth = FacialKeypoints(path=path).load()
    assert len(readings) == 3
    assert torch.equal(fourth.train.inputs, third.train.inputs)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "file" / "cache"))
    made = cache.cached("name", "key", lambda: {"a": np.arange(3)})
    assert made["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": ("nose_tip", "nose_tip")}, "'nose_tip' is duplicated"),
        ({"columns": ("nose",)}, "columns"),
        ({"columns": ()}, "columns"),
        ({"size": 97}, "size"),
        ({"limit": 0}, "limit"),
        ({"valid": 0}, "valid"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        FacialKeypoints(**settings)


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="data") as error:
        FacialKeypoints(path=tmp_path / "data" / "training.csv").load()
    assert str(error.value) == (
        "data.path (=data/training.csv) does not exist. Download it from the competition page, or remove 'path' to use synthetic faces."
    )


def test_wrong_archives_and_groups_are_told(tmp_path: Path, few_faces: Faces, npz: Path, write_kaggle: Write):
    def message(**settings: Any) -> str:
        with pytest.raises(ValueError, match="data") as error:
            FacialKeypoints(**settings).load()
        return str(error.value)

    small = save(tmp_path / "small.npz", few_faces, images=few_faces.images[:, ::2, ::2])
    assert "has images uint8 (12, 48, 48). They must be uint8 (n, 96, 96)." in message(path=small)
    np.savez(tmp_path / "bare.npz", images=few_faces.images)
    assert "has no array 'keypoints'" in message(path=tmp_path / "bare.npz")
    assert message(path=npz, group="age") == "data.group (=age) must be 'person'."
    csv = write_kaggle(tmp_path / "training.csv", few_faces)
    assert "data.group (=person) requires person labels" in message(path=csv, group="person")
    assert "is a folder" in message(path=tmp_path)


@pytest.mark.shared
def test_the_real_faces_split_by_person(faces: Path):
    parts = FacialKeypoints(path=faces, group="person").load()
    assert len(parts.train) + len(parts.valid) == 3462
    assert abs(len(parts.valid) - 692) <= 1
    assert not set(parts.train.groups.tolist()) & set(parts.valid.groups.tolist())
    mean = parts.train.targets.mean(0)
    assert 7 < float(((parts.valid.targets - mean) ** 2).mean().sqrt() * 48) < 9
