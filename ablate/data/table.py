"""A table in a CSV file: some columns are inputs, one or more are targets."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from ablate.data.classes import FEW, check_class_count
from ablate.data.csv_file import UNNAMED, WrongCsv, numbers, read_table
from ablate.data.data import Data, shown
from ablate.data.dataset import Part, Parts, Spec
from ablate.data.rounding import narrowed
from ablate.recipe.contents import of_contents
from ablate.registry import Card, register, suggestion
from ablate.registry.fields import DataPath
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")
    pandas = LazyModule("pandas")


class Columns(NamedTuple):
    """``inputs`` float64 (n, columns) and their names; ``targets`` int64 (n,) if there are ``classes``, else float64
    (n, targets); ``groups`` int64 (n,), if there are any.
    """

    names: tuple[str, ...]
    inputs: NDArray[np.float64]
    targets: NDArray[np.int64] | NDArray[np.float64]
    classes: tuple[str, ...]
    groups: NDArray[np.int64] | None


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
    cell is empty. Float64 if float32 loses the differences of a column.
    """

    needs_file: ClassVar[bool] = True

    path: DataPath = Field(description="the CSV file, with column names in its first line")
    target: str | tuple[str, ...] = Field(description="the target column, or a list of columns")
    inputs: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="the input columns; null: all others that have a name; they must be numeric",
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
        table = read_table(path, "data.path", self.used())
        found = self._columns(table, shown(path))
        inputs = self.floats(found.inputs)
        if not (finite := np.isfinite(inputs)).all():
            row, column = np.argwhere(~finite)[0]
            what = "too large for float32" if np.isfinite(found.inputs[row, column]) else "empty or infinite"
            raise ValueError(
                f"data.inputs (={found.names[column]}) is {what} in row {row + 1} of {shown(path)}. Replace the value, "
                "or remove the column from 'inputs'."
            )
        samples = Part(
            torch.from_numpy(inputs),
            torch.from_numpy(found.targets if found.classes else self.floats(found.targets)),
            rows=torch.arange(len(table)),
            groups=None if found.groups is None else torch.from_numpy(found.groups),
        )
        spec = Spec(
            inputs.shape[1:],
            outputs=len(found.classes or self._targets),
            task="classification" if found.classes else "regression",
            classes=found.classes,
            target_names=self._targets,
            input_names=found.names,
        )
        unnamed = [] if self.inputs else [name for name in table.columns if UNNAMED.fullmatch(name)]
        notes: dict[str, object] = {"unnamed": unnamed} if unnamed else {}
        return self.parts(samples, spec, source=shown(path), inputs=len(found.names), **notes)

    def misread(self, contents: str) -> bool:
        question = f"csv {self.target} {self.inputs} {self.group} {self.task}"
        return of_contents(contents, question, self._reads_differently)

    def _reads_differently(self) -> bool:
        """Whether versions before 0.2 took other numbers from the file, or numbers from a file that is now refused."""
        try:
            now = self._columns(read_table(self.path, "data.path", self.used()), "")
        except ValueError:
            return True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                table = pandas.read_csv(self.path)
            then = self._columns(table.rename(columns=str.strip), "")
        except ValueError:
            return False
        if not self.inputs and any(UNNAMED.fullmatch(name) for name in table.columns):
            return True
        pairs = [(now.inputs, then.inputs), (now.targets, then.targets), (now.groups, then.groups)]
        equal = all(a is b or np.array_equal(a, b, equal_nan=True) for a, b in pairs)  # type: ignore[arg-type]
        return not equal or narrowed(now.inputs).dtype == np.float64 or narrowed(now.targets).dtype == np.float64

    @property
    def _targets(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in ((self.target,) if isinstance(self.target, str) else self.target))

    @property
    def _group(self) -> str | None:
        return self.group.strip() if self.group else None

    def input_names(self, columns: Iterable[str]) -> tuple[str, ...]:
        """The input columns among all columns of a file."""
        if self.inputs:
            return tuple(name.strip() for name in self.inputs)
        others = {*self._targets, self._group}
        return tuple(name for name in columns if name not in others and not UNNAMED.fullmatch(name))

    def used(self) -> set[str] | None:
        """The columns that must be unique; None: all."""
        return {*self.input_names(()), *self._targets, self._group or ""} if self.inputs else None

    def _columns(self, table: pandas.DataFrame, where: str) -> Columns:
        """The columns that the settings name. Raises ValueError (one line) if they are not as expected."""
        if table.empty:
            raise ValueError(
                f"data.path (={where}) contains no samples. It must have one row per sample below the column names."
            )
        targets, group = self._targets, self._group
        names = self.input_names(table.columns)
        for field, wanted in (("target", targets), ("inputs", names), ("group", (group,) if group else ())):
            for name in wanted:
                if name not in table.columns:
                    near = suggestion(name, table.columns)
                    hint = f"Did you mean '{near}'?" if near else f"Columns: {', '.join(table.columns[:20])}."
                    raise ValueError(f"data.{field} (={name}) is not a column of {where}. {hint}")
        if overlap := next((name for name in names if name in {*targets, group}), None):
            raise ValueError(
                f"data.inputs (={overlap}) must not include a target or the group. Remove it from the inputs."
            )
        if not names:
            raise ValueError(f"data.inputs is empty: {where} has no other columns. Add columns, or use fewer targets.")
        classify = self.task == "classification" or (self.task is None and _looks_like_classes(table, targets))
        inputs = _numbers(table, names, "inputs", where)
        y, classes = _classes(table, targets, where) if classify else (_numbers(table, targets, "target", where), ())
        groups = pandas.factorize(table[group], use_na_sentinel=False)[0] if group else None
        return Columns(names, inputs, y, classes, groups)


def _numbers(table: pandas.DataFrame, names: tuple[str, ...], field: str, where: str) -> NDArray[np.float64]:
    """Columns as float64 (n, columns). Raises ValueError with the first cell that is not a number."""
    columns = []
    for name in names:
        try:
            columns.append(numbers(table, [name]))
        except WrongCsv as error:
            way = (
                "List numeric columns in 'inputs'"
                if field == "inputs"
                else "Leave cells of missing numbers empty; for classes, use 'task: classification'"
            )
            raise ValueError(f"data.{field} (={name}) must be numeric, but {where} {error} {way}.") from None
    return np.hstack(columns)


def _looks_like_classes(table: pandas.DataFrame, targets: tuple[str, ...]) -> bool:
    """Whether a target is text, or few distinct integers; not if most of its cells are numbers that would not be."""
    if len(targets) > 1:
        return False
    column = table[targets[0]]
    if column.dtype.kind not in "biuf":
        # 1,250.5 and 3,5: of several commas only the last can be that of decimals
        counts = column.astype(str).value_counts()
        plain = counts.index.to_series().str.replace(r",(?=.*,)", "", regex=True).str.replace(",", ".")
        found = pandas.to_numeric(plain, errors="coerce").dropna()
        decimals = plain[found.index].str.contains(".", regex=False).any()
        return 2 * counts[found.index].sum() < len(column) or (not decimals and found.nunique() <= FEW)
    return column.dtype.kind == "b" or (column.dtype.kind in "iu" and column.nunique() <= FEW)


def _classes(
    table: pandas.DataFrame, targets: tuple[str, ...], where: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
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
    check_class_count(len(values), len(column), f"data.target (={targets[0]})", "use 'task: regression'")
    return numbers.astype(np.int64), tuple(str(value) for value in values)
