"""Simulated studies whose truth is known: their noise, their cells, and what the package says about them.

P-values and verdicts are those of `ablate.evidence.contrasts.examine`, study by study. Intervals are not computed, which
would take five times as long: an interval holds the truth exactly where the test of the truth does not reject it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from ablate.evidence import contrasts as evidence
from ablate.evidence import paired, verdicts
from ablate.evidence.contrasts import Contrast, Finding
from ablate.evidence.paired import LEVEL
from ablate.recipe import designs
from bench.measure import machine
from bench.pool import read_pool

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pairs = Mapping[str, str]
"""From variant to parent."""

ROWS = 7
NAMES = [f"net{i}" for i in range(1, ROWS + 1)]
DESIGNS: dict[str, Pairs] = {
    "star": {name: NAMES[0] for name in NAMES[1:]},
    "chain": dict(zip(NAMES[1:], NAMES, strict=False)),
}
"""One variant after another on one parent (``one-at-a-time``), or each on the one before (``ladder``)."""


def numbered(design: str, tricks: str) -> Pairs:
    """The comparisons of a design, its variants called net2, net3 … after the baseline."""
    rows = designs.DESIGNS[design].rows(tricks, "baseline")
    names = {"baseline": "net1"} | {row.name: f"net{i}" for i, row in enumerate(rows, start=2)}
    return {names[row.name]: names[row.parent] for row in rows}


CROSSED = {
    f"{design} of {len(tricks)}": numbered(design, tricks)
    for design, tricks in (("factorial", "abc"), ("both-ends", "abc"), ("screen", "abcdefg"))
}
"""The comparisons with parents in designs that have a second table; eight variants each."""

SCATTER = {
    "equal": [1.0] * ROWS,
    "variances 1 to 10": list(10 ** np.linspace(0, 0.5, ROWS)),
    "variances 1 to 100": list(10 ** np.linspace(0, 1, ROWS)),
    "one row's 100 times": [1.0, 1, 1, 10, 1, 1, 1],
    "as digits.yaml's": [0.0037, 0.045, 0.066, 0.016, 0.016, 0.016, 0.021],
    "parent 10 times": [10.0] + [1.0] * (ROWS - 1),
    "all others 10 times": [1.0] + [10.0] * (ROWS - 1),
    "every other one 10 times": [10.0, 1, 10, 1, 10, 1, 10],
}
"""Standard deviations of the rows' seeds. Those of digits.yaml as measured over 8 seeds of recipes/digits.yaml."""


