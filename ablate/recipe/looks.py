"""Looks: the numbers of seeds at which verdicts are computed, declared before the first run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ablate.recipe.node import Node, Problems, show
from ablate.recipe.shape import Shape

MOST_SEEDS = 1000

FEWEST = 3
"""The fewest seeds of a look: a verdict requires three."""

MOST_LOOKS = 20

DEFAULT = (5, 8, 12, 20)
"""The default looks; with another start or most, their proportions are kept."""

KEYS = ("start", "until", "most", "looks", "weights")


@dataclass(frozen=True)
class Looks:
    """Verdicts are computed at these increasing numbers of seeds. A variant that is decided is not trained further.

    ``weights`` (one per look, at most 1 in total) divide the level among the looks: the p-value of look k is divided by
    its weight. By the union bound, all looks together keep the level, whatever decides who goes on.
    """

    at: tuple[int, ...]
    weights: tuple[float, ...]

    @classmethod
    def between(cls, start: int, most: int) -> Looks:
        """The default number of looks from ``start`` to ``most`` seeds, with equal weights."""
        shares = [(n - DEFAULT[0]) / (DEFAULT[-1] - DEFAULT[0]) for n in DEFAULT]
        return cls.equal(sorted({start + round(share * (most - start)) for share in shares}))

    @classmethod
    def equal(cls, at: Sequence[int]) -> Looks:
        """Looks with equal weights."""
        return cls(tuple(at), (1 / len(at),) * len(at))

    def __str__(self) -> str:
        """``5, 8, 12 and 20 seeds``."""
        *first, last = map(str, self.at)
        return f"{', '.join(first)} and {last} seeds" if first else f"{last} seeds"


def read_looks(node: Node, problems: Problems) -> Looks | None:
    """``seeds: {start: 5, until: decided, most: 20}``, or ``{looks: [5, 10], weights: [0.5, 0.5], until: decided}``.

    None, and a problem, for anything else.
    """
    shape, before = Shape(node, "seeds", "seeds", problems), len(problems)
    shape.only(KEYS)
    if (until := shape.get("until")) is None or until.value != "decided":
        shown = "" if until is None else f" (={show(until)})"
        problems.add(
            (until or node).position, f"seeds.until{shown} must be decided. For a fixed number, write seeds: 5."
        )
    listed = shape.get("looks")
    for key in ("start", "most") if listed is not None else ():
        if shape.get(key) is not None:
            shape.wrong(key, "cannot be combined with seeds.looks. Remove one of them.")
    if listed is not None:
        at = _counts(listed, problems)
    else:
        start = _count(shape, "start", 5)
        most = _count(shape, "most", min(4 * start, MOST_SEEDS))
        if len(problems) == before and most < start:
            shape.wrong("most", f"must be at least seeds.start (={start}).")
        at = Looks.between(start, most).at if len(problems) == before else None
    if (weighted := shape.get("weights")) is not None and listed is None:
        shape.wrong("weights", "requires seeds.looks. List the looks, such as looks: [5, 10, 20].")
    if len(problems) > before or at is None:
        return None
    if weighted is None:
        return Looks.equal(at)
    weights = _weights(weighted, len(at), problems)
    return None if weights is None else Looks(tuple(at), weights)


def _count(shape: Shape, key: str, default: int) -> int:
    node = shape.get(key)
    value = default if node is None else node.value
    if isinstance(value, int) and not isinstance(value, bool) and FEWEST <= value <= MOST_SEEDS:
        return value
    shape.wrong(key, f"must be an integer between {FEWEST} and {MOST_SEEDS}.")
    return default


def _counts(node: Node, problems: Problems) -> tuple[int, ...] | None:
    value = node.plain()
    if (
        isinstance(value, list)
        and 1 <= len(value) <= MOST_LOOKS
        and all(isinstance(n, int) and not isinstance(n, bool) and FEWEST <= n <= MOST_SEEDS for n in value)
        and all(one < other for one, other in pairwise(value))
    ):
        return tuple(value)
    rule = (
        f"must list 1 to {MOST_LOOKS} increasing numbers of seeds from {FEWEST} to {MOST_SEEDS}, such as [5, 10, 20]."
    )
    problems.add(node.position, f"seeds.looks (={show(node)}) {rule}")
    return None


def _weights(node: Node, count: int, problems: Problems) -> tuple[float, ...] | None:
    value = node.plain()
    numbers = isinstance(value, list) and all(isinstance(w, (int, float)) and not isinstance(w, bool) for w in value)
    if numbers and len(value) == count and all(w > 0 for w in value) and sum(value) <= 1 + 1e-9:
        return tuple(map(float, value))
    rule = f"must list {count} numbers greater than 0, one for each look, that add up to at most 1."
    problems.add(node.position, f"seeds.weights (={show(node)}) {rule}")
    return None
