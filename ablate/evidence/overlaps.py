"""How much the comparisons of a study say together: those that share a variant use the same results twice.

Two differences with a variant in common correlate by ±0.5 if all variants scatter alike, and by nearly ±1 if the one
that they share is much noisier than the others; their variances correlate by the square. Then several variances say
hardly more than one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from ablate.evidence.paired import Differences, Floats, Pair

MOST = 500
"""The number of comparisons whose correlations are measured, as these are all pairs of comparisons: the first ones."""


def overlap(pairs: Sequence[Pair], differences: Floats | None = None) -> Floats:
    """The power of the likelihood of G comparisons: 1 if they share no variant, less the more they do.

    If all variances are equal, √(G/Σr²), where r are the correlations of all pairs of comparisons (each with itself
    included): the root of the fraction of effectively independent ones. It is an upper limit: ``differences``, (…, G,
    N) with NaN for a seed that a comparison lacks, give a power for each study, (…), that falls to 1/G, the weight of
    a single comparison, as the measured r² rise to 1. In between, it is a power of Σr². Both forms were chosen by
    measurement, see docs/evidence.md.
    """
    count = len(pairs)
    limit = float(np.sqrt(count / summed(pairs)))
    if differences is None or count < 2 or summed(pairs) >= count**2:
        return np.asarray(limit)
    first = pairs[:MOST]
    ratio = np.maximum(measured(first, differences[..., :MOST, :]) / summed(first), 1.0)
    steepness = np.log(limit * count) / np.log(count**2 / summed(pairs))
    return np.asarray(limit * ratio**-steepness)


def summed(pairs: Sequence[Pair]) -> float:
    """Σr² over all pairs of comparisons if all variances are equal: a shared variant adds 1/4, and the same two
    variants 1 rather than 2/4.
    """
    variants = Counter(name for pair in pairs for name in pair)
    twice = Counter(frozenset(pair) for pair in pairs)
    return sum(n**2 for n in variants.values()) / 4 + sum(n**2 for n in twice.values()) / 2


def correlations(pairs: Sequence[Pair]) -> Floats:
    """The correlations of differences if all variances are equal, (G, G)."""
    places = {name: place for place, name in enumerate(sorted({name for pair in pairs for name in pair}))}
    signs = np.zeros((len(pairs), len(places)))
    for row, (one, other) in zip(signs, pairs, strict=True):
        row[places[one]], row[places[other]] = 1.0, -1.0
    return signs @ signs.T / 2


def measured(pairs: Sequence[Pair], differences: Floats) -> Floats:
    """Σr² over all pairs of comparisons, (…), from the differences over the seeds that both have, (…, G, N).

    Independent normal differences have E[r²] = 1/(n − 1). So r² is adjusted for chance (Ezekiel 1930, Methods of
    Correlation Analysis): 1 − (1 − r²)(n − 1)/(n − 2), which is 0 for these on average and at most 1. Pairs of
    comparisons without a common variant count 0, those with fewer than three common seeds as if variances were equal.
    """
    known = np.isfinite(differences)
    values = differences - np.nanmean(differences, -1, keepdims=True)
    with np.errstate(invalid="ignore"):
        values = np.where(known, values / np.sqrt(np.nanmean(values**2, -1, keepdims=True)), 0.0)
    has = known.astype(np.float64)
    turned = has.swapaxes(-1, -2)
    n = has @ turned
    sums, squares = values @ turned, values**2 @ turned
    with np.errstate(divide="ignore", invalid="ignore"):
        around = squares - sums**2 / n
        products = values @ values.swapaxes(-1, -2) - sums * sums.swapaxes(-1, -2) / n
        r2 = np.minimum(products**2 / (around * around.swapaxes(-1, -2)), 1.0)
        adjusted = 1 - (1 - r2) * (n - 1) / (n - 2)
    equal = correlations(pairs) ** 2
    found = np.where((n > 2) & np.isfinite(adjusted), adjusted, equal)
    total: Floats = np.where(equal > 0, found, 0.0).sum((-2, -1))
    return total


def by_seed(samples: Sequence[Differences], seeds: Sequence[Collection[int]] = ()) -> Floats:
    """Differences side by side, (G, N): a column for each seed, NaN where a comparison lacks it. Without ``seeds``, the
    samples are those of the first ones.
    """
    asked = [
        list(own) if len(own) == len(sample) else list(range(len(sample)))
        for sample, own in zip(samples, seeds or [()] * len(samples), strict=True)
    ]
    columns = {seed: place for place, seed in enumerate(sorted({seed for own in asked for seed in own}))}
    found = np.full((len(samples), len(columns)), np.nan)
    for row, own, sample in zip(found, asked, samples, strict=True):
        row[[columns[seed] for seed in own]] = sample
    return found
