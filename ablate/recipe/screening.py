"""Screening designs: two-level designs with far fewer runs than combinations, for many tricks.

A design is a matrix of booleans, (runs, tricks): which tricks each run has. Each trick is in half of the runs, and each
pair of tricks in a quarter of them, so the main effects of tricks are estimated independently of each other. The first
run has no tricks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

Matrix = list[list[bool]]

GENERATORS = {12: "++-+++---+-", 20: "++--++++-+-+----++-", 24: "+++++-+-++--++--+-+----"}
"""First rows of the cyclic designs of Plackett and Burman (1946, The design of optimum multifactorial experiments,
Biometrika 33, p. 323), by the number of runs.
"""

ORDERS = (4, 8, 12, 16, 20, 24)
"""Numbers of runs of `columns`."""

FEWEST, MOST = 4, ORDERS[-1] - 1
"""The fewest tricks: all combinations of three are as many runs. The most tricks of `screen`."""


def columns(runs: int) -> Matrix:
    """The design with that many runs and one column fewer, of resolution III.

    A cyclic design of Plackett and Burman, or Sylvester's Hadamard matrix for powers of 2, with the columns first that
    are products of an odd number of basic ones: the first half of the columns has resolution IV.
    """
    if runs in GENERATORS:
        first = [sign == "+" for sign in GENERATORS[runs]]
        return [[False] * (runs - 1), *([*first[-i:], *first[:-i]] if i else first for i in range(runs - 1))]
    order = sorted(range(1, runs), key=lambda column: (column.bit_count() % 2 == 0, column))
    return [[(run & column).bit_count() % 2 == 1 for column in order] for run in range(runs)]


def screen_runs(tricks: int) -> int:
    """The number of runs of a screen: more than there are tricks."""
    return min(runs for runs in ORDERS[1:] if runs > tricks)


def screen(tricks: int) -> Matrix:
    """A design of resolution III, or IV for four tricks."""
    return [row[:tricks] for row in columns(screen_runs(tricks))]


def foldover_runs(tricks: int) -> int:
    """The number of runs of a foldover: at least twice the number of tricks."""
    return 2 * min(runs for runs in ORDERS if runs >= tricks)


def foldover(tricks: int) -> Matrix:
    """A design of resolution IV: a design of resolution III, one constant column if it is needed, and the complements
    of all of its rows (Box and Wilson 1951, On the experimental attainment of optimum conditions).
    """
    half = [[*row, False][:tricks] for row in columns(foldover_runs(tricks) // 2)]
    return [*half, *([not cell for cell in row] for row in half)]


@dataclass(frozen=True)
class Alias:
    """A two-way interaction that biases a main effect: by ``share`` of its size, the difference of the effect of one
    trick with and without the other, halved.
    """

    tricks: tuple[str, str]
    share: float


def aliases(trick: str, tricks: Sequence[str], runs: Iterable[Iterable[str]]) -> tuple[Alias, ...]:
    """The two-way interactions of other tricks with which a main effect is aliased, in runs with these tricks.

    ``share`` is the mean over runs of the product of the three tricks' levels, ±1: ±1 for fully aliased ones.
    """
    signs = [{one: 1 if one in chosen else -1 for one in tricks} for chosen in map(set, runs)]
    found = []
    for one, other in combinations([name for name in tricks if name != trick], 2):
        total = sum(row[trick] * row[one] * row[other] for row in signs)
        if total:
            found.append(Alias((one, other), total / len(signs)))
    return tuple(found)
