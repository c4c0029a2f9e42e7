"""What the tests of data share: a few pictures, and files as Kaggle has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ablate.data.faces import FRAME, POINTS, Faces

ALWAYS = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_center_bottom_lip")


@pytest.fixture
def few_faces() -> Faces:
    """Twelve pictures of noise; every second one lacks eleven of the fifteen points, as 70 % of the competition's do."""
    rng = np.random.default_rng(0)
    keypoints = rng.uniform(0, 96, (12, 15, 2)).round(3).astype(np.float32)
    keypoints[1::2, [i for i, name in enumerate(POINTS) if name not in ALWAYS]] = np.nan
    return Faces(rng.integers(0, 256, (12, FRAME, FRAME), np.uint8), keypoints)


@pytest.fixture(scope="session")
def write_kaggle() -> Callable[[Path, Faces], Path]:
    """Writes faces as the competition's training.csv: a column for each x and y, then the pixels in one cell; missing
    points are empty cells.
    """

    def write(path: Path, faces: Faces) -> Path:
        header = ",".join([*(f"{name}_{axis}" for name in POINTS for axis in "xy"), "Image"])
        lines = [header]
        for image, points in zip(faces.images, faces.keypoints.reshape(len(faces.images), -1), strict=True):
            cells = ["" if np.isnan(value) else repr(float(value)) for value in points]
            lines.append(",".join([*cells, " ".join(map(str, image.ravel().tolist()))]))
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
