"""How often verdicts are wrong, and how much they find: null studies and planted effects, simulated and from 1,200 real
runs.

The statistics are the package's own (`ablate.evidence`), over many studies at once. ``python -m bench.calibration``
prints the section and writes bench/RESULTS-calibration.md; figures and reasons are discussed in docs/evidence.md. One
core, ten to twelve minutes, the first time three more for the pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, fdtrc, polygamma, stdtr

from ablate.evidence.contrasts import Contrast, examine
from ablate.evidence.overlaps import overlap
from ablate.evidence.paired import LEVEL, Pair, two_sided
from ablate.evidence.variance_pooling import OWN, STEPS, belief, moderated
from bench.measure import machine
from bench.pool import read_pool

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

ROWS = 7
SEEDS = (3, 5, 10)
STUDIES = {"main": 10_000, "side": 2_000, "real": 1_000, "worst": 2_500}
BATCH = 500
"""Studies at a time, so that the machine's memory is not the limit."""

LADDER = [(f"net{i + 1}", f"net{i}") for i in range(1, ROWS)]
STAR = [(f"net{i + 1}", "net1") for i in range(1, ROWS)]
DESIGNS: dict[str, list[Pair]] = {"ladder": LADDER, "one-at-a-time": STAR}

SCATTER = {
    "equal": [1.0] * ROWS,
    "variances 1 to 10": list(10 ** np.linspace(0, 0.5, ROWS)),
    "variances 1 to 100": list(10 ** np.linspace(0, 1, ROWS)),
    "one row's 100 times": [1.0, 1, 1, 10, 1, 1, 1],
    "as digits.yaml's": [0.0037, 0.045, 0.066, 0.016, 0.016, 0.016, 0.021],
}
"""Standard deviations of the rows' seeds. The last as measured over 8 seeds of recipes/digits.yaml."""


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
    """Every tenth seed ends in a basin of its own, eight deviations away."""
    away = draw.random(shape) < 0.1
    return (0.5 * draw.standard_normal(shape) + 4 * away - 0.4) / np.sqrt(0.25 + 16 * 0.09)


NOISY = {
    "equal": [1.0] * ROWS,
    "net1 10 times": [10.0] + [1.0] * (ROWS - 1),
    "net2 to net7 10 times": [1.0] + [10.0] * (ROWS - 1),
    "net1, net3, net5, net7 10 times": [10.0, 1, 10, 1, 10, 1, 10],
}
"""Standard deviations of the rows' seeds where a parent, or all others, are noisier."""

NOISE: dict[str, Draw] = {"normal": normal, "heavy tails": heavy, "skewed": skewed, "jumps": jumps}

# Tests: differences (B, G, n) and which rows they compare → unadjusted p-values (B, G).
Test = Callable[[Floats, Sequence[Pair]], Floats]


