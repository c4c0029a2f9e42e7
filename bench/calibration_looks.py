"""How often verdicts at declared looks, and of added seeds, are wrong, and how many seeds they cost.

The decisions are those of `ablate.evidence.sequential.follow` and of `ablate.evidence.contrasts.examine`, study by study.
``python -m bench.calibration_looks`` writes the section to bench/RESULTS-calibration-looks.md. The cells are fixed in
`CELLS`; one that has more false alarms than 5 % and two standard errors is run once more with 10,000 other studies, and
both figures are shown. Intervals are not computed, which would take three times as long: one holds the truth exactly where
the test of the truth does not reject it. Two processes, about a quarter of an hour.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from ablate.evidence import paired
from ablate.evidence.contrasts import Contrast, examine
from ablate.evidence.paired import LEVEL
from ablate.evidence.sequential import follow
from ablate.recipe.looks import Looks
from ablate.recipe.variant import Compare
from bench.calibration import NOISE, ROWS, SCATTER, Floats, head, limit, percent
from bench.measure import machine
from bench.pool import read_pool

NAMES = [f"net{i}" for i in range(1, ROWS + 1)]
DESIGNS = {
    "star": {name: NAMES[0] for name in NAMES[1:]},
    "chain": dict(zip(NAMES[1:], NAMES, strict=False)),
}
LOOKS = Looks.between(5, 20)
ALL = tuple(range(LOOKS.at[-1]))
PLANTED = 3
"""The row with an effect; in a chain, those after it have it, too."""

NOISY_PARENT = [10.0, *[1.0] * (ROWS - 1)]


@dataclass(frozen=True)
class Cell:
    """One arrangement: ``size`` is the planted effect in standard deviations of a row; ``real``: drawn from real runs."""

    design: str
    noise: str
    scatter: str = "equal"
    size: float = 0.0
    studies: int = 2_500
    again: bool = False

    def sds(self) -> Floats:
        return np.array(NOISY_PARENT if self.scatter == "parent 10 times" else SCATTER[self.scatter])

    def __str__(self) -> str:
        return f"{self.design}, {self.noise}, {self.scatter}"


NULL = [
    *(
        Cell(design, noise, scatter)
        for design in DESIGNS
        for noise in ("normal", "heavy tails")
        for scatter in ("equal", "variances 1 to 10", "one row's 100 times", "parent 10 times")
    ),
    *(Cell(design, "real") for design in DESIGNS),
]
BREAKING = [Cell(design, "skewed", "one row's 100 times") for design in DESIGNS]
"""Known to break any t-test; shown, and warned of."""

POWER = [Cell(design, "normal", size=size, studies=1_000) for design in DESIGNS for size in (0.0, 1.0, 2.0, 3.0)]
TOP_UPS = [Cell("star", "normal", scatter) for scatter in ("equal", "variances 1 to 10")]


def values_of(cell: Cell, draw: np.random.Generator) -> Floats:
    """A study's results (ROWS, 20), with the planted effect."""
    shape = (ROWS, len(ALL))
    if cell.noise == "real":
        return np.asarray(draw.choice(read_pool()["seeds"][:, 0], shape, replace=False))
    rows = NOISE[cell.noise](draw, shape) * cell.sds()[:, None]
    rows[PLANTED : None if cell.design == "chain" else PLANTED + 1] -= cell.size
    return rows


def contrasts(values: Floats, pairs: Mapping[str, str], among: Sequence[int]) -> dict[str, Contrast]:
    """The comparisons on the first seeds."""
    place = {name: i for i, name in enumerate(NAMES)}
    return {
        name: Contrast(values[place[name], among] - values[place[parent], among], True, (), tuple(among), parent)
        for name, parent in pairs.items()
    }


@dataclass(frozen=True)
class Outcome:
    """One study: false alarms, the planted row's verdict, look and estimate, and the seeds that were trained in all."""

    wrong: bool
    found: bool
    seeds: int
    delta: float
    trained: int
    covered: tuple[bool, ...]
    null_seeds: float


def judged(cell: Cell, draw: np.random.Generator) -> Outcome:
    """A study from its first look to its last."""
    values, pairs, compare = values_of(cell, draw), DESIGNS[cell.design], Compare()
    standings = follow(pairs, compare, LOOKS, ALL, lambda asked, among: contrasts(values, asked, list(among)))
    planted = NAMES[PLANTED] if cell.size else None
    need = {name: LOOKS.at[one.look - 1] for name, one in standings.items()}
    trained = {name: max(need.get(name, 0), *(need[n] for n, p in pairs.items() if p == name), 0) for name in NAMES}
    covered = [
        one.p[one.shown_at] >= LEVEL * LOOKS.weights[one.shown_at - 1]
        for name, one in standings.items()
        if name != planted
    ]
    one = standings[planted or NAMES[PLANTED]]
    assert one.finding is not None
    assert one.finding.effect is not None
    nulls = [name for name in standings if name != planted]
    return Outcome(
        any(standings[name].word in ("helps", "hurts") for name in nulls),
        one.word == "helps",
        LOOKS.at[one.look - 1],
        one.finding.effect.delta,
        sum(trained.values()),
        tuple(covered),
        float(np.mean([need[name] for name in nulls])),
    )


