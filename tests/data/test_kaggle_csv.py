from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ablate.data.faces import Faces
from ablate.data.facial_keypoints import FacialKeypoints
from ablate.data.kaggle_csv import read_kaggle

Write = Callable[[Path, Faces], Path]


def assert_same(read: Faces, written: Faces) -> None:
    np.testing.assert_array_equal(read.images, written.images)
    np.testing.assert_array_equal(read.keypoints, written.keypoints)
    assert read.images.dtype == np.uint8
    assert read.keypoints.dtype == np.float32


def test_what_is_written_is_read(tmp_path: Path, few_faces: Faces, write_kaggle: Write):
    assert_same(read_kaggle(write_kaggle(tmp_path / "training.csv", few_faces)), few_faces)


def test_the_zip_and_the_zip_in_the_whole_download(tmp_path: Path, few_faces: Faces, write_kaggle: Write):
    csv = write_kaggle(tmp_path / "training.csv", few_faces)
    with zipfile.ZipFile(tmp_path / "training.zip", "w") as archive:
        archive.write(csv, "training.csv")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "training.zip", "training.zip")
        archive.writestr("test.zip", b"")
    assert_same(read_kaggle(tmp_path / "training.zip"), few_faces)
    assert_same(read_kaggle(tmp_path / "all.zip"), few_faces)


@pytest.mark.shared
def test_the_real_faces_survive_the_round_trip(tmp_path: Path, faces: Path, write_kaggle: Write):
    """With 70 % of the rows lacking eleven of the fifteen points, as in the competition."""
    with np.load(faces) as arrays:
        real = Faces.from_arrays({name: arrays[name][:600] for name in ("images", "keypoints")})
    poor = np.random.default_rng(0).permutation(600)[:420]
    keypoints = real.keypoints.copy()
    keypoints[poor[:, None], [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13]] = np.nan
    written = Faces(real.images, keypoints)
    path = write_kaggle(tmp_path / "training.csv", written)
    assert_same(read_kaggle(path), written)
    parts = FacialKeypoints(path=path).load()
    assert parts.notes["dropped"] == 420
    assert (len(parts.train), len(parts.valid)) == (144, 36)


def broken(line: str, old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        lines = text.splitlines()
        lines[int(line)] = lines[int(line)].replace(old, new, 1)
        return "\n".join(lines) + "\n"

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken("0", "nose_tip_x", "nose"), "has no column 'nose_tip_x'"),
        (broken("0", "Image", "Picture"), "has no column 'Image'"),
        (lambda text: text.rstrip("\n").rsplit(" ", 1)[0] + "\n", "has 9215 numbers in column Image, row 12"),
        (
            lambda text: text.rstrip("\n").rsplit(" ", 1)[0] + " 256\n",
            "has pixel values outside 0 … 255 in column Image, row 12",
        ),
        (
            lambda text: text.rstrip("\n").rsplit(" ", 1)[0] + " x\n",
            "must have integers in column Image, row 12",
        ),
        (lambda text: text.splitlines()[0] + "\n", "contains no samples"),
        (lambda text: "", "cannot be read as CSV"),
        (
            lambda text: "\n".join([*text.splitlines(), "here" + "," * 30 + "1 2"]),
            "has 'here' in column 'left_eye_center_x', row 13",
        ),
    ],
)
def test_a_wrong_file_is_told_in_one_line(
    tmp_path: Path, few_faces: Faces, write_kaggle: Write, change: Callable[[str], str], message: str
):
    path = write_kaggle(tmp_path / "training.csv", few_faces)
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=r"data\.path") as error:
        FacialKeypoints(path=path).load()
    assert str(error.value).startswith(f"data.path (={path}) {message}")
    assert "\n" not in str(error.value)


def test_other_kinds_of_files_are_told_too(tmp_path: Path):
    path = tmp_path / "faces.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe\x00,\x00")
    with pytest.raises(ValueError, match=r"data\.path .* (cannot be read as CSV|has no column)"):
        FacialKeypoints(path=path).load()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("test.csv", "ImageId,Image\n")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"must contain training\.csv"):
        FacialKeypoints(path=path).load()
