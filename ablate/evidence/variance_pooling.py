"""The moderated paired t-test: the variance of each comparison is estimated together with those of the study's other
comparisons.

A variance cannot be estimated well from three or five seeds, and all variants of a study are trained in similar ways:
so the variance of each comparison is modeled by a scaled inverse chi-squared distribution around a common variance
(Smyth 2004, Linear models and empirical Bayes methods, equations 1 to 5; known as limma). That method *estimates* the
similarity of the variances, for which six of them are too few. This one averages over all similarities, from 0.5 prior
degrees of freedom (a variant's own variance decides) to 64 (all are equal), weighted by their likelihood and by
`TRUST`. A variance that is far from the others makes low similarity likely, and so is kept. A part of each p-value is
that of the paired t-test on the variant's own differences (`ablate.evidence.paired.combined`): without it, three seeds
of variants whose standard deviations differ by a factor of a hundred give too many false positives, and intervals of
the noisiest ones are too narrow. Reasons and measurements: docs/evidence.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ablate.evidence.overlaps import by_seed, overlap
from ablate.evidence.paired import Differences, Estimator, Floats, Pair, Spread, own_spread
from ablate.store.checked import EarlierScatter

ALIKE = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0])
"""Prior degrees of freedom of the common variance, (D,)."""

TRUST = np.array([4.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0]) / 16
"""Prior probabilities of `ALIKE`, chosen by measured false positives: equal ones pool too much if variances differ."""

STEPS, MARGIN = 40, 3.0
"""The grid of common variances: the number of values, evenly spaced in the logarithm, and how far it extends beyond the
observed ones.
"""


def shared_spreads(
    samples: Sequence[Differences],
    pairs: Sequence[Pair],
    seeds: Sequence[Collection[int]] = (),
    earlier: Sequence[EarlierScatter] = (),
) -> list[Spread | None]:
    """A spread for each comparison of a study, from all of them and from those of ``earlier`` studies. ``seeds``: those
    of each; without, the first ones.

    A single comparison gets its own, which is the paired t-test. If all pairs of one differ by the same amount (a
    coarse metric), its variance comes from the others.
    """
    own = [own_spread(sample) for sample in samples]
    variances = [0.0 if one is None else float(one.variances[0]) for one in own]
    # Two variants with the same runs, as designs may have them, count once.
    informative = list({samples[i].tobytes(): i for i, variance in enumerate(variances) if variance > 0}.values())
    if not informative:
        return own
    beside = by_seed([samples[i] for i in informative], [seeds[i] for i in informative] if seeds else ())
    share = np.full(len(informative), overlap([pairs[i] for i in informative], beside))
    weights, common = belief(
        np.append([variances[i] for i in informative], [one["variance"] for one in earlier]),
        np.array([len(samples[i]) - 1.0 for i in informative] + [one["degrees"] for one in earlier]),
        np.append(share, earlier_shares(earlier)),
    )
    for i, sample in enumerate(samples):
        # Without other comparisons, the average is the paired t-test: computed directly, not on the grid.
        lends = earlier or any(samples[other].tobytes() != sample.tobytes() for other in informative)
        if lends and len(sample) > 1 and sample.any():
            found, worth = moderated(np.array(variances[i]), np.array(len(sample) - 1.0), common)
            # If all pairs differ by the same amount, its own variance of 0 gets no weight.
            alone = own[i] if variances[i] else None
            own[i] = Spread(found.ravel(), np.repeat(worth, STEPS), weights.ravel(), alone)
    return own


def beside(earlier: Sequence[EarlierScatter]) -> Estimator:
    """The estimator that adds the scatter of earlier studies: its p-values are means of those with and without it.

    With it alone, verdicts would be wrong too often if the earlier studies scatter much less (docs/evidence.md).
    """
    if not earlier:
        return shared_spreads

    def estimate(
        samples: Sequence[Differences], pairs: Sequence[Pair], seeds: Sequence[Collection[int]]
    ) -> list[Spread | None]:
        present, prior = (shared_spreads(samples, pairs, seeds, more) for more in ((), earlier))
        return [
            halves(one, other) if one is not None and other is not None and other.pooled else one
            for one, other in zip(present, prior, strict=True)
        ]

    return estimate


def earlier_shares(earlier: Sequence[EarlierScatter]) -> Floats:
    """The power of the likelihood of each comparison of earlier studies, (E,): the `overlap` of those of its study."""
    pairs: dict[str, list[Pair]] = {}
    for one in earlier:
        pairs.setdefault(one["study"], []).append((one["variant"], one["from"]))
    shares = {study: float(overlap(each)) for study, each in pairs.items()}
    return np.array([shares[one["study"]] for one in earlier], dtype=np.float64)


def halves(present: Spread, prior: Spread) -> Spread:
    """The mean of p-values of pooled variances. Where there are no other comparisons, the present one is the own."""
    alone = present.own if present.pooled else present
    return Spread(
        np.append(present.variances, prior.variances),
        np.append(present.degrees, prior.degrees),
        np.append(present.weights, prior.weights) / 2,
        alone,
    )


def belief(variances: Floats, degrees: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Posterior weights given variances (…, G) with degrees of freedom (G,).

    Returns weights (…, D, K) that add up to 1, over `ALIKE` and K common variances, and these, (…, K). ``share``, (…,
    G) or (…, 1), tempers the likelihood of comparisons that are not independent (`overlap`).
    """
    from scipy.special import betaln

    logs = np.log(variances)
    low, high = logs.min(-1, keepdims=True) - MARGIN, logs.max(-1, keepdims=True) + MARGIN
    common = low + (high - low) * np.linspace(0.0, 1.0, STEPS)
    ratio = logs[..., :, None, None] - common[..., None, None, :]
    alike, own = ALIKE[:, None], np.asarray(degrees)[..., :, None, None]
    # the density of the logarithm of a variance: `common` times an F variate with (degrees, alike) degrees of freedom
    density = (
        own / 2 * (np.log(own / alike) + ratio)
        - (own + alike) / 2 * np.log1p(own / alike * np.exp(ratio))
        - betaln(own / 2, alike / 2)
    )
    likely = np.log(TRUST)[:, None] + (np.asarray(share)[..., None, None] * density).sum(-3)
    weights = np.exp(likely - likely.max((-2, -1), keepdims=True))
    return weights / weights.sum((-2, -1), keepdims=True), np.exp(common)


def moderated(variances: Floats, degrees: Floats, common: Floats) -> tuple[Floats, Floats]:
    """A comparison's moderated variance, (…, D, K), and its degrees of freedom, (…, D): the mean of its own and the
    common one, by their degrees of freedom.
    """
    alike = ALIKE[:, None]
    own = np.asarray(degrees)[..., None, None]
    mixed = (alike * common[..., None, :] + own * np.asarray(variances)[..., None, None]) / (alike + own)
    return mixed, ALIKE + np.asarray(degrees)[..., None]
