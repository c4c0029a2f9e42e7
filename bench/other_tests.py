"""The tests that verdicts could be based on instead: p-values (B, G) of differences (B, G, n), over many studies at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import digamma, fdtrc, polygamma, stdtr

from ablate.evidence.overlaps import overlap
from ablate.evidence.paired import LEVEL
from ablate.evidence.verdicts import holm
from bench.null_studies import Bools, Floats, Pairs

Test = Callable[[Floats, Pairs], Floats]


def student(differences: Floats, variances: Floats, degrees: Floats) -> Floats:
    errors = np.sqrt(variances / differences.shape[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(differences.mean(-1)) / errors
    # No scatter at all, as two rows of a coarse metric have it: the p-value of no difference is 1, of any other 0.
    p: Floats = 2 * stdtr(degrees, -np.nan_to_num(t, nan=0.0, posinf=np.inf))
    return p


def own(differences: Floats, pairs: Pairs) -> Floats:
    """The paired t test."""
    return student(differences, differences.var(-1, ddof=1), np.array(differences.shape[-1] - 1.0))


def pooled(differences: Floats, pairs: Pairs) -> Floats:
    """One variance for all rows."""
    variances = differences.var(-1, ddof=1)
    common = np.broadcast_to(variances.mean(-1, keepdims=True), variances.shape)
    return student(differences, common, np.array((differences.shape[-1] - 1) * independent(pairs)))


def limma(differences: Floats, pairs: Pairs) -> Floats:
    """Smyth 2004: a common variance and its degrees of freedom by the moments of the logarithms of the variances."""
    variances, degrees = differences.var(-1, ddof=1), differences.shape[-1] - 1.0
    alike, centre = prior(
        np.log(np.maximum(variances, 1e-300)), degrees, digamma(degrees / 2), polygamma(1, degrees / 2)
    )
    return student(differences, *mix(variances, degrees, alike, centre, pairs))


def limma_robust(differences: Floats, pairs: Pairs) -> Floats:
    """In the manner of Phipson et al. 2016: the largest and smallest variance are replaced by their neighbours before the
    prior is estimated (moments corrected for that, by simulation), and a row that is too far above the common variance
    for an F test at 5 % over all rows keeps its own.
    """
    variances, degrees = differences.var(-1, ddof=1), differences.shape[-1] - 1.0
    count = variances.shape[-1]
    draws = drawn_in(np.log(np.random.default_rng(0).chisquare(degrees, (20_000, count)) / 2))
    logs = drawn_in(np.log(np.maximum(variances, 1e-300)))
    alike, centre = prior(logs, degrees, draws.mean(), draws.var(-1, ddof=1).mean())
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


def mix(variances: Floats, degrees: float, alike: Floats, centre: Floats, pairs: Pairs) -> tuple[Floats, Floats]:
    """Moderated variances and their degrees of freedom, never more than all comparisons have together."""
    share = (alike / (alike + degrees))[:, None]
    return share * centre[:, None] + (1 - share) * variances, np.minimum(
        alike[:, None] + degrees, degrees * independent(pairs)
    )


def trigamma_inverse(values: Floats) -> Floats:
    """By Newton's method, as in Smyth 2004, appendix."""
    y = 0.5 + 1 / values
    for _ in range(50):
        trigamma = polygamma(1, y)
        y = y + trigamma * (1 - trigamma / values) / polygamma(2, y)
    return y


def independent(pairs: Pairs) -> float:
    """The number of independent comparisons that say as much as these."""
    return float(len(pairs) * overlap(list(pairs.items())) ** 2)


def holm_rejects(p_values: Floats) -> Bools:
    """Which of (B, G) p-values are below the level after Holm's correction."""
    return np.array([[q is not None and q < LEVEL for q in holm(p.tolist())] for p in p_values])


TESTS: dict[str, Test] = {
    "paired t-test": own,
    "pooled": pooled,
    "moderated": limma,
    "moderated, robust": limma_robust,
}
