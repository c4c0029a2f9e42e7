"""Reads the metrics of a script while it runs: from JSON lines, a CSV file, or its output."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

POSITIONS = ("epoch", "step")


class Read(BaseModel):
    """Where a script's metrics are read from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jsonl: str | None = Field(default=None, description="a file with a JSON object per line")
    csv: str | None = Field(default=None, description="a CSV file with a header")
    regex: Mapping[str, str] | None = Field(
        default=None, description="metric → regular expression with one group, for lines of the output"
    )
    names: Mapping[str, str] = Field(default={}, description="metric → its name in the file, if different")

    @model_validator(mode="after")
    def _one_source(self) -> Read:
        if sum(source is not None for source in (self.jsonl, self.csv, self.regex)) != 1:
            raise ValueError("must have one of jsonl, csv and regex.")
        for source, path in (("jsonl", self.jsonl), ("csv", self.csv)):
            if path is not None and "{out}" not in path:
                why = "because runs at the same time would write into one file"
                raise ValueError(f"must have {{out}} in {source} (={path}), {why}. {{out}} is the folder of a run.")
        for name, pattern in (self.regex or {}).items():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"has an invalid regular expression for {name} (={pattern}): {error}.") from None
            if groups != 1:
                raise ValueError(f"must have one group in the regular expression for {name} (={pattern}).")
        return self


def text(data: bytes) -> str:
    """What a script has written, as text."""
    return data.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Values:
    """Metrics that a script reported together, with their epoch and step if it gave them."""

    metrics: Mapping[str, float]
    epoch: float | None = None
    step: int | None = None


@dataclass
class Tail:
    """The complete lines of a file that grows. ``position``: bytes that were read."""

    path: Path
    position: int = 0

    def lines(self, *, whole: bool = False) -> Iterator[str]:
        """The new lines; with ``whole``, also a last line without an end."""
        try:
            with self.path.open("rb") as file:
                if self.position > file.seek(0, 2):
                    self.position = 0  # written again from the beginning
                file.seek(self.position)
                data = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return
        if not whole:
            data = data[: data.rfind(b"\n") + 1]
        self.position += len(data)
        yield from text(data).splitlines()


@dataclass
class JsonLines:
    """A JSON object per line: numbers are metrics."""

    names: Mapping[str, str]

    def read(self, line: str) -> Values | None:
        try:
            tree = json.loads(line)
        except ValueError:
            return None
        return of_mapping(tree, self.names) if isinstance(tree, dict) else None


@dataclass
class CsvLines:
    """A CSV file with a header: numbers are metrics, other cells are ignored."""

    names: Mapping[str, str]
    header: list[str] = field(default_factory=list)

    def read(self, line: str) -> Values | None:
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        if not self.header:
            self.header = cells
            return None
        return of_mapping(dict(zip(self.header, cells, strict=False)), self.names)


@dataclass
class Patterns:
    """Regular expressions with one group, applied to each line of the output.

    What follows an epoch belongs to it. Without epochs, a metric that is reported again begins the next point.
    """

    patterns: Mapping[str, re.Pattern[str]]
    at: dict[str, float] = field(default_factory=dict)
    open: dict[str, float] = field(default_factory=dict)

    def read(self, line: str) -> Values | None:
        found = {name: match[1] for name, pattern in self.patterns.items() if (match := pattern.search(line))}
        values = of_mapping(found, {})
        if values is None:
            return None
        if values.epoch is not None:
            self.at = {"epoch": values.epoch}
        if values.step is not None:
            self.at["step"] = values.step
        if self.at:
            step = self.at.get("step")
            return Values(values.metrics, self.at.get("epoch"), None if step is None else int(step))
        complete = Values(self.open) if self.open.keys() & values.metrics.keys() else None
        self.open = {**({} if complete else self.open), **values.metrics}
        return complete

    def rest(self) -> Iterator[Values]:
        """The last point, if there are no epochs."""
        if self.open:
            yield Values(self.open)


def of_mapping(tree: Mapping[str, Any], names: Mapping[str, str]) -> Values | None:
    """The numbers in a mapping; ``names`` maps our names to those in the file. None if there are none."""
    ours = {theirs: name for name, theirs in names.items()}
    found: dict[str, float] = {}
    for key, value in tree.items():
        number = as_number(value)
        if number is not None and isinstance(key, str):
            found[ours.get(key, key)] = number
    epoch, step = (found.pop(name, None) for name in POSITIONS)
    return Values(found, epoch, None if step is None else int(step)) if found or epoch is not None else None


def as_number(value: object) -> float | None:
    """A number, also as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
