"""CSV files: one reader for tables, new inputs and Kaggle's files."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ablate.data.data import shown
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")
    pandas = LazyModule("pandas")

READ: dict[str, Any] = {"index_col": False, "encoding": "utf-8", "low_memory": False}
"""Options of pandas: no column is an index, and the type of a column does not depend on parts of the file."""

MISSING = (
    *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Cells that are empty for pandas in a column of numbers. In a column of text, only '' is."""

UNNAMED = re.compile(r"Unnamed: \d+")
"""The name that pandas gives to a column without one, such as the index that ``to_csv`` saves."""


class WrongCsv(ValueError):
    """An invalid file. The message (one line) continues a sentence that begins with the file."""


def read_table(path: Path, field: str, used: Collection[str] | None = None, **options: Any) -> pandas.DataFrame:
    """A CSV file with column names in its first line: columns of numbers, booleans, or text without spaces at its ends.

    NaN: empty. ``used``: the columns that must be unique; None: all. ``options`` of pandas. Raises ValueError (one
    line); ``field`` is the setting with the path.
    """
    try:
        table = read_csv(path, used, **options)
        if table.iloc[:, -1].isna().any():
            _check_short_rows(path)
        text = [name for name in table.columns if table[name].dtype.kind not in "biuf"]
        if table[text].isna().to_numpy().any():
            # a class may be called NA
            options |= {"dtype": str, "keep_default_na": False, "na_values": [""]}
            table[text] = read_csv(path, used, **options)[text]
    except WrongCsv as error:
        raise ValueError(f"{field} (={shown(path)}) {error}") from None
    for name in text:
        distinct = [cell for cell in table[name].unique() if isinstance(cell, str)]
        if spaced := {cell: cell.strip() or np.nan for cell in distinct if cell != cell.strip()}:
            table[name] = [spaced.get(cell, cell) for cell in table[name]]
    return table


def read_csv(source: Path | IO[bytes], used: Collection[str] | None = None, **options: Any) -> pandas.DataFrame:
    """A CSV file, by pandas' ``options``; ``used`` as in `read_table`.

    Raises `WrongCsv` if it cannot be read or has more columns than names.
    """
    names = _names(source, used)
    with _errors():
        table: pandas.DataFrame = pandas.read_csv(source, **(READ | options))
    table.columns = names
    return table


def read_csv_chunks(
    source: Path | IO[bytes], used: Collection[str], rows: int, **options: Any
) -> Iterator[pandas.DataFrame]:
    """`read_csv` in parts of ``rows`` rows, for large files."""
    names = _names(source, used)
    with _errors():
        reader = pandas.read_csv(source, chunksize=rows, **(READ | options))
    with reader:
        while True:
            with _errors():
                chunk = next(reader, None)
            if chunk is None:
                return
            chunk.columns = names
            yield chunk


def numbers(table: pandas.DataFrame, names: Sequence[str], first_row: int = 1) -> NDArray[np.float64]:
    """Columns as float64 (n, columns), NaN: empty. Raises `WrongCsv` with the first cell that is not a number."""
    columns = []
    for name in names:
        column = table[name]
        if column.dtype.kind not in "biuf":
            column = pandas.to_numeric(column, errors="coerce")
            text = (column.isna() & table[name].notna() & ~table[name].isin(MISSING)).to_numpy()
            if text.any():
                row = int(text.argmax())
                cell = " ".join(str(table[name].iloc[row]).split())[:40]
                way = " Write numbers with a decimal point and without thousands separators." if "," in cell else ""
                raise WrongCsv(f"has '{cell}' in column '{name}', row {row + first_row}.{way}")
        columns.append(column.to_numpy(np.float64))
    return np.stack(columns, axis=1)


def without_names(names: Sequence[str]) -> bool:
    """Whether the first line has other numbers than 0, 1, 2, …, as a file without a line of names has."""
    try:
        values = [float(name) for name in names]
    except ValueError:
        return False
    return all(values != list(range(first, first + len(values))) for first in (0, 1))


@contextmanager
def _errors() -> Iterator[None]:
    """pandas' errors, text that is not UTF-8, and cells that pandas drops, as `WrongCsv`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pandas.errors.ParserWarning)
        try:
            yield
        except pandas.errors.ParserWarning:
            raise WrongCsv("has a row with more cells than column names. Remove cells, or name each column.") from None
        except UnicodeDecodeError as error:
            raise WrongCsv(f"cannot be read as CSV: byte {error.start} is not UTF-8.") from None
        except (ValueError, csv.Error) as error:
            reason = str(error).strip().splitlines()[0].removeprefix("Error tokenizing data. C error: ").rstrip(".")
            raise WrongCsv(f"cannot be read as CSV: {reason}.") from None


def _names(source: Path | IO[bytes], used: Collection[str] | None) -> pandas.Index[str]:
    """The names in the first line, without spaces at their ends; unique, as pandas makes them."""
    with _errors():
        rows = _rows(source)
        names, first = ([cell.strip() for cell in next(rows, [])] for _ in range(2))
        rows.close()
    if not isinstance(source, Path):
        source.seek(0)
    if len(names) == 1 and (separator := next((sign for sign in ";\t|" if sign in names[0]), None)):
        raise WrongCsv(f"separates columns by {separator!r}. Save it with commas, and with decimal points in numbers.")
    if len(first) > len(names) and (len(first) > len(names) + 1 or first[-1]):
        raise WrongCsv(f"has {_few(len(first), len(names), 1)}. Name each column.")
    many = (name for name, times in Counter(names).items() if name and times > 1 and (used is None or name in used))
    if (name := next(many, None)) is not None:
        raise WrongCsv(f"has {names.count(name)} columns called '{name}'. Rename or remove all but one.")
    unique: dict[str, None] = {}
    for i, name in enumerate(names):
        own = name or f"Unnamed: {i}"
        unique[next(new for k in count() if (new := f"{own}.{k}" if k else own) not in unique)] = None
    return pandas.Index(unique)


def _few(cells: int, names: int, row: int) -> str:
    """``1 cell in row 3, but 2 column names``."""
    return f"{cells} cell{'s' * (cells != 1)} in row {row}, but {names} column name{'s' * (names != 1)}"


def _rows(source: Path | IO[bytes]) -> Generator[list[str]]:
    """The cells of every line that is not blank, as pandas reads them."""
    from pandas.io.common import get_handle  # type: ignore[import-not-found]

    csv.field_size_limit(2**31 - 1)  # a cell may hold an image
    packed = "infer" if isinstance(source, Path) else None
    with get_handle(source, "r", encoding="utf-8-sig", compression=packed) as file:
        yield from (row for row in csv.reader(file.handle) if len(row) > 1 or any(cell.strip() for cell in row))


def _check_short_rows(path: Path) -> None:
    """Raise `WrongCsv` for a row with fewer cells than there are names. pandas would fill it with empty ones."""
    rows = _rows(path)
    width = max(i for i, name in enumerate(next(rows), 1) if name.strip())
    for number, row in enumerate(rows, 1):
        if len(row) < width:
            raise WrongCsv(f"has {_few(len(row), width, number)}. Add the missing commas.")
