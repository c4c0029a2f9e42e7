"""Read inputs for predictions from a file, like the dataset but without targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.csv_file import UNNAMED, WrongCsv, numbers, read_table, without_names
from ablate.data.data import shown
from ablate.data.dataset import Part
from ablate.data.faces import FRAME, resample
from ablate.data.facial_keypoints import FacialKeypoints
from ablate.data.npz import INPUTS, _array, _inputs, read_arrays
from ablate.data.rounding import unrounded
from ablate.data.table import Table
from ablate.recipe.settings import Choice
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")


def read_inputs(choice: Choice, path: Path) -> tuple[Part, list[int] | None]:
    """The samples of an ``.npz`` or ``.csv`` file, and their ids if it has any (Kaggle's ``ImageId``).

    Raises ValueError (one line) if the file cannot be read, or does not have the inputs of the dataset ``choice``.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"--data (={shown(path)}) {what}. Use a .csv or .npz file of inputs.")
    data = choice.options
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = read_arrays(path, "--data")
        inputs = _inputs(_array(arrays, "inputs", getattr(data, "inputs", None), INPUTS), unrounded)
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
    names: tuple[str, ...] | None = None
    if isinstance(data, Table):
        columns = () if data.inputs else read_table(data.path, "data.path", nrows=0).columns
        names = data.input_names(columns)
    table = read_table(path, "--data", names)
    if names is None:
        names = tuple(name for name in table.columns if not UNNAMED.fullmatch(name))
        if without_names(names):
            raise ValueError(
                f"--data (={shown(path)}) has numbers in its first line. The first line must contain the column names."
            )
    lacking = next((name for name in names if name not in table.columns), None)
    if lacking is not None:
        raise ValueError(f"--data (={shown(path)}) has no column '{lacking}', which the network requires.")
    try:
        values = numbers(table, names)
    except WrongCsv as error:
        raise ValueError(f"--data (={shown(path)}) {error} Inputs must be numbers.") from None
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f"--data (={shown(path)}) has an empty or infinite value in row {row + 1}, column '{names[column]}'. "
            "Inputs must be finite."
        )
    return Part(torch.from_numpy(values)), None


def _sized(inputs: torch.Tensor, data: object) -> torch.Tensor:
    """Faces at the image size of the network."""
    if not isinstance(data, FacialKeypoints) or inputs.shape[-1] != FRAME:
        return inputs
    return torch.from_numpy(resample(inputs[:, 0].numpy(), data.size)).unsqueeze(1)
