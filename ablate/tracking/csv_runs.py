"""Reads runs from a CSV file that other tools wrote as a study: one row per run, or one per epoch."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from ablate.recipe.shape import available
from ablate.tracking.external_runs import Logged, LoggedRun, Question, as_study


def read_csv(path: Path, question: Question) -> Logged:
    """The rows of a CSV file with a header as a study; of several rows with the same variant and seed, the last counts.

    ``by`` and ``seed`` are names of columns. Columns of numbers are metrics. Raises ValueError with one line.
    """
    rows, columns = _rows(path)
    for flag, name in (("--by", question.by), ("--seed", question.seed)):
        if name is not None and name not in columns:
            raise ValueError(f"{flag} (={name}) must be a column of {path}.{available(name, columns)}")
    seed = question.seed or ("seed" if "seed" in columns else None)
    places = {column: f"params.{column}" for column in columns}
    named = {question.by, seed}
    runs = [
        LoggedRun(
            f"line {number}",
            "",
            "FINISHED",
            number,
            None,
            {column: text for column, text in row.items() if text},
            {},
            {
                column: value
                for column, text in row.items()
                if column not in named and (value := _number(text)) is not None
            },
        )
        for number, row in enumerate(rows, start=2)
    ]
    asked = replace(question, by=places[question.by], seed=places[seed] if seed is not None else None)
    return as_study(path.stem, runs, asked)


def _rows(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows by column, and the columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            columns = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"--from-csv (={path}) cannot be read: {reason}.") from None
    repeated = next((name for name in columns if columns.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"--from-csv (={path}) has two columns named '{repeated}'. Rename one of them.")
    for number, row in lines:
        if len(row) != len(columns):
            rule = f"must have {len(columns)} cells as the header has, but has {len(row)}"
            raise ValueError(f"--from-csv (={path}): line {number} {rule}.")
    if not lines:
        raise ValueError(f"--from-csv (={path}) has no rows. It must have a header and a row per run.")
    return [dict(zip(columns, row, strict=True)) for _, row in lines], columns


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