def normal(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return draw.standard_normal(shape)


def heavy(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with 3 degrees of freedom."""
    return draw.standard_t(3, shape) / np.sqrt(3)


def skewed(draw: np.random.Generator, shape: tuple[int, ...], sigma: float = 0.75) -> Floats:
    """Lognormal: a skewness of 3.3."""
    spread = np.exp(sigma**2 / 2) * np.sqrt(np.exp(sigma**2) - 1)
    return (np.exp(sigma * draw.standard_normal(shape)) - np.exp(sigma**2 / 2)) / spread


def jumps(draw: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Every tenth seed ends in a basin of its own, eight deviations away: a skewness of 2.1."""
    away = draw.random(shape) < 0.1
    return (0.5 * draw.standard_normal(shape) + 4 * away - 0.4) / np.sqrt(0.25 + 16 * 0.09)


Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
NOISE: dict[str, Draw] = {"normal": normal, "heavy tails": heavy, "skewed": skewed, "jumps": jumps}
REAL = {"real": ("seeds", 0), "real, accuracy": ("seeds", 1), "real, copies": ("copies", 0)}
REAL["real, copies, accuracy"] = ("copies", 1)
"""Half of the pool and metric: other seeds, or copies of the same seeds with other dropout noise."""

BREAKING = ("skewed", "jumps")
"""Noise that breaks any t-test of few seeds if one variant varies 100 times more than the others: its differences are as
skewed as its noise. These cells are measured, and are not expected to keep the level.
"""

AGAIN = 10_000
"""Studies of a cell that is run once more, because its false alarms exceed `limit`."""


@dataclass(frozen=True)
class Cell:
    """One arrangement of ``studies`` studies with ``n`` seeds. ``size`` is the effect of the row ``planted``, in
    standard deviations of its seeds; in a chain, the rows after it have it, too.
    """

    design: str
    noise: str
    scatter: str = "equal"
    n: int = 20
    size: float = 0.0
    planted: int = 3
    studies: int = 2_500
    again: bool = False

    @property
    def pairs(self) -> Pairs:
        return (DESIGNS | CROSSED)[self.design]

    @property
    def breaking(self) -> bool:
        return self.noise in BREAKING and self.scatter == "one row's 100 times"

    def __str__(self) -> str:
        return f"{self.design}, {self.noise}, {self.scatter}"

    def generator(self, *more: object) -> np.random.Generator:
        """Other random numbers for each cell, and for the one that is run again."""
        terms = (self.design, self.noise, self.scatter, self.n, self.size, *more)
        return np.random.default_rng([int(self.again), *str(terms).encode()])


def values_of(cell: Cell, draw: np.random.Generator) -> Floats:
    """The results of all studies, (studies, rows, n), with the planted effect."""
    shape = (cell.studies, len(cell.pairs) + 1, cell.n)
    if cell.noise in REAL:
        half, metric = REAL[cell.noise]
        pool = read_pool()[half][..., metric]
        return np.array([(others if half == "seeds" else copies)(draw, pool, shape[1:]) for _ in range(shape[0])])
    sds = np.ones(shape[1]) if cell.scatter == "equal" else np.array(SCATTER[cell.scatter])
    rows = NOISE[cell.noise](draw, shape) * sds[:, None]
    rows[:, cell.planted : None if cell.design == "chain" else cell.planted + 1] -= cell.size * sds[cell.planted]
    return rows


def others(draw: np.random.Generator, pool: Floats, shape: tuple[int, ...]) -> Floats:
    """Rows of other seeds."""
    return np.asarray(draw.choice(pool, shape, replace=False))


def copies(draw: np.random.Generator, pool: Floats, shape: tuple[int, ...]) -> Floats:
    """Rows of the same seeds with other noise; ``pool`` is (seeds, copies)."""
    rows, n = shape
    seeds = draw.choice(len(pool), n, replace=False)
    return np.array([draw.permutation(pool[seed])[:rows] for seed in seeds]).T


def differences(values: Floats, pairs: Pairs) -> Floats:
    """Differences from the parents, (…, G, n), of rows (…, R, n) that are called net1, net2 …"""
    rows, parents = ([int(name.removeprefix("net")) - 1 for name in names] for names in (pairs, pairs.values()))
    return values[..., rows, :] - values[..., parents, :]


def contrasts(values: Floats, pairs: Pairs, among: Sequence[int], *, final: bool = True) -> dict[str, Contrast]:
    """The comparisons of a study (R, n) on these seeds."""
    rows = differences(values[:, list(among)], pairs)
    return {
        name: Contrast(row, final, (), tuple(among), parent)
        for row, (name, parent) in zip(rows, pairs.items(), strict=True)
    }


@contextmanager
def verdicts_alone() -> Iterator[None]:
    """Effects without intervals, notes, and what more seeds would show."""
    with (
        patch.object(paired, "half_width", lambda *_: 0.0),
        patch.object(verdicts, "detectable", lambda *_: None),
        patch.object(evidence, "far_out", lambda samples: [[] for _ in samples]),
        patch.object(evidence, "scatter_ratios", lambda samples: [0.0] * len(samples)),
    ):
        yield


def p_values(found: Mapping[str, Finding]) -> Floats:
    """(G,); 1 where there is none."""
    return np.array([1.0 if one.effect is None or one.effect.p is None else one.effect.p for one in found.values()])


def alarms(found: Mapping[str, Finding]) -> Bools:
    """Which verdicts are helps or hurts, (G,)."""
    return np.array([one.judgement.verdict in ("helps", "hurts") for one in found.values()])


def percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


def limit(studies: int) -> float:
    """5 % and two standard errors."""
    return float(LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / studies))


def rate_text(rate: float, studies: int, again: Callable[[], float]) -> str:
    """A rate of false alarms; if it exceeds the limit, also that of other studies."""
    if rate <= limit(studies):
        return percent(rate)
    more = again()
    mark = " **exceeds**" if more > limit(AGAIN) else ""
    return f"{percent(rate)}; {AGAIN:,} others: {percent(more)}{mark}"


def head(*columns: str) -> list[str]:
    return ["| " + " | ".join(columns) + " |", "|:--|" + "--:|" * (len(columns) - 1)]


def line(*cells: object) -> str:
    """A row of a table, also shown as progress."""
    text = "| " + " | ".join(map(str, cells)) + " |"
    print(text, file=sys.stderr, flush=True)
    return text


def write(name: str, title: str, sections: Iterable[Sequence[str]], began: float) -> str:
    """Write the sections to bench/``name``."""
    parts = ["\n".join([*part, ""]) for part in sections]
    about = ["## " + title, "", f"{machine()}. {time.perf_counter() - began:.0f} s.", ""]
    text = "\n".join(["\n".join(about), *parts])
    (Path(__file__).parent / name).write_text(text, encoding="utf-8")
    return text
