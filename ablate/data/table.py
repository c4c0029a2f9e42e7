"""A table in a CSV file: some columns are inputs, one or more are targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register, suggestion
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    import pandas
else:
    np = LazyModule("numpy")
    pandas = LazyModule("pandas")

FEW = 20
"""Maximum number of distinct integers in a target column that is treated as classes."""


@register(
    "data",
    "csv",
    card=Card(
        "Your own table: numeric columns as inputs, one or more as targets.",
        source="pandas.read_csv",
        helps="For small tables with column names in the first line.",
        interacts="Columns of different scale train badly: use standardise.",
    ),
)
class Table(Data):
    """Inputs float32 (n, columns); targets int64 (n,) for classification, float32 (n, targets) for regression, NaN if a
    cell is empty.
    """

    needs_file: ClassVar[bool] = True

    path: DataPath = Field(description="the CSV file, with column names in its first line")
    target: str | tuple[str, ...] = Field(description="the target column, or a list of columns")
    inputs: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="the input columns; null: all others, which must be numeric"
    )
    task: Literal["classification", "regression"] | None = Field(
        default=None,
        description=(
            f"null: classification if the target is one column of text or of at most {FEW} distinct integers, else "
            "regression"
        ),
    )

    def load(self) -> Parts:
        path = self.existing(self.path)
        table = read_table(path, "data.path")
        if table.empty:
            raise ValueError(
                f"data.path (={shown(path)}) contains no samples. It must have one row per sample below the column "
                "names."
            )
        targets = (self.target,) if isinstance(self.target, str) else self.target
        for field, names in (
            ("target", targets),
            ("inputs", self.inputs or ()),
            ("group", (self.group,) if self.group else ()),
        ):
            for name in names:
                if name not in table.columns:
                    near = suggestion(name, map(str, table.columns))
                    hint = f"Did you mean '{near}'?" if near else f"Columns: {', '.join(map(str, table.columns[:20]))}."
                    raise ValueError(f"data.{field} (={name}) is not a column of {shown(path)}. {hint}")
        names = self.inputs or tuple(str(name) for name in table.columns if name not in {*targets, self.group})
        if overlap := next((name for name in names if name in {*targets, self.group}), None):
            raise ValueError(
                f"data.inputs (={overlap}) must not include a target or the group. Remove it from the inputs."
            )
        if not names:
            raise ValueError(
                f"data.inputs is empty: {shown(path)} has no other columns. Add columns, or use fewer targets."
            )
        inputs = _numbers(table, names, "inputs", self.float_type)
        missing = ~np.isfinite(inputs)
        if missing.any():
            row, column = np.argwhere(missing)[0]
            raise ValueError(
                f"data.inputs (={names[column]}) is empty or infinite in row {row + 1} of {shown(path)}. Replace "
                "the value, or remove the column from 'inputs'."
            )
        classify = self.task == "classification" or (self.task is None and _looks_like_classes(table, targets))
        y, classes = (
            _classes(table, targets, shown(path))
            if classify
            else (_numbers(table, targets, "target", self.float_type), ())
        )
        groups = torch.from_numpy(pandas.factorize(table[self.group], use_na_sentinel=False)[0]) if self.group else None
        samples = Part(torch.from_numpy(inputs), torch.from_numpy(y), rows=torch.arange(len(table)), groups=groups)
        spec = Spec(
            (len(names),),
            outputs=len(classes) if classify else len(targets),
            task="classification" if classify else "regression",
            classes=classes,
            target_names=targets,
        )
        return self.parts(samples, spec, source=shown(path), inputs=len(names))


def read_table(path: Path, field: str) -> pandas.DataFrame:
    """A CSV file. Raises ValueError (one line); ``field`` is the setting with the path."""
    try:
        return pandas.read_csv(path)
    except ValueError as error:  # pandas' errors, and text that is not UTF-8
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(f"{field} (={shown(path)}) cannot be read as CSV: {reason}.") from None


def _numbers(table: pandas.DataFrame, names: tuple[str, ...], field: str, float_type: str) -> np.ndarray:
    """Columns as floats (n, columns). Raises ValueError if one contains text."""
    for name in names:
        if table[name].dtype.kind not in "biuf":
            way = (
                "List numeric columns in 'inputs'"
                if field == "inputs"
                else "Use 'task: classification', or a numeric column"
            )
            raise ValueError(f"data.{field} (={name}) must be numeric, but contains text. {way}.")
    # a copy, because torch needs a writable array and pandas returns a read-only view
    return np.array(table[list(names)], float_type)


def _looks_like_classes(table: pandas.DataFrame, targets: tuple[str, ...]) -> bool:
    if len(targets) > 1:
        return False
    column = table[targets[0]]
    return column.dtype.kind not in "iuf" or (column.dtype.kind in "iu" and column.nunique() <= FEW)


def _classes(table: pandas.DataFrame, targets: tuple[str, ...], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices (n,) in the sorted order of the target's values, and their names."""
    if len(targets) > 1:
        raise ValueError(f"data.target (={', '.join(targets)}) must be one column for classification.")
    column = table[targets[0]]
    if column.isna().any():
        row = int(column.isna().to_numpy().argmax()) + 1
        raise ValueError(f"data.target (={targets[0]}) is empty in row {row} of {where}. Every row must have a class.")
    values, numbers = np.unique(column.to_numpy(str if column.dtype.kind == "O" else None), return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"data.target (={targets[0]}) must have at least two classes in {where}.")
    return numbers.astype(np.int64), tuple(str(value) for value in values)