def student(differences: Floats, variances: Floats, degrees: Floats) -> Floats:
    errors = np.sqrt(variances / differences.shape[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(differences.mean(-1)) / errors
    # No scatter at all, as two rows of a coarse metric have it: the p-value of no difference is 1, of any other 0.
    p: Floats = 2 * stdtr(degrees, -np.nan_to_num(t, nan=0.0, posinf=np.inf))
    return p


def own(differences: Floats, pairs: Sequence[Pair]) -> Floats:
    """The paired t test."""
    return student(differences, differences.var(-1, ddof=1), np.array(differences.shape[-1] - 1.0))


def pooled(differences: Floats, pairs: Sequence[Pair]) -> Floats:
    """One variance for all rows."""
    variances = differences.var(-1, ddof=1)
    common = np.broadcast_to(variances.mean(-1, keepdims=True), variances.shape)
    return student(differences, common, np.array((differences.shape[-1] - 1) * independent(pairs)))


def limma(differences: Floats, pairs: Sequence[Pair]) -> Floats:
    """Smyth 2004: a common variance and its degrees of freedom by the moments of the logarithms of the variances."""
    variances, degrees = differences.var(-1, ddof=1), differences.shape[-1] - 1.0
    alike, centre = prior(
        np.log(np.maximum(variances, 1e-300)), degrees, digamma(degrees / 2), polygamma(1, degrees / 2)
    )
    return student(differences, *mix(variances, degrees, alike, centre, pairs))


def limma_robust(differences: Floats, pairs: Sequence[Pair]) -> Floats:
    """In the manner of Phipson et al. 2016: the largest and smallest variance are drawn in before they tell of the
    others (moments corrected for that, by simulation), and a row that is too far above the common variance for an F
    test at 5 % over all rows keeps its own.
    """
    variances, degrees = differences.var(-1, ddof=1), differences.shape[-1] - 1.0
    count = variances.shape[-1]
    draws = drawn_in(np.log(np.random.default_rng(0).chisquare(degrees, (20_000, count)) / 2))
    told = drawn_in(np.log(np.maximum(variances, 1e-300)))
    alike, centre = prior(told, degrees, draws.mean(), draws.var(-1, ddof=1).mean())
    mixed, worth = mix(variances, degrees, alike, centre, pairs)
    far = fdtrc(degrees, np.minimum(alike, 1e6)[:, None], variances / centre[:, None]) < LEVEL / count
    return student(differences, np.where(far, variances, mixed), np.where(far, degrees, worth))


def drawn_in(logs: Floats) -> Floats:
    """The smallest and largest of each (…, G) in the place of their neighbours."""
    ordered = np.sort(logs, -1)
    inside: Floats = np.clip(logs, ordered[..., 1:2], ordered[..., -2:-1])
    return inside


def prior(logs: Floats, degrees: float, mean: float, variance: float) -> tuple[Floats, Floats]:
    """What the common variance is worth in degrees of freedom, and the common variance, (B,) each.

    ``mean`` and ``variance`` are those of the logarithm of half a chi-squared variate: what variances scatter by where
    all are equal.
    """
    shifted = logs - mean + np.log(degrees / 2)
    excess = shifted.var(-1, ddof=1) - variance
    alike = np.where(excess > 1e-9, 2 * trigamma_inverse(np.maximum(excess, 1e-9)), 1e9)
    centre = np.exp(shifted.mean(-1) + digamma(alike / 2) - np.log(alike / 2))
    return alike, centre


def mix(
    variances: Floats, degrees: float, alike: Floats, centre: Floats, pairs: Sequence[Pair]
) -> tuple[Floats, Floats]:
    """Moderated variances and their degrees of freedom, never more than all comparisons have together."""
    share = (alike / (alike + degrees))[:, None]
    return share * centre[:, None] + (1 - share) * variances, np.minimum(
        alike[:, None] + degrees, degrees * independent(pairs)
    )


def averaged(differences: Floats, pairs: Sequence[Pair], *, measuring: bool = True) -> Floats:
    """The package's own: `ablate.evidence.variance_pooling`, over all studies at once. Without ``measuring``, the overlap
    of comparisons is as if all variances were equal.
    """
    n = differences.shape[-1]
    variances = differences.var(-1, ddof=1)
    scatters = variances > 0
    # A row without scatter tells nothing of the others; here, where all rows of a batch are one array, a trillionth stands for none.
    variances = np.maximum(variances, 1e-12 * variances.max(-1, keepdims=True))
    degrees = np.full(variances.shape[-1], n - 1.0)
    weights, common = belief(variances, degrees, overlap(pairs, differences if measuring else None)[..., None])
    found, worth = moderated(variances, np.broadcast_to(degrees, variances.shape), common[:, None, :])
    flat = (*variances.shape, -1)
    share = np.broadcast_to(weights[:, None], found.shape).reshape(flat)
    errors = np.sqrt(found / n).reshape(flat)
    p = two_sided(np.abs(differences.mean(-1)), errors, np.repeat(worth, STEPS, axis=-1), share)
    return np.where(scatters, OWN * own(differences, pairs) + (1 - OWN) * p, p)


TESTS: dict[str, Test] = {
    "own variance": own,
    "pooled": pooled,
    "moderated": limma,
    "moderated, robust": limma_robust,
    "averaged (ours)": averaged,
}


def trigamma_inverse(values: Floats) -> Floats:
    """By Newton's method, as in Smyth 2004, appendix."""
    y = 0.5 + 1 / values
    for _ in range(50):
        trigamma = polygamma(1, y)
        y = y + trigamma * (1 - trigamma / values) / polygamma(2, y)
    return y


def independent(pairs: Sequence[Pair]) -> float:
    """As many independent comparisons as these tell as much as."""
    return float(len(pairs) * overlap(pairs) ** 2)


def holm_rejects(p_values: Floats) -> NDArray[np.bool_]:
    """Which of (…, G) p-values Holm's adjustment leaves below the level. Agrees with `ablate.evidence.holm` (see the
    tests).
    """
    order = np.argsort(p_values, -1)
    count = p_values.shape[-1]
    adjusted = np.maximum.accumulate(np.take_along_axis(p_values, order, -1) * (count - np.arange(count)), -1)
    found = np.empty_like(p_values, dtype=bool)
    np.put_along_axis(found, order, adjusted < LEVEL, -1)
    return found


def contrasts(values: Floats, pairs: Sequence[Pair]) -> Floats:
    """Differences (B, G, n) of rows (B, R, n) that are called net1, net2 …"""
    place = [(int(row[3:]) - 1, int(other[3:]) - 1) for row, other in pairs]
    return values[:, [row for row, _ in place]] - values[:, [other for _, other in place]]


@dataclass
class Count:
    """Studies with a false alarm, rows whose interval holds the truth, planted effects found."""

    studies: int = 0
    alarms: int = 0
    covered: int = 0
    intervals: int = 0
    found: int = 0

    @property
    def alarm_rate(self) -> float:
        return self.alarms / self.studies

    @property
    def coverage(self) -> float:
        return self.covered / self.intervals

    @property
    def power(self) -> float:
        return self.found / self.studies


def tally(values: Floats, pairs: Sequence[Pair], tests: Sequence[str], truth: Floats | None = None) -> dict[str, Count]:
    """Counts over studies (B, R, n) whose rows' true means are ``truth``, (R,), zeros unless given."""
    counts = {name: Count() for name in tests}
    true = contrasts((np.zeros(values.shape[1]) if truth is None else truth)[None, :, None], pairs)[0, :, 0]
    for start in range(0, len(values), BATCH):
        differences = contrasts(values[start : start + BATCH], pairs)
        for name, count in counts.items():
            p = TESTS[name](differences, pairs)
            found = holm_rejects(p)
            null = p if truth is None else TESTS[name](differences - true[:, None], pairs)
            count.studies += len(differences)
            count.alarms += int(found[:, true == 0].any(-1).sum())
            # An interval holds the truth exactly where the test does not reject it.
            count.covered += int((null >= LEVEL).sum())
            count.intervals += null.size
            if (true != 0).any():
                count.found += int(found[:, int(np.flatnonzero(true)[0])].sum())
    return counts


def simulated(draw: np.random.Generator, noise: str, scatter: str, n: int, studies: int) -> Floats:
    """Rows of studies, (B, R, n), with a part that all rows of a seed share."""
    shape = (studies, ROWS, n)
    rows = NOISE[noise](draw, shape) * np.array(SCATTER[scatter])[:, None]
    return rows + 3 * draw.standard_normal((studies, 1, n))


def real_studies(draw: np.random.Generator, pool: dict[str, Floats], half: str, metric: int, n: int) -> Floats:
    """Studies drawn from real runs, (B, R, n): rows of other seeds, or copies of the same seeds under other noise."""
    studies = []
    for _ in range(STUDIES["real"]):
        if half == "seeds":
            studies.append(draw.choice(pool["seeds"][:, metric], (ROWS, n), replace=False))
        else:
            seeds = draw.choice(len(pool["copies"]), n, replace=False)
            copies = draw.permuted(np.tile(np.arange(pool["copies"].shape[1]), (n, 1)), axis=1)[:, :ROWS]
            studies.append(pool["copies"][seeds[:, None], copies, metric].T)
    return np.array(studies)


def planted(scatter: str, size: float) -> Floats:
    """True means of the rows, (R,): the sixth row is ``size`` of its seeds' deviations below all others, so that the
    steps to it and from it are real.
    """
    truth = np.zeros(ROWS)
    truth[5:] = -size * SCATTER[scatter][5]
    return truth


def percent(rate: float) -> str:
    return f"{100 * rate:.1f}"


def limit(studies: int) -> float:
    """5 % and two standard errors."""
    return float(LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / studies))


def head(*columns: str) -> list[str]:
    return ["| " + " | ".join(columns) + " |", "|:--|" + "--:|" * (len(columns) - 1)]


def false_alarms(draw: np.random.Generator) -> list[str]:
    lines = [
        "### False alarms and cover, equal variances",
        "",
        f"{STUDIES['main']:,} null studies of {ROWS} rows each; at most {percent(limit(STUDIES['main']))} is 5 % and two standard errors.",
        "Each cell: family-wise false alarms / cover of the 95 % intervals, both in %.",
        "",
        *head("design, noise, seeds", "own variance", "averaged (ours)"),
    ]
    for design, pairs in DESIGNS.items():
        for noise in NOISE:
            for n in SEEDS:
                values = simulated(draw, noise, "equal", n, STUDIES["main"])
                found = tally(values, pairs, ["own variance", "averaged (ours)"])
                cells = [f"{percent(c.alarm_rate)} / {percent(c.coverage)}" for c in found.values()]
                lines.append(f"| {design}, {noise}, {n} | " + " | ".join(cells) + " |")
    return lines


def choice(draw: np.random.Generator) -> list[str]:
    lines = [
        "### The choice: family-wise false alarms where rows do not scatter alike",
        "",
        f"{STUDIES['main']:,} null studies each, in %; at most {percent(limit(STUDIES['main']))} is 5 % and two standard errors.",
        "",
        *head("design, scatter, noise, seeds", *TESTS),
    ]
    cases = [("normal", scatter) for scatter in SCATTER]
    cases += [("heavy tails", "variances 1 to 10"), ("skewed", "variances 1 to 10")]
    for design, pairs in DESIGNS.items():
        for noise, scatter in cases:
            for n in (3, 5):
                found = tally(simulated(draw, noise, scatter, n, STUDIES["main"]), pairs, list(TESTS))
                cells = [percent(count.alarm_rate) for count in found.values()]
                lines.append(f"| {design}, {scatter}, {noise}, {n} | " + " | ".join(cells) + " |")
    return lines


def power(draw: np.random.Generator) -> list[str]:
    lines = [
        "### Power: a planted effect, in standard deviations of its row's seeds, found after Holm over 6 comparisons",
        "",
        f"{STUDIES['side']:,} ladders each, normal noise, in %.",
        "",
        *head("scatter, seeds, effect", *TESTS),
    ]
    for scatter in ("equal", "variances 1 to 10", "as digits.yaml's"):
        for n in SEEDS:
            for size in (0.5, 1.0, 2.0, 3.0):
                truth = planted(scatter, size)
                values = simulated(draw, "normal", scatter, n, STUDIES["side"]) + truth[:, None]
                found = tally(values, LADDER, list(TESTS), truth)
                cells = [percent(count.power) for count in found.values()]
                lines.append(f"| {scatter}, {n}, {size:g} sd | " + " | ".join(cells) + " |")
    return lines


def real(draw: np.random.Generator) -> list[str]:
    pool = read_pool()
    lines = [
        "### Null studies from real runs",
        "",
        f"{STUDIES['real']:,} ladders each, drawn from 600 runs with other seeds, and from 60 seeds with 10 copies each (same initial values and",
        "order, other dropout noise), of a small network on the digits. Each cell: false alarms / cover, in %;",
        f"at most {percent(limit(STUDIES['real']))} false alarms is 5 % and two standard errors.",
        "",
        *head("runs, metric, seeds", *TESTS),
    ]
    for half in ("seeds", "copies"):
        for metric, name in enumerate(("valid_loss", "accuracy")):
            for n in SEEDS:
                found = tally(real_studies(draw, pool, half, metric, n), LADDER, list(TESTS))
                cells = [f"{percent(c.alarm_rate)} / {percent(c.coverage)}" for c in found.values()]
                lines.append(
                    f"| other {half if half == 'seeds' else 'noise'}, {name}, {n} | " + " | ".join(cells) + " |"
                )
    return lines


def topped_up(draw: np.random.Generator) -> list[str]:
    lines = [
        "### Topping up the most promising variant, and showing it alone",
        "",
        f"{STUDIES['side']:,} null studies each, six variants with one parent, normal noise, in %. After a first look, the variant",
        f"with the smallest p-value gets as many seeds again, and the table shows it alone; at most {percent(limit(STUDIES['side']))} is 5 % and two",
        "standard errors. The last column counts a study if either look has a verdict.",
        "",
        *head("scatter, seeds", "alone: paired t-test", "alone: planned family", "first look", "either look"),
    ]
    for scatter in ("equal", "variances 1 to 10"):
        for n in (3, 5):
            alone, planned, first, either = np.mean(
                [again(study, n) for study in simulated(draw, "normal", scatter, 2 * n, STUDIES["side"])], axis=0
            )
            lines.append(
                f"| {scatter}, {n} + {n} | " + " | ".join(map(percent, (alone, planned, first, either))) + " |"
            )
    return lines


def again(study: Floats, n: int) -> tuple[bool, bool, bool, bool]:
    """Whether a study (R, 2n) has a false alarm: of the topped-up variant alone by the paired t-test, and corrected over
    the planned family; at the first look; at either.
    """
    differences = dict(zip(STAR, contrasts(study[None], STAR)[0], strict=True))

    def verdicts(seeds: dict[Pair, int]) -> dict[str, tuple[float, bool]]:
        known = {
            row: Contrast(differences[row, other][:count], count == max(seeds.values()), (), tuple(range(count)), other)
            for (row, other), count in seeds.items()
        }
        found = examine(known, "lower", planned=len(STAR))
        return {
            row: (one.effect.p or 1.0, one.judgement.verdict in ("helps", "hurts"))
            for row, one in found.items()
            if one.effect is not None
        }

    looked = verdicts(dict.fromkeys(STAR, n))
    best = min(STAR, key=lambda pair: looked[pair[0]][0])
    second = verdicts(dict.fromkeys(STAR, n) | {best: 2 * n})[best[0]][1]
    first = any(alarm for _, alarm in looked.values())
    alone = bool(own(differences[best][None, None], [best])[0, 0] < LEVEL)
    return alone, second, first, first or second


def noisy_parents(draw: np.random.Generator) -> list[str]:
    lines = [
        "### A noisy parent: cover of the worst variant's interval",
        "",
        f"{STUDIES['worst']:,} null studies each, normal noise, with the overlap of comparisons as if all variances were equal,",
        "and as measured. Each cell: cover of the 95 % interval of the variant where it is smallest / family-wise false",
        f"alarms, both in %; one standard error of a cover is {percent(np.sqrt(LEVEL * (1 - LEVEL) / STUDIES['worst']))}, "
        f"and at most {percent(limit(STUDIES['worst']))} is 5 % and two of a rate.",
        "",
        *head("design, scatter, seeds", "as if equal", "measured (ours)"),
    ]
    for design, pairs in DESIGNS.items():
        for scatter, sds in NOISY.items():
            for n in SEEDS:
                rows = normal(draw, (STUDIES["worst"], ROWS, n)) * np.array(sds)[:, None]
                differences, cells = contrasts(rows, pairs), []
                for measuring in (False, True):
                    p = np.concatenate([
                        averaged(differences[start : start + BATCH], pairs, measuring=measuring)
                        for start in range(0, len(rows), BATCH)
                    ])  # fmt: skip
                    alarms = holm_rejects(p).any(-1).mean()
                    cells.append(f"{percent((p >= LEVEL).mean(0).min())} / {percent(alarms)}")
                lines.append(f"| {design}, {scatter}, {n} | " + " | ".join(cells) + " |")
    return lines


def main() -> str:
    began = time.perf_counter()
    sections = [
        part(np.random.default_rng(seed))
        for seed, part in enumerate((false_alarms, real, choice, power, topped_up, noisy_parents))
    ]
    lines = ["## How far verdicts can be trusted", "", f"{machine()}. {{}} s.", ""]
    for section in sections:
        lines += [*section, ""]
    text = "\n".join(lines).replace("{}", f"{time.perf_counter() - began:.0f}", 1)
    (Path(__file__).parent / "RESULTS-calibration.md").write_text(text, encoding="utf-8")
    return text


if __name__ == "__main__":
    print(main())
