"""How often verdicts are wrong, and how much they find, with the scatter of earlier studies (docs/evidence.md, The scatter
of earlier studies).

The cells were fixed before any was computed. ``python -m bench.calibration_prior`` prints the section and writes
bench/RESULTS-prior.md; one core, about ten minutes.
"""

from __future__ import annotations

import time

import numpy as np

from ablate.evidence.contrasts import examine
from ablate.evidence.variance_pooling import beside, shared_spreads
from ablate.store.checked import EarlierScatter
from bench.null_studies import (
    AGAIN,
    DESIGNS,
    NOISE,
    ROWS,
    Bools,
    Floats,
    Pairs,
    alarms,
    contrasts,
    differences,
    head,
    limit,
    line,
    percent,
    rate_text,
    verdicts_alone,
    write,
)

STUDIES, BATCH, SEEDS = 2_500, 250, 5
EARLIER = 2
"""Earlier studies, each with as many comparisons, five seeds, and the same design."""

PRIORS: dict[str, list[float]] = {
    "variances × 1/100": [0.1] * ROWS,
    "variances × 1/10": [0.1**0.5] * ROWS,
    "variances × 1": [1.0] * ROWS,
    "variances × 10": [10**0.5] * ROWS,
    "unequal, variances × 1/10 to 10": list(10 ** np.linspace(-0.5, 0.5, ROWS)),
}
"""Standard deviations of the rows of earlier studies; those of the present one are 1."""


def scatter_of(studies: Floats, pairs: Pairs) -> list[EarlierScatter]:
    """What a store records of earlier studies (E, R, n)."""
    return [
        {"study": str(i), "variant": name, "from": parent, "variance": float(row.var(ddof=1)), "degrees": SEEDS - 1}
        for i, study in enumerate(studies)
        for row, (name, parent) in zip(differences(study, pairs), pairs.items(), strict=True)
    ]


def rejected(
    draw: np.random.Generator, noise: str, prior: str, pairs: Pairs, studies: int, truth: Floats
) -> tuple[Bools, Bools]:
    """Which verdicts are significant, (studies, G), without and with the scatter of earlier studies."""
    found: tuple[list[Bools], list[Bools]] = [], []
    for start in range(0, studies, BATCH):
        count = min(BATCH, studies - start)
        values = NOISE[noise](draw, (count, ROWS, SEEDS)) + truth[:, None]
        older = NOISE[noise](draw, (count * EARLIER, ROWS, SEEDS)) * np.array(PRIORS[prior])[:, None]
        for study, earlier in zip(values, older.reshape(count, EARLIER, ROWS, SEEDS), strict=True):
            known = contrasts(study, pairs, range(SEEDS))
            for way, estimate in zip(found, (shared_spreads, beside(scatter_of(earlier, pairs))), strict=True):
                way.append(alarms(examine(known, "lower", None, estimate, planned=len(pairs))))
    return np.array(found[0]), np.array(found[1])


def rates(draw: np.random.Generator, noise: str, prior: str, pairs: Pairs, studies: int) -> tuple[float, float]:
    """The fractions of null studies with a false alarm, without and with the scatter of earlier studies."""
    alone, ours = rejected(draw, noise, prior, pairs, studies, np.zeros(ROWS))
    return float(alone.any(-1).mean()), float(ours.any(-1).mean())


def false_alarms(draw: np.random.Generator) -> list[str]:
    lines = [
        "### False alarms with the scatter of earlier studies",
        "",
        f"{STUDIES:,} null studies of {ROWS} rows and five seeds each, with {EARLIER} earlier ones; family-wise, in %. At most",
        f"{percent(limit(STUDIES))} is 5 % and two standard errors. A cell above it is drawn once more with {AGAIN:,} studies (limit "
        f"{percent(limit(AGAIN))}).",
        "",
        *head("design, noise, earlier studies", "present alone", "half and half (ours)"),
    ]
    for design, pairs in reversed(DESIGNS.items()):
        for noise in ("normal", "heavy tails"):
            for prior in PRIORS:
                case = draw, noise, prior, pairs
                alone, ours = rates(*case, STUDIES)
                text = rate_text(ours, STUDIES, lambda case=case: rates(*case, AGAIN)[1])
                lines.append(line(f"{design}, {noise}, {prior}", percent(alone), text))
    return lines


def power(draw: np.random.Generator) -> list[str]:
    lines = [
        "### Power with the scatter of earlier studies",
        "",
        f"An effect of 2 sd, five seeds, normal noise, Holm over 6 comparisons, {STUDIES:,} studies each, in %.",
        "",
        *head("design, earlier studies", "present alone", "half and half (ours)"),
    ]
    truth = np.array([0.0] * 5 + [-2.0] * 2)
    for design, pairs in reversed(DESIGNS.items()):
        for prior in PRIORS:
            alone, ours = (f[:, 4].mean() for f in rejected(draw, "normal", prior, pairs, STUDIES, truth))
            lines.append(line(f"{design}, {prior}", percent(alone), percent(ours)))
    return lines


def main() -> str:
    began = time.perf_counter()
    with verdicts_alone():
        sections = [part(np.random.default_rng(seed)) for seed, part in enumerate((power, false_alarms))]
    return write("RESULTS-prior.md", "Verdicts with the scatter of earlier studies", sections, began)


if __name__ == "__main__":
    print(main())
