"""What ``tune`` searches: a grid, or ranges from which a sampler takes a number of trials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.shape import Shape, available

SEEDS, MOST_SEEDS = 2, 100
"""The default and the largest number of seeds of a candidate."""

MOST_NUMBERS, MOST_CANDIDATES = 20, 100
"""The most numbers of a setting, and the most candidates of a variant before the grid is widened."""

TRIALS = 12
"""The default number of trials of a sampler."""

SAMPLERS = ("tpe", "random")
"""Optuna's samplers that can be chosen, the default first."""

TUNABLE = ("args", "model", "init", "optimizer", "batch_size", "tricks")
"""Settings that can be tuned: those that change neither what is measured, nor on what, nor how long is trained."""

FRACTION = re.compile(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)")

DIGITS = 4
"""Significant digits of a computed value, so that it can be written by hand."""

Values = Mapping[str, float]
"""A number for each tuned path: a value, or a multiple of a variant's own value."""


@dataclass(frozen=True)
class Candidates:
    """Increasing numbers: multiples of each variant's own value (``times``), ``values``, or the ends of a ``range``, on
    a logarithmic scale with ``log``.
    """

    kind: Literal["times", "values", "range"]
    numbers: tuple[float, ...]
    log: bool = False

    def of(self, number: float, own: float) -> float:
        """The value of a setting; a multiple of an integer stays one if it can."""
        if self.kind == "values":
            return number
        if self.kind == "range":
            value = min(max(rounded(number), self.numbers[0]), self.numbers[-1])
            return int(value) if self.whole(own) else float(value)
        value = own if number == 1 else rounded(own * number)
        return int(value) if isinstance(own, int) and value == int(value) else value

    def whole(self, own: float) -> bool:
        """Whether a range has integers only: its ends and the variant's own value are integers."""
        return all(isinstance(number, int) for number in (*self.numbers, own))

    def has(self, value: float) -> bool:
        """Whether a value is one of the ``values``, or lies in the ``range``."""
        return value in self.numbers if self.kind == "values" else self.numbers[0] <= value <= self.numbers[-1]

    def beyond(self, side: Literal["low", "high"]) -> float | None:
        """The next number at one end, in the same ratio; None if there is none."""
        edge, inner = self.numbers[:2] if side == "low" else self.numbers[:-3:-1]
        if not edge or not inner or edge * inner < 0:
            return None
        number = edge * edge / inner
        if self.kind == "times":
            return number
        return round(number) if all(isinstance(one, int) for one in self.numbers) else rounded(number)

    def with_number(self, number: float) -> Candidates:
        """The same with one more number."""
        return Candidates(self.kind, tuple(sorted({*self.numbers, number})))


Grid = Mapping[str, Candidates]
"""The candidates of each tuned path."""


def rounded(value: float) -> float:
    """A number to `DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


@dataclass(frozen=True)
class Space:
    """The ``grid`` of a search and the number of ``seeds`` of each candidate. ``trials``: how many candidates Optuna's
    ``sampler`` takes from it for each variant; None: all are tried. ``positions`` are those of the keys.
    """

    grid: Grid
    seeds: int
    trials: int | None = None
    sampler: str = SAMPLERS[0]
    positions: Mapping[str, Position] = field(default_factory=dict)


def read_space(top: Shape, problems: Problems) -> Space | None:
    """The entries of ``tune``; None, and problems, if they are invalid."""
    before = len(problems)
    grid: dict[str, Candidates] = {}
    node = top.entries["tune"]
    positions = {"seeds": node.position}
    entries = top.pairs("tune", "{optimizer.lr: {times: [1/3, 1, 3]}}")
    counts = {"seeds": (1, MOST_SEEDS, SEEDS), "trials": (2, MOST_CANDIDATES, TRIALS)}
    numbers: dict[str, int] = {}
    sampler = None
    for path, below, place in entries:
        positions[path] = place
        if path in counts:
            numbers[path] = _count(below, f"tune.{path}", *counts[path], problems)
        elif path == "sampler":
            sampler = below.text
            if sampler not in SAMPLERS:
                problems.wrong(below, "tune.sampler", f"must be {' or '.join(SAMPLERS)}.")
        elif path.partition(".")[0] not in TUNABLE:
            hint = available(path.partition(".")[0], TUNABLE)
            problems.add(place, f"tune.{show(path)} cannot be tuned.{hint}")
        elif (read := _candidates(below, f"tune.{show(path)}", problems)) is not None:
            grid[path] = read
    if node.mapping is not None and not grid and len(problems) == before:
        problems.add(node.position, "tune must name a setting, such as {optimizer.lr: {times: [1/3, 1, 3]}}.")
    sampled = sampler is not None or "trials" in numbers or any(one.kind == "range" for one in grid.values())
    for path in (path for path, one in grid.items() if sampled and one.kind == "times"):
        rule = "are for a grid. With a sampler, use {low: 0.001, high: 1, log: true} or {values: [0.01, 0.1]}."
        problems.add(positions[path], f"tune.{show(path)}: 'times' {rule}")
    if len(problems) > before:
        return None
    trials = numbers.get("trials", TRIALS) if sampled else None
    return Space(grid, numbers.get("seeds", SEEDS), trials, sampler or SAMPLERS[0], positions)


def _count(node: Node, path: str, least: int, most: int, default: int, problems: Problems) -> int:
    if isinstance(node.value, int) and not isinstance(node.value, bool) and least <= node.value <= most:
        return node.value
    problems.wrong(node, path, f"must be an integer between {least} and {most}.")
    return default


def _candidates(node: Node, path: str, problems: Problems) -> Candidates | None:
    example = "such as {times: [1/3, 1, 3]} or {values: [0.01, 0.03, 0.1]}."
    keys = (node.mapping or {}).keys()
    if keys & {"low", "high", "log"}:
        return _range(node, path, problems)
    if node.mapping is None or len(keys) != 1 or not keys <= {"times", "values"}:
        problems.wrong(node, path, f"must have 'times' or 'values', {example}")
        return None
    [(kind, below)] = node.mapping.items()
    numbers = [_number(item) for item in below.items or ()]
    sound = [one for one in numbers if one is not None and (kind == "values" or one > 0)]
    if not (len(sound) == len(numbers) == len(set(sound)) and 2 <= len(sound) <= MOST_NUMBERS):
        which = "different numbers greater than 0" if kind == "times" else "different numbers"
        problems.wrong(below, f"{path}.{kind}", f"must list 2 to {MOST_NUMBERS} {which}, {example}")
        return None
    return Candidates("times" if kind == "times" else "values", tuple(sorted(sound)))


def _range(node: Node, path: str, problems: Problems) -> Candidates | None:
    """``{low: 0.001, high: 1, log: true}``."""
    found = node.mapping or {}
    low, high = (_number(found[key]) if key in found else None for key in ("low", "high"))
    log = found["log"].value if "log" in found else False
    if not found.keys() <= {"low", "high", "log"} or low is None or high is None or not isinstance(log, bool):
        problems.wrong(node, path, "must have numbers 'low' and 'high', and may have 'log: true' besides them.")
    elif not low < high:
        problems.wrong(node, path, "must have a 'low' that is less than 'high'.")
    elif log and low <= 0:
        problems.wrong(node, path, "must have a 'low' greater than 0 with 'log: true'.")
    else:
        return Candidates("range", (low, high), log)
    return None


def _number(node: Node) -> float | None:
    """A number, or a fraction such as ``1/3``."""
    if node.text is not None and (found := FRACTION.fullmatch(node.text)) and float(found[2]):
        return float(found[1]) / float(found[2])
    return node.value if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) else None
