"""How often verdicts are wrong, and how much they find, with the scatter of earlier studies (docs/evidence.md, The scatter
of earlier studies).

The cells were fixed before any was computed. ``python -m bench.calibration_prior`` prints the section and writes
bench/RESULTS-prior.md; one core, about ten minutes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ablate.evidence.overlaps import overlap
from ablate.evidence.paired import Pair, two_sided
from ablate.evidence.variance_pooling import OWN, STEPS, belief, moderated
from bench.calibration import (
    BATCH,
    DESIGNS,
    NOISE,
    ROWS,
    Floats,
    averaged,
    contrasts,
    head,
    holm_rejects,
    limit,
    own,
    percent,
    planted,
)
from bench.measure import machine

STUDIES, AGAIN = 2_500, 10_000

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


def with_earlier(differences: Floats, pairs: Sequence[Pair], earlier: Floats) -> Floats:
    """p-values (B, G) of differences (B, G, n) as `ablate.evidence.variance_pooling.beside` has them, given those of
    earlier studies, (B, E, G, m), with the same pairs.
    """
    n = differences.shape[-1]
    variances, older = differences.var(-1, ddof=1), earlier.var(-1, ddof=1)
    degrees = np.append(np.full(len(pairs), n - 1.0), np.full(older[0].size, earlier.shape[-1] - 1.0))
    share = np.broadcast_to(overlap(pairs, differences)[:, None], variances.shape)
    every = np.concatenate([variances, older.reshape(len(older), -1)], -1)
    shares = np.concatenate([share, np.full((len(older), older[0].size), overlap(pairs))], -1)
    weights, common = belief(every, degrees, shares)
    found, worth = moderated(variances, np.full(variances.shape, n - 1.0), common[:, None, :])
    flat = (*variances.shape, -1)
    weight = np.broadcast_to(weights[:, None], found.shape).reshape(flat)
    errors = np.sqrt(found / n).reshape(flat)
    p = two_sided(np.abs(differences.mean(-1)), errors, np.repeat(worth, STEPS, axis=-1), weight)
    prior = OWN * own(differences, pairs) + (1 - OWN) * p
    return (averaged(differences, pairs) + prior) / 2


def rejected(
    draw: np.random.Generator, noise: str, prior: str, pairs: Sequence[Pair], studies: int, truth: Floats, n: int = 5
) -> tuple[Floats, Floats]:
    """Which verdicts are significant, (studies, G), without and with the scatter of earlier studies."""
    found = [], []
    for start in range(0, studies, BATCH // 2):
        count = min(BATCH // 2, studies - start)
        values = NOISE[noise](draw, (count, ROWS, n)) + truth[:, None]
        older = NOISE[noise](draw, (count * EARLIER, ROWS, 5)) * np.array(PRIORS[prior])[:, None]
        differences = contrasts(values, pairs)
        earlier = contrasts(older, pairs).reshape(count, EARLIER, len(pairs), 5)
        found[0].append(holm_rejects(averaged(differences, pairs)))
        found[1].append(holm_rejects(with_earlier(differences, pairs, earlier)))
    return np.concatenate(found[0]), np.concatenate(found[1])


def false_alarms(draw: np.random.Generator) -> list[str]:
    lines = [
        "### False alarms with the scatter of earlier studies",
        "",
        f"{STUDIES:,} null studies of {ROWS} rows and five seeds each, with {EARLIER} earlier ones; family-wise, in %. At most",
        f"{percent(limit(STUDIES))} is 5 % and two standard errors. A cell above it is drawn once more with {AGAIN:,} studies (limit "
        f"{percent(limit(AGAIN))}).",
        "",
        *head("design, noise, earlier studies", "present alone", "half and half (ours)", "drawn again"),
    ]
    for design, pairs in DESIGNS.items():
        for noise in ("normal", "heavy tails"):
            for prior in PRIORS:
                alone, ours = (f.any(-1).mean() for f in rejected(draw, noise, prior, pairs, STUDIES, np.zeros(ROWS)))
                again = ""
                if ours > limit(STUDIES):
                    again = percent(rejected(draw, noise, prior, pairs, AGAIN, np.zeros(ROWS))[1].any(-1).mean())
                lines.append(f"| {design}, {noise}, {prior} | {percent(alone)} | {percent(ours)} | {again} |")
                print(lines[-1], flush=True)
    return lines


def power(draw: np.random.Generator) -> list[str]:
    lines = [
        "### Power with the scatter of earlier studies",
        "",
        f"An effect of 2 sd, five seeds, normal noise, Holm over 6 comparisons, {STUDIES:,} studies each, in %.",
        "",
        *head("design, earlier studies", "present alone", "half and half (ours)"),
    ]
    truth = planted("equal", 2.0)
    for design, pairs in DESIGNS.items():
        for prior in PRIORS:
            alone, ours = (f[:, 4].mean() for f in rejected(draw, "normal", prior, pairs, STUDIES, truth))
            lines.append(f"| {design}, {prior} | {percent(alone)} | {percent(ours)} |")
            print(lines[-1], flush=True)
    return lines


def main() -> str:
    began = time.perf_counter()
    sections = [part(np.random.default_rng(seed)) for seed, part in enumerate((power, false_alarms))]
    lines = ["## Verdicts with the scatter of earlier studies", "", f"{machine()}. {{}} s.", ""]
    for section in sections:
        lines += [*section, ""]
    text = "\n".join(lines).replace("{}", f"{time.perf_counter() - began:.0f}", 1)
    (Path(__file__).parent / "RESULTS-prior.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    print(main())
