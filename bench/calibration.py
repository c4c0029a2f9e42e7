"""How often verdicts are wrong, and how much they find, with a fixed number of seeds: null studies and planted effects,
simulated and from 1,200 real runs.

The cells were fixed in `NULL`, `PARTIAL` and `POWER` (and in bench/calibration_families.py) before any was computed. One
with more false alarms than 5 % and two standard errors is run once more with 10,000 other studies, and both figures are
shown. ``python -m bench.calibration`` writes bench/RESULTS-calibration.md; docs/evidence.md discusses it. One idle core,
about 25 minutes, the first time two more for the pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np

from ablate.evidence import variance_pooling
from ablate.evidence.contrasts import Contrast, Finding, counted, examine
from ablate.evidence.overlaps import overlap
from ablate.evidence.paired import LEVEL
from bench import calibration_families
from bench.null_studies import (
    AGAIN,
    BREAKING,
    CROSSED,
    DESIGNS,
    NAMES,
    NOISE,
    REAL,
    ROWS,
    Bools,
    Cell,
    Floats,
    alarms,
    contrasts,
    differences,
    head,
    limit,
    line,
    p_values,
    percent,
    rate_text,
    values_of,
    verdicts_alone,
    write,
)
from bench.other_tests import TESTS, holm_rejects, own

SEEDS = (3, 5, 10)
MANY = 10_000
"""Studies of the cells that docs/evidence.md promises most about: equal variances, and 1 to 10, with normal noise."""

TYPICAL = ("equal", "variances 1 to 10", "one row's 100 times")
NOISY = ("parent 10 times", "all others 10 times", "every other one 10 times")
UNEQUAL = ("variances 1 to 100", "as digits.yaml's")

SIMULATED = [
    *((noise, scatter) for scatter in TYPICAL for noise in NOISE),
    *(("normal", scatter) for scatter in (*UNEQUAL, *NOISY)),
]
EVERY = [
    Cell(design, noise, scatter, n, studies=MANY if noise == "normal" and scatter in TYPICAL[:2] else 2_500)
    for design in DESIGNS
    for noise, scatter in SIMULATED
    for n in SEEDS
]
NULL = {
    "Simulated studies": [cell for cell in EVERY if not cell.breaking],
    "Arrangements known to break any t-test": [cell for cell in EVERY if cell.breaking],
    "Studies from real runs": [Cell(design, noise, n=n) for design in DESIGNS for noise in REAL for n in SEEDS],
    "Verdicts of designs with a second table": [
        Cell(design, noise, n=n) for design in CROSSED for noise in ("normal", "heavy tails") for n in SEEDS
    ],
}

PARTIAL = [
    Cell(design, noise, scatter, n)
    for design in DESIGNS
    for noise, scatter in (("normal", "variances 1 to 10"), ("heavy tails", "variances 1 to 10"), ("real", "equal"))
    for n in SEEDS
]

OVERLAPS = [Cell("star", "normal", scatter, n) for scatter in ("equal", NOISY[0], NOISY[2]) for n in SEEDS]

POWER = [
    Cell("chain", "normal", scatter, n, size, planted=5, studies=2_000)
    for scatter, sizes in (
        ("equal", (0.5, 1.0, 2.0, 3.0)),
        ("variances 1 to 10", (1.0, 2.0)),
        ("as digits.yaml's", (2.0, 3.0)),
    )
    for size in sizes
    for n in SEEDS
]


def studied(cell: Cell, values: Floats) -> tuple[Floats, Bools]:
    """P-values and significant verdicts, (studies, G) each."""
    with verdicts_alone():
        found = [examine(contrasts(one, cell.pairs, range(cell.n)), "lower", planned=len(cell.pairs)) for one in values]
    return np.array([p_values(one) for one in found]), np.array([alarms(one) for one in found])


def again(cell: Cell) -> Cell:
    """The same arrangement with other studies."""
    return replace(cell, studies=AGAIN, again=True)


def alarm_rate(cell: Cell) -> float:
    """The fraction of studies with a false alarm."""
    return float(studied(cell, values_of(cell, cell.generator()))[1].any(-1).mean())


def rates(cell: Cell) -> list[str]:
    """A cell's false alarms with each test, the coverage of intervals on average, and of the comparison where it is
    smallest.
    """
    values = values_of(cell, cell.generator())
    p, found = studied(cell, values)
    rows = differences(values, cell.pairs)
    rivals = [percent(holm_rejects(test(rows, cell.pairs)).any(-1).mean()) for test in TESTS.values()]

    text = rate_text(float(found.any(-1).mean()), cell.studies, partial(alarm_rate, again(cell)))
    covered = (p >= LEVEL).mean(0)
    return [f"{cell.studies:,}", *rivals, text, percent(covered.mean()), percent(covered.min())]


def false_alarms(title: str) -> list[str]:
    lines = [
        f"### {title}: false alarms and coverage",
        "",
        f"Family-wise false alarms, in %; at most {percent(limit(2_500))} is 5 % and two standard errors with 2,500 studies, and "
        f"{percent(limit(AGAIN))} with 10,000.",
        "Coverage of the 95 % intervals, in %: on average, and of the variant that has the lowest.",
        "",
    ]
    if any(cell.breaking for cell in NULL[title]):
        lines[-1:] = [
            f"Named before they were measured: noise of these kinds ({' and '.join(BREAKING)}), and one variant with 100 times",
            "the variance of the others. They are not expected to keep 5 %.",
            "",
        ]
    lines += head("design, noise, scatter, seeds", "studies", *TESTS, "ours", "coverage", "lowest")
    return [*lines, *(line(f"{cell}, {cell.n}", *rates(cell)) for cell in NULL[title])]


# Partial studies: results (R, 2n) → whether any table that is shown of it has a false alarm.
Shown = Callable[[Cell, Floats], bool]


def verdicts_of(cell: Cell, known: Mapping[str, Contrast]) -> dict[str, Finding]:
    """Corrected over all planned comparisons, whichever are known; each counts twice until all are final."""
    return examine(known, "lower", planned=counted(known, cell.pairs))


def first_variants(cell: Cell, values: Floats, count: int = 3) -> bool:
    """Only the first variants have been run."""
    pairs = {name: parent for name, parent in cell.pairs.items() if name in NAMES[: count + 1]}
    return bool(alarms(verdicts_of(cell, contrasts(values, pairs, range(cell.n)))).any())


def after_every_two(cell: Cell, values: Floats) -> bool:
    """A table is shown after two, four and six variants."""
    return any(first_variants(cell, values, count) for count in (2, 4, 6))


def under_way(cell: Cell, values: Floats) -> bool:
    """The first three variants have all seeds, the others half of them so far; those have no verdict yet."""
    known = contrasts(values, cell.pairs, range(cell.n))
    late = contrasts(values, cell.pairs, range(max(cell.n // 2, 1)), final=False)
    return bool(alarms(verdicts_of(cell, known | {name: late[name] for name in NAMES[4:]})).any())


def most_promising(cell: Cell, values: Floats) -> bool:
    """Of all variants, the one with the smallest p-value gets as many seeds again, and is shown alone, with all of them."""
    known = contrasts(values, cell.pairs, range(cell.n))
    best = chosen(cell, known)
    more = contrasts(values, cell.pairs, range(2 * cell.n))[best]
    return bool(verdicts_of(cell, known | {best: more})[best].judgement.verdict in ("helps", "hurts"))


def chosen(cell: Cell, known: Mapping[str, Contrast]) -> str:
    """The comparison with the smallest p-value."""
    return list(known)[int(np.argmin(p_values(verdicts_of(cell, known))))]


def uncorrected(cell: Cell, values: Floats) -> Bools:
    """The same by paired t-tests without correction, (studies,), of results (studies, R, 2n)."""
    rows = differences(values, cell.pairs)
    best = own(rows[..., : cell.n], cell.pairs).argmin(-1)
    return own(rows, cell.pairs)[np.arange(len(rows)), best] < LEVEL


SHOWN: dict[str, Shown] = {
    "three of six variants": first_variants,
    "after two, four and six": after_every_two,
    "three under way": under_way,
    "most promising, twice the seeds": most_promising,
}


def partial_studies() -> list[str]:
    lines = [
        "### Partial studies: false alarms",
        "",
        f"2,500 null studies of {ROWS - 1} planned comparisons each, in %; at most {percent(limit(2_500))} is 5 % and two standard errors",
        f"({percent(limit(AGAIN))} with 10,000). Holm's correction is over all planned comparisons, each counted twice until all have finished.",
        "Only the first three variants have been run; a table is shown after two, four and six variants, and a false alarm in",
        "any of them counts; three variants have all seeds and the others half of them so far; the variant with the smallest",
        "p-value gets as many seeds again and is shown alone; the last column is a paired t-test of it without correction.",
        "",
        *head("design, noise, scatter, seeds", *SHOWN, "most promising, uncorrected t-test"),
    ]
    for cell in PARTIAL:
        values, more = twice_the_seeds(cell), again(cell)
        cells = [
            rate_text(wrong(cell, shown, values), cell.studies, partial(wrong, more, shown)) for shown in SHOWN.values()
        ]
        lines.append(line(f"{cell}, {cell.n}", *cells, percent(uncorrected(cell, values).mean())))
    return lines


def twice_the_seeds(cell: Cell) -> Floats:
    """Results (studies, R, 2n)."""
    return values_of(replace(cell, n=2 * cell.n), cell.generator("partial"))


def wrong(cell: Cell, shown: Shown, values: Floats | None = None) -> float:
    """The fraction of studies with a false alarm."""
    with verdicts_alone():
        return float(np.mean([shown(cell, one) for one in (twice_the_seeds(cell) if values is None else values)]))


def as_if_equal() -> list[str]:
    lines = [
        "### The overlap of comparisons: as if all variances were equal, and as measured (ours)",
        "",
        "2,500 null studies each; false alarms / coverage of the variant that has the lowest, in %.",
        "",
        *head("design, noise, scatter, seeds", "as if equal", "measured (ours)"),
    ]
    for cell in OVERLAPS:
        values, cells = values_of(cell, cell.generator("overlap")), []
        for power in (lambda pairs, beside: overlap(pairs), overlap):
            with patch.object(variance_pooling, "overlap", power):
                p, found = studied(cell, values)
            cells.append(f"{percent(found.any(-1).mean())} / {percent((p >= LEVEL).mean(0).min())}")
        lines.append(line(f"{cell}, {cell.n}", *cells))
    return lines


def power() -> list[str]:
    lines = [
        "### Power: a planted effect, in standard deviations of its row's seeds, found after Holm over 6 comparisons",
        "",
        f"{POWER[0].studies:,} chains each, normal noise, in %.",
        "",
        *head("scatter, effect, seeds", *TESTS, "ours"),
    ]
    for cell in POWER:
        values = values_of(cell, cell.generator())
        place = cell.planted - 1
        rows = differences(values, cell.pairs)
        found = [holm_rejects(test(rows, cell.pairs))[:, place] for test in TESTS.values()]
        found.append(studied(cell, values)[1][:, place])
        lines.append(line(f"{cell.scatter}, {cell.size:g} sd, {cell.n}", *(percent(each.mean()) for each in found)))
    return lines


def sections() -> Iterator[Sequence[str]]:
    for title in NULL:
        yield false_alarms(title)
    yield partial_studies()
    yield as_if_equal()
    yield power()
    yield from calibration_families.sections()


def main() -> str:
    began = time.perf_counter()
    return write("RESULTS-calibration.md", "How far verdicts can be trusted", list(sections()), began)


if __name__ == "__main__":
    print(main())
