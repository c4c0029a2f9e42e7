"""Arrays in an .npz file."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec, Task
from ablate.registry import Card, register, suggestion
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")

INPUTS = ("inputs", "x", "X", "images", "data")
TARGETS = ("targets", "y", "Y", "labels", "target")


@register(
    "data",
    "npz",
    card=Card(
        "Your own arrays of inputs and targets in one .npz file.",
        source="numpy.savez",
        helps="For data that fit in memory and have one target per sample.",
        interacts="uint8 inputs stay bytes in memory and are scaled to 0 … 1 in each batch.",
    ),
)
class Npz(Data):
    """Inputs (n, …), images (n, H, W) as (n, 1, H, W).

    Integer targets (n,) are classes, floats (n,) or (n, k) are for regression, NaN if missing.
    """

    needs_file: ClassVar[bool] = True

    path: DataPath = Field(description="the .npz file")
    inputs: str | None = Field(default=None, description="key of the inputs; null: inputs, x, X, images or data")
    targets: str | None = Field(default=None, description="key of the targets; null: targets, y, Y, labels or target")

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
        inputs, targets = _inputs(x, self.float_type), _targets(y, self.float_type)
        task, outputs, classes = _kind(targets)
        samples = Part(
            inputs,
            targets,
            rows=torch.arange(len(inputs)),
            groups=None if groups is None else torch.from_numpy(np.unique(groups, return_inverse=True)[1].reshape(-1)),
        )
        return self.parts(samples, Spec(tuple(inputs.shape[1:]), outputs, task, classes), source=shown(path))


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


def _inputs(x: NDArray[Any], float_type: str) -> torch.Tensor:
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim == 3:
        x = x[:, None]
    if x.dtype.kind == "f":
        bad = ~np.isfinite(x.reshape(len(x), -1)).all(1)
        if bad.any():
            raise ValueError(
                f"data.inputs has a missing or infinite number in sample {int(bad.argmax())}. Replace it, or "
                "remove the sample."
            )
    if x.dtype == np.uint8:
        return torch.from_numpy(x)
    return torch.from_numpy(x.astype(float_type))


def _targets(y: NDArray[Any], float_type: str) -> torch.Tensor:
    if y.dtype.kind == "f":
        return torch.from_numpy(y.astype(float_type).reshape(len(y), -1) if y.ndim <= 2 else y.astype(float_type))
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.size and y.min() < 0:
        raise ValueError(
            f"data.targets has the class index {y.min()}. Class indices must start at 0; use floats for regression."
        )
    return torch.from_numpy(y.astype(np.int64))


def _kind(targets: torch.Tensor) -> tuple[Task, int, tuple[str, ...]]:
    """The task, the number of outputs and the classes, from the targets."""
    if targets.is_floating_point():
        return "regression" if targets.dim() == 2 else "other", targets[:1].numel(), ()
    outputs = int(targets.max()) + 1 if len(targets) else 1
    if outputs < 2:
        raise ValueError("data.targets (=0 for all samples) must have at least two classes. Use floats for regression.")
    return "classification" if targets.dim() == 1 else "other", outputs, tuple(str(number) for number in range(outputs))
