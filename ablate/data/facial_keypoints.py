"""Fifteen points on a face: the data of the keypoint study."""

from __future__ import annotations

import inspect
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from ablate.data import cache
from ablate.data.data import Data, shown
from ablate.data.dataset import Landmarks, Part, Parts, Spec
from ablate.data.faces import FRAME, PAIRS, POINTS, Faces, Point, resample
from ablate.registry import Card, register
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")


@register(
    "data",
    "facial_keypoints",
    card=Card(
        "Grey 96×96 faces with fifteen points, many of them missing.",
        source="Kaggle's Facial Keypoints Detection; Nouri 2014, Using convolutional neural nets to detect facial keypoints",
        helps="Regression with left and right in it, where a picture may be mirrored; without a path, faces are drawn.",
        costs="The first reading of the CSV takes seconds, the next ones come from a cache.",
        interacts="A flip swaps the points of the left and the right side.",
    ),
)
class FacialKeypoints(Data):
    """Inputs uint8 (n, 1, size, size); targets float32 (n, 2·P), x and y of each point as (pixel − 48)/48 of the 96×96 frame, NaN where missing."""

    missing_hint: ClassVar[str] = "Download it from the competition page, or drop 'path' to use drawn faces."

    path: DataPath | None = Field(
        default=None,
        description="the competition's training.csv or its zip, or an .npz of images, keypoints and person; none: drawn faces",
    )
    missing: Literal["drop", "mask"] = Field(
        default="drop",
        description="drop rows that lack a chosen point, or keep all that have one and mask the missing ones (NaN)",
    )
    columns: tuple[Point, ...] | None = Field(
        default=None, min_length=1, description="the points to learn, in this order; none: all fifteen"
    )
    size: int = Field(
        default=FRAME, ge=8, le=FRAME, description="side of the pictures that the network sees, in pixels"
    )
    limit: int | None = Field(
        default=None,
        ge=2,
        description="only the first rows, counted after dropping and before the split; with 'group' these are fewer persons, the last perhaps not whole",
    )

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for i, name in enumerate(columns or ()) if name in (columns or ())[:i]), None)
        if twice is not None:
            raise ValueError(f"must name every point once ('{twice}' is there twice).")
        return columns

    def load(self) -> Parts:
        faces = self._read()
        if self.group is not None and (self.group != "person" or faces.person is None):
            rule = (
                "must be 'person'"
                if self.group != "person"
                else "needs a source that knows persons: an .npz, or drawn faces"
            )
            raise ValueError(f"data.group (={self.group}) {rule}.")
        keypoints = faces.keypoints[:, [POINTS.index(name) for name in self._chosen]].reshape(len(faces.keypoints), -1)
        known = ~np.isnan(keypoints)
        rows = np.flatnonzero(known.all(1) if self.missing == "drop" else known.any(1))
        dropped = len(keypoints) - len(rows)
        rows = rows[: self.limit]
        person = torch.from_numpy(faces.person[rows]) if self.group is not None and faces.person is not None else None
        samples = Part(
            torch.from_numpy(resample(faces.images[rows], self.size)).unsqueeze(1),
            torch.from_numpy((keypoints[rows] - 48) / 48),
            rows=torch.from_numpy(rows),
            groups=person,
        )
        return self.parts(
            samples, self.spec(), dropped=dropped, source=shown(self.path) if self.path else "drawn faces"
        )

    def spec(self) -> Spec:
        chosen = self._chosen
        pairs = tuple((chosen.index(a), chosen.index(b)) for a, b in PAIRS if a in chosen and b in chosen)
        return Spec(
            (1, self.size, self.size),
            outputs=2 * len(chosen),
            task="regression",
            landmarks=Landmarks(pairs, chosen, frame=FRAME),
            target_names=tuple(f"{name}_{axis}" for name in chosen for axis in "xy"),
        )

    @property
    def _chosen(self) -> tuple[str, ...]:
        return self.columns or POINTS

    def _read(self) -> Faces:
        if self.path is None:
            from ablate.data import drawn_faces, pencil

            # the code that draws them is their identity: a line changed, and they are drawn again
            key = "".join(inspect.getsource(module) for module in (drawn_faces, pencil))
            return Faces.from_arrays(cache.cached("drawn-faces", key, lambda: drawn_faces.draw_faces().arrays()))
        path = self.existing(self.path)
        try:
            if _is_npz(path):
                with np.load(path) as arrays:
                    return Faces.from_arrays({name: arrays[name] for name in arrays.files})
            return Faces.from_arrays(cache.of_file(path, "kaggle", lambda: _kaggle(path).arrays()))
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"data.path (={shown(path)}) {error}") from None


def _kaggle(path: Path) -> Faces:
    from ablate.data.kaggle_csv import read_kaggle

    return read_kaggle(path)


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())