def topped_up(cell: Cell, draw: np.random.Generator) -> bool:
    """Whether a null study has a false alarm: five seeds, then five more of the most promising variant alone."""
    values, pairs = values_of(cell, draw), DESIGNS[cell.design]
    first = examine(contrasts(values, pairs, list(range(5))), "lower", planned=len(pairs))
    p = {name: one.effect.p for name, one in first.items() if one.effect is not None and one.effect.p is not None}
    best = min(p, key=p.__getitem__)
    added = contrasts(values, {best: pairs[best]}, list(range(5, 10)))
    second = examine(added, "lower", planned=len(pairs), level=LEVEL / 2)
    return any(one.judgement.verdict in ("helps", "hurts") for one in (*first.values(), *second.values()))


def without_intervals() -> AbstractContextManager[object]:
    """Computes effects without their intervals."""
    return patch.object(paired, "half_width", lambda errors, degrees, weights, level: 0.0)


def outcomes(cell: Cell) -> list[Outcome]:
    draw = np.random.default_rng([int(cell.again), *str((cell.design, cell.noise, cell.scatter, cell.size)).encode()])
    with without_intervals():
        return [judged(cell, draw) for _ in range(cell.studies)]


def alarms_after_top_ups(cell: Cell) -> float:
    draw = np.random.default_rng([1, *str(cell).encode()])
    with without_intervals():
        return float(np.mean([topped_up(cell, draw) for _ in range(cell.studies)]))


def false_alarms(pool: ProcessPoolExecutor, cells: Sequence[Cell], title: str) -> list[str]:
    lines = [
        f"### {title}",
        "",
        f"{cells[0].studies:,} null studies each of {ROWS - 1} comparisons, looks at {LOOKS}, in %; at most",
        f"{percent(limit(cells[0].studies))} is 5 % and two standard errors. Coverage: of the intervals when a comparison stops",
        "(nominally 98.75 %), on average and of the comparison that has the lowest.",
        "",
        *head("arrangement", "false alarms", "coverage", "lowest"),
    ]
    for cell, found in zip(cells, pool.map(outcomes, cells), strict=True):
        wrong = float(np.mean([one.wrong for one in found]))
        covered = np.mean([one.covered for one in found], axis=0)
        text = percent(wrong)
        if wrong > limit(cell.studies):
            more = outcomes(replace(cell, studies=10_000, again=True))
            text += f"; 10,000 others: {percent(float(np.mean([one.wrong for one in more])))}"
        lines.append(f"| {cell} | {text} | {percent(float(covered.mean()))} | {percent(float(covered.min()))} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def power(pool: ProcessPoolExecutor) -> list[str]:
    lines = [
        "### What looks cost and find",
        "",
        f"{POWER[0].studies:,} studies each, one planted effect in standard deviations of a row's seeds, normal noise, equal scatter.",
        "Seeds until the planted comparison is decided (or the last look), seeds that each null comparison took, runs of the",
        f"whole study (a fixed 20 seeds: {ROWS * 20}), and the mean estimate over the true effect where it was found.",
        "",
        *head("design, effect", "found, %", "seeds", "seeds, null", "runs", "estimate / truth"),
    ]
    for cell, found in zip(POWER, pool.map(outcomes, POWER), strict=True):
        hits = [one.delta / -cell.size for one in found if one.found and cell.size]
        cells = [
            percent(float(np.mean([one.found for one in found]))),
            f"{np.mean([one.seeds for one in found]):.1f}",
            f"{np.mean([one.null_seeds for one in found]):.1f}",
            f"{np.mean([one.trained for one in found]):.0f}",
            f"{np.mean(hits):.2f}" if hits else "–",
        ]
        lines.append(f"| {cell.design}, {cell.size:g} sd | " + " | ".join(cells) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def top_ups(pool: ProcessPoolExecutor) -> list[str]:
    lines = [
        "### One undeclared top-up",
        "",
        "Null studies of six variants with one parent, five seeds; then five more of the variant with the smallest p-value,",
        "trained with `--only` and judged alone. Studies with any false alarm, in %; at most 7.5 by design.",
        "",
        *head("scatter", "false alarms"),
    ]
    lines += [
        f"| {cell.scatter} | {percent(rate)} |"
        for cell, rate in zip(TOP_UPS, pool.map(alarms_after_top_ups, TOP_UPS), strict=True)
    ]
    return lines


def main() -> str:
    began = time.perf_counter()
    read_pool()
    with ProcessPoolExecutor(2) as pool:
        parts = [
            false_alarms(pool, NULL, "False alarms at looks"),
            false_alarms(pool, BREAKING, "Arrangements that break any t-test"),
            power(pool),
            top_ups(pool),
        ]
    lines = ["## Looks and top-ups", "", f"{machine()}. {time.perf_counter() - began:.0f} s.", ""]
    text = "\n".join([*lines, *("\n".join([*part, ""]) for part in parts)])
    (Path(__file__).parent / "RESULTS-calibration-looks.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    print(main())
