"""Arrays in an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ablate.data.classes import check_classes
from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec, Task
from ablate.data.keypoints import Points, as_coordinates
from ablate.data.rounding import narrowed
from ablate.recipe.contents import of_contents
from ablate.registry import Card, register, suggestion
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

Floats = Callable[["NDArray[Any]"], "NDArray[Any]"]

INPUTS = ("inputs", "x", "X", "images", "data")
TARGETS = ("targets", "y", "Y", "labels", "target")


@register(
    "data",
    "npz",
    card=Card(
        "Your own arrays of inputs and targets in one .npz file.",
        source="numpy.savez",
        helps="For data that fit in memory and have one target per sample.",
        interacts=(
            "uint8 inputs stay bytes in memory and are scaled to 0 … 1 in each batch. Declare targets that are "
            "coordinates with keypoints, so that flip, rotate, shift, scale and crop move them with the images."
        ),
    ),
)
class Npz(Data):
    """Inputs (n, …), images (n, H, W) as (n, 1, H, W).

    Integer targets (n,) are classes, floats (n,) or (n, k) are for regression, NaN if missing. Keypoints (n, P, 2) or
    (n, 2·P) are floats (n, 2·P) in the file's unit.
    """

    needs_file: ClassVar[bool] = True

    path: DataPath = Field(description="the .npz file")
    inputs: str | None = Field(default=None, description="key of the inputs; null: inputs, x, X, images or data")
    targets: str | None = Field(default=None, description="key of the targets; null: targets, y, Y, labels or target")
    keypoints: Points | None = Field(
        default=None,
        description=(
            "declares the targets as coordinates in the image: the number or names of the points, or a mapping with "
            "points, unit and swap"
        ),
    )

    def check(self) -> None:
        """Raises ValueError for keypoints without use."""
        super().check()
        if self.keypoints is not None and self.reconstruct:
            raise ValueError("data.keypoints has no effect with 'reconstruct'. Remove one of them.")

    def load(self) -> Parts:
        path = self.existing(self.path)
        arrays = read_arrays(path, "data.path")
        x = _array(arrays, "inputs", self.inputs, INPUTS)
        y = _array(arrays, "targets", self.targets, TARGETS)
        groups = None if self.group is None else _array(arrays, "group", self.group, ())
        if not len(x):
            raise ValueError(f"data.path (={shown(path)}) has inputs of shape {x.shape}. They must be (n, …).")
        for name, values in (("targets", y), ("group", groups)):
            if values is not None and len(values) != len(x):
                raise ValueError(
                    f"data.{name} has {len(values)} samples, but the inputs have {len(x)}. The numbers must be equal."
                )
        points = self.keypoints
        inputs = _inputs(x, self.floats)
        if points and points.names:
            targets = torch.from_numpy(as_kept(y.astype(np.float64), self.floats, "targets"))
            targets = as_coordinates(targets)
        else:
            targets = _targets(y, self.floats)
        spec = _spec(tuple(inputs.shape[1:]), targets, points)
        samples = Part(
            inputs,
            targets,
            rows=torch.arange(len(inputs)),
            groups=None if groups is None else torch.from_numpy(np.unique(groups, return_inverse=True)[1].reshape(-1)),
        )
        return self.parts(samples, spec, source=shown(path))

    def misread(self, contents: str) -> bool:
        return of_contents(contents, f"npz {self.inputs} {self.targets}", self._loses_differences)

    def _loses_differences(self) -> bool:
        """Whether earlier versions lost differences of the numbers in float32."""
        try:
            arrays = read_arrays(self.path, "data.path")
            x = _array(arrays, "inputs", self.inputs, INPUTS)
            y = _array(arrays, "targets", self.targets, TARGETS)
        except ValueError:
            return False
        return any(narrowed(values).dtype == np.float64 for values in (x, y) if values.dtype.kind == "f" or values is x)


def read_arrays(path: Path, field: str) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file, by name. Raises ValueError (one line); ``field`` is the setting with the path."""
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not a zip archive")
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{field} (={shown(path)}) cannot be read as .npz: {str(error).rstrip('.')}.") from None


def _array(arrays: dict[str, NDArray[Any]], field: str, wanted: str | None, usual: tuple[str, ...]) -> NDArray[Any]:
    name = wanted if wanted is not None else next((name for name in usual if name in arrays), None)
    there = ", ".join(arrays) or "nothing"
    if name is None:
        raise ValueError(
            f"data.{field} must be one of the file's arrays ({there}), because none is called {', '.join(usual)}."
        )
    if name not in arrays:
        near = suggestion(name, arrays)
        hint = f" Did you mean '{near}'?" if near else ""
        raise ValueError(f"data.{field} (={name}) is not in the file, which has {there}.{hint}")
    if arrays[name].ndim == 0 or arrays[name].dtype.kind not in "biuf" + ("US" if field == "group" else ""):
        raise ValueError(
            f"data.{field} (={name}) is {arrays[name].dtype} {arrays[name].shape}. It must be numeric (n, …)."
        )
    return arrays[name]


def _inputs(x: NDArray[Any], floats: Floats) -> torch.Tensor:
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim == 3:
        x = x[:, None]
    if x.dtype == np.uint8:
        return torch.from_numpy(x)
    return torch.from_numpy(as_kept(x, floats, "inputs"))


def _targets(y: NDArray[Any], floats: Floats) -> torch.Tensor:
    if y.dtype.kind == "f":
        numbers = torch.from_numpy(as_kept(y, floats, "targets"))
        return numbers.reshape(len(y), -1) if y.ndim <= 2 else numbers
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    check_classes(y, len(y), "data.targets", single=y.ndim == 1)
    return torch.from_numpy(y.astype(np.int64))


def as_kept(values: NDArray[Any], floats: Floats, field: str) -> NDArray[Any]:
    """The ``floats`` of ``values``. Raises ValueError (one line) for numbers that are infinite or become so, and for
    missing inputs.
    """
    kept = floats(values)
    bad = np.isinf(kept) if field == "targets" else ~np.isfinite(kept)
    if bad.any():
        sample = int(bad.reshape(len(bad), -1).any(1).argmax())
        value = values[bad].reshape(-1)[0]
        large = f"a number too large for float32 ({value:g})"
        what = large if np.isfinite(value) else "a missing or infinite number"
        raise ValueError(f"data.{field} has {what} in sample {sample}. Replace it, or remove the sample.")
    return kept


def _spec(input_shape: tuple[int, ...], targets: torch.Tensor, points: Points | None) -> Spec:
    """The facts, from the targets."""
    if targets.is_floating_point():
        task: Task = "regression" if targets.dim() == 2 else "other"
        outputs = targets[:1].numel()
        marks = points.facts(input_shape, outputs, "data.keypoints") if points else None
        names = points.target_names if points else ()
        places = tuple(targets.shape[1:]) if task == "other" else ()
        no_positions = points is not None and marks is None
        return Spec(input_shape, outputs, task, (), marks, names, places=places, no_positions=no_positions)
    outputs = int(targets.max()) + 1 if len(targets) else 1
    if outputs < 2:
        raise ValueError(
            "data.targets (=0 for all samples) must contain at least two classes. Use floats for regression."
        )
    classes = tuple(str(number) for number in range(outputs))
    task, places = "classification" if targets.dim() == 1 else "other", tuple(targets.shape[1:])
    return Spec(input_shape, outputs, task, classes, places=places, no_positions=points is not None)
