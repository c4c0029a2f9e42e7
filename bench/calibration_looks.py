"""How often verdicts at declared looks, and of added seeds, are wrong, and how many seeds they cost.

The decisions are those of `ablate.evidence.sequential.follow` and of `ablate.evidence.contrasts.examine`, study by study.
``python -m bench.calibration_looks`` writes the section to bench/RESULTS-calibration-looks.md. The cells are fixed in
`NULL`, `BREAKING`, `POWER` and `TOP_UPS`; one that has more false alarms than 5 % and two standard errors is run once more
with 10,000 other studies, and both figures are shown. Two processes, about a quarter of an hour.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ablate.evidence.contrasts import examine
from ablate.evidence.paired import LEVEL
from ablate.evidence.sequential import follow
from ablate.recipe.looks import Looks
from ablate.recipe.variant import Compare
from bench.null_studies import (
    AGAIN,
    DESIGNS,
    NAMES,
    ROWS,
    Cell,
    Floats,
    contrasts,
    head,
    limit,
    line,
    percent,
    rate_text,
    values_of,
    verdicts_alone,
    write,
)
from bench.pool import read_pool

LOOKS = Looks.between(5, 20)
ALL = tuple(range(LOOKS.at[-1]))

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


def judged(cell: Cell, values: Floats) -> Outcome:
    """A study (R, 20) from its first look to its last."""
    pairs = cell.pairs
    standings = follow(pairs, Compare(), LOOKS, ALL, lambda asked, among: contrasts(values, asked, among))
    planted = NAMES[cell.planted] if cell.size else None
    need = {name: LOOKS.at[one.look - 1] for name, one in standings.items()}
    trained = {name: max(need.get(name, 0), *(need[n] for n, p in pairs.items() if p == name), 0) for name in NAMES}
    covered = [
        one.p[one.shown_at] >= LEVEL * LOOKS.weights[one.shown_at - 1]
        for name, one in standings.items()
        if name != planted
    ]
    one = standings[planted or NAMES[cell.planted]]
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


def topped_up(cell: Cell, values: Floats) -> bool:
    """Whether a null study has a false alarm: five seeds, then five more of the most promising variant alone."""
    pairs = cell.pairs
    first = examine(contrasts(values, pairs, range(5)), "lower", planned=len(pairs))
    p = {name: one.effect.p for name, one in first.items() if one.effect is not None and one.effect.p is not None}
    best = min(p, key=p.__getitem__)
    added = contrasts(values, {best: pairs[best]}, range(5, 10))
    second = examine(added, "lower", planned=len(pairs), level=LEVEL / 2)
    return any(one.judgement.verdict in ("helps", "hurts") for one in (*first.values(), *second.values()))


def outcomes(cell: Cell) -> list[Outcome]:
    draw = np.random.default_rng([int(cell.again), *str((cell.design, cell.noise, cell.scatter, cell.size)).encode()])
    with verdicts_alone():
        return [judged(cell, values) for values in values_of(cell, draw)]


def alarms_after_top_ups(cell: Cell) -> float:
    draw = np.random.default_rng([1, *str(cell).encode()])
    with verdicts_alone():
        return float(np.mean([topped_up(cell, values) for values in values_of(cell, draw)]))


def wrong(found: Sequence[Outcome]) -> float:
    """The fraction of studies with a false alarm."""
    return float(np.mean([one.wrong for one in found]))


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
        covered = np.mean([one.covered for one in found], axis=0)
        text = rate_text(
            wrong(found), cell.studies, lambda cell=cell: wrong(outcomes(replace(cell, studies=AGAIN, again=True)))
        )
        lines.append(line(cell, text, percent(float(covered.mean())), percent(float(covered.min()))))
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
        lines.append(line(f"{cell.design}, {cell.size:g} sd", *cells))
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
        line(cell.scatter, percent(rate))
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
    return write("RESULTS-calibration-looks.md", "Looks and top-ups", parts, began)


if __name__ == "__main__":
    print(main())
