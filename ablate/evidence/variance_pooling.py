"""How much a comparison scatters, judged together with the study's other comparisons.

Three or five seeds say little about a variance, and all rows of a study are trained alike: so each comparison's variance is believed to come from a
scaled inverse chi-squared distribution around a common one (Smyth 2004, Linear models and empirical Bayes methods, equations 1 to 5; known as limma).
Where that method *estimates* how alike the variances are, which six of them cannot tell, this one averages over all answers, from ``hardly`` (0.5 degrees
of freedom, a row's own variance decides) to ``equal`` (64), weighted by how well each explains the variances that were seen, and by `TRUST`. A row whose
variance is far from the others' makes ``hardly`` likely, and so keeps its own. A fixed part of each p-value (`OWN`) is the paired t test's on the row's
own differences, whatever the others say: without it, three seeds of rows that scatter a hundred times unequally give too many false alarms. Why, with
measurements: docs/evidence.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ablate.evidence.paired import Differences, Floats, Pair, Spread, own_spread, scatter

ALIKE = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0])
"""Degrees of freedom that the common variance may be worth, (D,)."""

TRUST = np.array([4.0, 4.0, 3.0, 2.0, 1.0, 1.0, 1.0]) / 16
"""What each of `ALIKE` is believed before any run. Chosen by measured false alarms: an even share trusts the other rows too much where they differ."""

OWN = 0.075
"""Part of a p-value that a row's own variance alone decides. No evidence outvotes it, as little data about variances cannot tell which rows are alike.
The smallest of those tried that kept false alarms clearly below 5 % and two standard errors in every arrangement; a sixth of the power goes for it at
three seeds, a fifteenth at five."""

STEPS, MARGIN = 40, 3.0
"""Values of the common variance that are tried, evenly in its logarithm, and how far beyond the variances that were seen they go."""


def shared_spreads(samples: Sequence[Differences], pairs: Sequence[Pair]) -> list[Spread | None]:
    """A spread for each comparison of a study, from all of them.

    A comparison that is alone gets its own, which is the paired t test. Where all pairs of one differ by the same amount (a coarse metric), only the
    others can tell how much it scatters.
    """
    own = [own_spread(sample) for sample in samples]
    sizes = [scatter(sample) if len(sample) > 1 else 0.0 for sample in samples]
    # Two rows with the same runs, as designs may have them, tell once what they tell.
    telling = list({samples[i].tobytes(): i for i, size in enumerate(sizes) if size > 0}.values())
    if not telling:
        return own
    degrees = np.array([len(samples[i]) - 1.0 for i in telling])
    variances = np.square([sizes[i] for i in telling])
    weights, common = belief(variances, degrees, overlap([pairs[i] for i in telling]))
    for i, sample in enumerate(samples):
        # Without anything to borrow from, the average over answers is the paired t test: taken as it is, not by way of the grid.
        lends = any(samples[other].tobytes() != sample.tobytes() for other in telling)
        if lends and len(sample) > 1 and sample.any():
            found, worth = moderated(np.array(sizes[i] ** 2), np.array(len(sample) - 1.0), common)
            shared = Spread(found.ravel(), np.repeat(worth, STEPS), weights.ravel())
            alone = own[i]
            # All pairs differ by the same amount: a variance of its own that says "certain" gets no part.
            own[i] = shared if alone is None or not sizes[i] else mixed(alone, shared)
    return own


def mixed(own: Spread, shared: Spread) -> Spread:
    """A spread whose p-values are `OWN` parts those of the row's own and for the rest those of what it shares."""
    return Spread(
        np.append(own.variances, shared.variances),
        np.append(own.degrees, shared.degrees),
        np.append(OWN * own.weights, (1 - OWN) * shared.weights),
    )


def belief(variances: Floats, degrees: Floats, share: float) -> tuple[Floats, Floats]:
    """How likely each answer is, given variances (…, G) with degrees of freedom (G,).

    Returns weights (…, D, K) that add up to 1, over `ALIKE` and K common variances, and these, (…, K). ``share`` tempers the evidence of comparisons that
    are not independent.
    """
    from scipy.special import betaln

    logs = np.log(variances)
    low, high = logs.min(-1, keepdims=True) - MARGIN, logs.max(-1, keepdims=True) + MARGIN
    common = low + (high - low) * np.linspace(0.0, 1.0, STEPS)
    ratio = logs[..., :, None, None] - common[..., None, None, :]
    alike, own = ALIKE[:, None], np.asarray(degrees)[..., :, None, None]
    # The density of the logarithm of a variance that is `common` times an F variate with (degrees, alike) degrees of freedom.
    density = (
        own / 2 * (np.log(own / alike) + ratio)
        - (own + alike) / 2 * np.log1p(own / alike * np.exp(ratio))
        - betaln(own / 2, alike / 2)
    )
    likely = np.log(TRUST)[:, None] + share * density.sum(-3)
    weights = np.exp(likely - likely.max((-2, -1), keepdims=True))
    return weights / weights.sum((-2, -1), keepdims=True), np.exp(common)


def moderated(variances: Floats, degrees: Floats, common: Floats) -> tuple[Floats, Floats]:
    """A comparison's variance under each answer, (…, D, K), and its degrees of freedom, (…, D): its own and the common one, by their degrees of freedom."""
    alike = ALIKE[:, None]
    own = np.asarray(degrees)[..., None, None]
    mixed = (alike * common[..., None, :] + own * np.asarray(variances)[..., None, None]) / (alike + own)
    return mixed, ALIKE + np.asarray(degrees)[..., None]


def overlap(pairs: Sequence[Pair]) -> float:
    """1 for comparisons that share no row, less the more they do: the square root of the share of them that counts as independent.

    Two differences with a row in common correlate by ±0.5 and their variances by its square, so that G comparisons with correlations r tell as much as
    G²/Σr² independent ones. The root rather than the share itself: measured, see docs/evidence.md.
    """
    total = sum(correlation(one, other) ** 2 for one in pairs for other in pairs)
    return float(np.sqrt(len(pairs) / total))


def correlation(one: Pair, other: Pair) -> float:
    """Of two differences between rows that scatter alike and independently."""
    (a, b), (c, d) = one, other
    return ((a == c) + (b == d) - (a == d) - (b == c)) / 2
