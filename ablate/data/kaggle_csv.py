"""The competition's ``training.csv``, plain or zipped."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ablate.data.csv_file import WrongCsv, numbers, read_csv, read_csv_chunks
from ablate.data.faces import FRAME, POINTS, Faces
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

COLUMNS = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
ROWS_AT_ONCE = 512


def read_kaggle(path: Path) -> Faces:
    """Faces from a CSV with the columns ``left_eye_center_x`` … ``mouth_center_bottom_lip_y`` and ``Image`` (9216
    numbers); empty cells are missing keypoints.

    Raises ValueError (without the path) if the file is invalid.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return _read_csv(file)
    with zipfile.ZipFile(path) as archive:
        return _read_zip(archive)


def _read_zip(archive: zipfile.ZipFile) -> Faces:
    """``training.csv`` in a zip, or in the ``training.zip`` inside the competition's complete download."""
    by_name = {Path(name).name: name for name in archive.namelist()}
    if "training.csv" in by_name:
        with archive.open(by_name["training.csv"]) as file:
            return _read_csv(file)
    if "training.zip" in by_name:
        with zipfile.ZipFile(io.BytesIO(archive.read(by_name["training.zip"]))) as inner:
            return _read_zip(inner)
    raise ValueError("must contain training.csv, but does not. Use the competition's training.zip.")


def _read_csv(file: IO[bytes]) -> Faces:
    images: list[NDArray[np.uint8]] = []
    points: list[NDArray[np.float32]] = []
    row = 0
    try:
        for chunk in read_csv_chunks(file, [*COLUMNS, "Image"], ROWS_AT_ONCE, dtype={"Image": str}):
            lacking = [name for name in [*COLUMNS, "Image"] if name not in chunk.columns]
            if lacking:
                raise _Wrong(
                    f"has no column '{lacking[0]}' ({len(lacking)} columns are missing). Use the "
                    "competition's training.csv."
                )
            if chunk.empty:
                continue
            points.append(_numbers(chunk, row))
            images.append(np.stack([_pixels(text, row + i) for i, text in enumerate(chunk["Image"])]))
            row += len(chunk)
    except WrongCsv as error:
        raise ValueError(f"{error} Use the competition's training.csv, its zip, or an .npz.") from None
    except _Wrong as error:
        raise ValueError(str(error)) from None
    if not images:
        raise ValueError("contains no samples. Use the competition's training.csv.")
    keypoints = np.concatenate(points).reshape(-1, len(POINTS), 2)
    # a keypoint with one missing coordinate is missing
    keypoints[np.isnan(keypoints).any(axis=-1)] = np.nan
    return Faces(np.concatenate(images).reshape(-1, FRAME, FRAME), keypoints)


class _Wrong(Exception):
    """An invalid file, as opposed to an error of the CSV reader."""


def _numbers(chunk: Any, row: int) -> NDArray[np.float32]:
    try:
        return numbers(chunk, COLUMNS, row + 1).astype(np.float32)
    except WrongCsv as error:
        raise _Wrong(f"{error} It must be a number or empty.") from None


def _pixels(text: object, row: int) -> NDArray[np.uint8]:
    """One image (9216,) from its numbers.

    The text mode of ``fromstring`` (not deprecated) is 4 times faster than ``str.split``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            # wider than a byte, in which 300 would silently become 44
            values = np.fromstring(text if isinstance(text, str) else "", np.int16, sep=" ")
    except (ValueError, DeprecationWarning):
        raise _Wrong(f"must have integers in column Image, row {row + 1}.") from None
    if len(values) != FRAME * FRAME:
        raise _Wrong(f"has {len(values)} numbers in column Image, row {row + 1}. An image must have 9216 (96×96).")
    if values.min() < 0 or values.max() > 255:
        raise _Wrong(f"has pixel values outside 0 … 255 in column Image, row {row + 1}.")
    return values.astype(np.uint8)


def read_kaggle_test(path: Path) -> tuple[list[int], NDArray[np.uint8]]:
    """The ids and images (n, 96, 96) of the competition's ``test.csv``. Raises ValueError if the file is invalid."""
    table = read_csv(path, ("ImageId", "Image"), dtype={"Image": str})
    for name in ("ImageId", "Image"):
        if name not in table.columns:
            raise ValueError(f"has no column '{name}'. Use the competition's test.csv.")
    if table.empty:
        raise ValueError("contains no samples. Use the competition's test.csv.")
    try:
        images = np.stack([_pixels(text, row) for row, text in enumerate(table["Image"])])
    except _Wrong as error:
        raise ValueError(str(error)) from None
    return [int(number) for number in table["ImageId"]], images.reshape(-1, FRAME, FRAME)
