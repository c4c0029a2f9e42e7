"""Fifteen keypoints on a face: the data of the keypoint study."""

from __future__ import annotations

import inspect
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from ablate.data import cache
from ablate.data.data import Data, shown
from ablate.data.dataset import Keypoints, Part, Parts, Spec
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
        "Grayscale 96×96 images of faces with fifteen keypoints, many of them missing.",
        source=(
            "Kaggle's Facial Keypoints Detection; Nouri 2014, Using convolutional neural nets to detect facial "
            "keypoints"
        ),
        helps="For regression of image coordinates. Without path, synthetic faces are generated.",
        costs="Reading the CSV takes seconds the first time; later runs use a cache.",
        interacts="flip swaps the keypoints of the left and the right side.",
    ),
)
class FacialKeypoints(Data):
    """Inputs uint8 (n, 1, size, size); targets float32 (n, 2·P), x and y of each keypoint as (pixel − 48)/48 of the
    96×96 frame, NaN if missing.
    """

    group_names = ("person",)

    missing_hint: ClassVar[str] = "Download it from the competition page, or remove 'path' to use synthetic faces."

    needs_file: ClassVar[bool] = True

    path: DataPath | None = Field(
        default=None,
        description=(
            "the competition's training.csv or zip, or an .npz of images, keypoints and person; null: synthetic faces"
        ),
    )
    missing: Literal["drop", "mask"] = Field(
        default="drop",
        description=(
            "which samples to use. drop: those with all chosen keypoints; mask: those with at least one; missing ones "
            "are NaN"
        ),
    )
    columns: tuple[Point, ...] | None = Field(
        default=None, min_length=1, description="the keypoints to predict, in this order; null: all fifteen"
    )
    size: int = Field(default=FRAME, ge=8, le=FRAME, description="side of the images that the network gets, in pixels")
    lacking: Literal["source", "kaggle"] = Field(
        default="source",
        description=(
            "which keypoints are missing. source: those that the file lacks; kaggle: also remove those that the "
            "competition's file lacks (for faces with all keypoints)"
        ),
    )
    split_on: Literal["kept", "complete"] = Field(
        default="kept",
        description=(
            "samples that can be in the validation set. kept: all samples in use; complete: only those with all "
            "fifteen keypoints, so that variants with different 'columns' have the same validation set; with 'group', "
            "also the other samples of people in it"
        ),
    )
    limit: int | None = Field(
        default=None,
        ge=2,
        description=(
            "maximum number of samples: the first ones that 'missing' keeps; null: all. With 'group', samples of the "
            "last person may be cut off"
        ),
    )

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        twice = next((name for i, name in enumerate(columns or ()) if name in (columns or ())[:i]), None)
        if twice is not None:
            raise ValueError(f"must list each keypoint once ('{twice}' is duplicated).")
        return columns

    def load(self) -> Parts:
        faces = self._read()
        if self.group is not None and (self.group != "person" or faces.person is None):
            rule = (
                "must be 'person'"
                if self.group != "person"
                else "requires person labels. Use an .npz file or the synthetic faces"
            )
            raise ValueError(f"data.group (={self.group}) {rule}.")
        if self.lacking == "kaggle":
            faces = _lacking(faces)
        complete = np.logical_not(np.isnan(faces.keypoints).any(axis=(1, 2)))
        keypoints = faces.keypoints[:, [POINTS.index(name) for name in self._chosen]].reshape(len(faces.keypoints), -1)
        known = ~np.isnan(keypoints)
        rows = np.flatnonzero(known.all(1) if self.missing == "drop" else known.any(1))
        dropped = len(keypoints) - len(rows)
        last = rows[: self.limit][-1] if len(rows) else -1
        if self.split_on == "kept":
            rows = rows[: self.limit]
        person = torch.from_numpy(faces.person[rows]) if self.group is not None and faces.person is not None else None
        number = torch.from_numpy(rows)
        samples = Part(number, torch.from_numpy((keypoints[rows] - 48) / 48), rows=number, groups=person)
        notes = {"dropped": dropped, "source": shown(self.path) if self.path else "drawn faces"}
        if self.split_on == "kept":
            data = self.parts(samples, self.spec(), **notes)
        else:
            data = self._split_on(samples, torch.from_numpy(np.asarray(complete)[rows]), int(last), **notes)
        train, valid = (self._with_images(part, faces) for part in (data.train, data.valid))
        return replace(data, train=train, valid=valid, test=data.test and self._with_images(data.test, faces))

    def _with_images(self, part: Part, faces: Faces) -> Part:
        """A split with its images instead of their numbers; those that ``limit`` leaves out are never resized."""
        assert part.rows is not None
        images = resample(faces.images[part.rows.numpy()], self.size)
        return replace(part, inputs=torch.from_numpy(images).unsqueeze(1))

    def _split_on(self, samples: Part, complete: torch.Tensor, last: int, **notes: object) -> Parts:
        """Split the complete samples and add all others to the training set, or to the set of their person; then apply
        ``last``.
        """
        whole = self.model_copy(
            update={"limit": None}
        )  # the limit is applied after the split, which must not depend on it
        data = whole.parts(samples.take(complete.nonzero()[:, 0]), self.spec(), **notes)
        other = samples.take((~complete).nonzero()[:, 0])
        free = torch.ones(len(other), dtype=torch.bool)
        changed: dict[str, Part | None] = {}
        for name, part in (("valid", data.valid), ("test", data.test), ("train", data.train)):
            if part is None:
                continue
            theirs = free.clone() if name == "train" else torch.zeros_like(free)
            if other.groups is not None and part.groups is not None and name != "train":
                theirs = torch.isin(other.groups, part.groups)
            free &= ~theirs
            both = joined(part, other.take(theirs.nonzero()[:, 0]))
            assert both.rows is not None
            changed[name] = both.take((both.rows <= last).nonzero()[:, 0])
        counts = {name: len(part) for name, part in changed.items() if part is not None}
        train, valid = changed["train"], changed["valid"]
        assert train is not None
        assert valid is not None
        for name, count in counts.items():
            if not count:
                raise ValueError(f"data.limit (={self.limit}) leaves no samples in the {name} split. Increase it.")
        notes = {**data.notes, **counts, "samples": sum(counts.values())}
        return replace(data, train=train, valid=valid, test=changed.get("test"), notes=notes)

    def spec(self) -> Spec:
        chosen = self._chosen
        pairs = tuple((chosen.index(a), chosen.index(b)) for a, b in PAIRS if a in chosen and b in chosen)
        return Spec(
            (1, self.size, self.size),
            outputs=2 * len(chosen),
            task="regression",
            keypoints=Keypoints(pairs, chosen, frame=FRAME),
            target_names=tuple(f"{name}_{axis}" for name in chosen for axis in "xy"),
        )

    @property
    def _chosen(self) -> tuple[str, ...]:
        return self.columns or POINTS

    def _read(self) -> Faces:
        if self.path is None:
            from ablate.data import drawn_faces, pencil

            # the key is the code that generates the faces: after any change, they are generated again
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


def _lacking(faces: Faces) -> Faces:
    """Remove as many keypoints of complete faces as are missing in the competition's data; the selection is fixed and
    independent of the persons.
    """
    from ablate.data.drawn_faces import SEED, missing_pattern

    n = len(faces.keypoints)
    if np.isnan(faces.keypoints).any():
        raise ValueError("data.lacking (=kaggle) requires faces without missing keypoints. Remove it.")
    keypoints = faces.keypoints.copy()
    keypoints[missing_pattern(n)[np.random.default_rng([SEED, 2]).permutation(n)]] = np.nan
    return Faces(faces.images, keypoints, faces.person)


def joined(one: Part, other: Part) -> Part:
    """The samples of two splits in memory, concatenated."""

    def both(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
        return None if a is None or b is None else torch.cat([a, b])

    return Part(
        both(one.inputs, other.inputs),
        both(one.targets, other.targets),
        rows=both(one.rows, other.rows),
        groups=both(one.groups, other.groups),
    )


def _kaggle(path: Path) -> Faces:
    from ablate.data.kaggle_csv import read_kaggle

    return read_kaggle(path)


def _is_npz(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") for name in archive.namelist())
