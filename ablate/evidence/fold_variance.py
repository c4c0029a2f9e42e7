"""Folds of one seed: they share training samples, so that their differences scatter less than those of other data would."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.paired import Differences, Spread, own_spread


def fold_spread(sample: Differences, k: int) -> Spread | None:
    """The spread of the differences of n of k folds, corrected after Nadeau and Bengio (2003), Inference for the generalization error, section 3.

    The variance of their mean is (1/n + n₂/n₁) s², where n₂/n₁, the validation samples for each training sample, is 1/(k − 1) in k folds;
    n − 1 degrees of freedom. None where nothing tells how much they scatter.
    """
    own = own_spread(sample)
    # what is estimated from a spread divides its variances by n
    return own and replace(own, variances=own.variances * (1 + len(sample) / (k - 1)))
