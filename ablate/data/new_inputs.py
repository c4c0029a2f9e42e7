"""Read inputs for predictions from a file, like the dataset but without targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.data import shown
from ablate.data.dataset import Part
from ablate.data.faces import FRAME, resample
from ablate.data.facial_keypoints import FacialKeypoints
from ablate.data.npz import INPUTS, _array, _inputs, read_arrays
from ablate.data.table import Table, read_table
from ablate.recipe.settings import Choice
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    import pandas
else:
    np = LazyModule("numpy")
    pandas = LazyModule("pandas")


def read_inputs(choice: Choice, path: Path, *, double: bool = False) -> tuple[Part, list[int] | None]:
    """The samples of an ``.npz`` or ``.csv`` file, and their ids if it has any (Kaggle's ``ImageId``). ``double``:
    floats in float64.

    Raises ValueError (one line) if the file cannot be read, or does not have the inputs of the dataset ``choice``.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"--data (={shown(path)}) {what}. Use a .csv or .npz file of inputs.")
    data = choice.options
    suffix, float_type = path.suffix.lower(), "float64" if double else "float32"
    if suffix == ".npz":
        arrays = read_arrays(path, "--data")
        inputs = _inputs(_array(arrays, "inputs", getattr(data, "inputs", None), INPUTS), float_type)
        return Part(_sized(inputs, data)), None
    if suffix != ".csv":
        raise ValueError(f"--data (={shown(path)}) must end in .csv or .npz.")
    if isinstance(data, FacialKeypoints):
        from ablate.data.kaggle_csv import read_kaggle_test

        try:
            ids, images = read_kaggle_test(path)
        except ValueError as error:
            raise ValueError(f"--data (={shown(path)}) {error}") from None
        return Part(_sized(torch.from_numpy(images).unsqueeze(1), data)), ids
    table = read_table(path, "--data")
    names = list(table.columns)
    if isinstance(data, Table):
        targets = {data.target} if isinstance(data.target, str) else set(data.target)
        known = data.inputs or [
            n for n in pandas.read_csv(data.path, nrows=0).columns if n not in {*targets, data.group}
        ]
        names = [str(name) for name in known]
    lacking = next((name for name in names if name not in table.columns), None)
    if lacking is not None:
        raise ValueError(f"--data (={shown(path)}) has no column '{lacking}', which the network requires.")
    if (text := next((name for name in names if table[name].dtype.kind not in "biuf"), None)) is not None:
        raise ValueError(f"--data (={shown(path)}) has text in column '{text}'. Inputs must be numbers.")
    values = table[names].to_numpy(float_type)
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0]) + 1
        raise ValueError(
            f"--data (={shown(path)}) has an empty or infinite number in row {row}. Inputs must be finite."
        )
    return Part(torch.from_numpy(np.array(values))), None


def _sized(inputs: torch.Tensor, data: object) -> torch.Tensor:
    """Faces at the image size of the network."""
    if not isinstance(data, FacialKeypoints) or inputs.shape[-1] != FRAME:
        return inputs
    return torch.from_numpy(resample(inputs[:, 0].numpy(), data.size)).unsqueeze(1)
