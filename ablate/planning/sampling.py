"""The candidates that a sampler of Optuna takes from the ranges of ``tune``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.recipe.search_space import Candidates, Values
from ablate.recipe.tuning import Tuning

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

BATCH = 4
"""Candidates of a variant that are trained at the same time; the sampler knows the results of all earlier ones."""

STARTUP = 4
"""Candidates that are drawn at random before TPE uses results: with more, a search of 12 finds worse values."""

SEED = 0
"""The seed of the sampler's first batch, for every variant; later batches count on from it."""


@dataclass(frozen=True)
class Told:
    """A candidate that has ended: its values, and its mean score; None if it has none."""

    values: Values
    score: float | None


def asked(tuning: Tuning, variant: str, told: Sequence[Told]) -> list[dict[str, float]]:
    """The next candidates of a variant after those whose results are known, at most `BATCH`, until there are
    ``tuning.trials``.

    The same results give the same candidates with the same version of Optuna. The first candidate has the variant's own
    values where they are in the space. Raises ValueError if Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        text = "tune with trials requires Optuna. Install it with: pip install 'ablate-runner[tune]'"
        raise ValueError(text) from None
    assert tuning.trials is not None
    own = tuning.own[variant]
    space = {path: distribution(tuning.grid[path], value) for path, value in own.items()}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(
            direction="minimize" if tuning.compare.better == "lower" else "maximize",
            sampler=sampler_of(tuning.sampler, SEED + len(told)),
        )
        for one in told:
            # one that failed counts as worse than all others, so that the sampler avoids its values
            state = optuna.trial.TrialState.PRUNED if one.score is None else optuna.trial.TrialState.COMPLETE
            study.add_trial(
                optuna.trial.create_trial(state=state, params=dict(one.values), distributions=space, value=one.score)
            )
        count = min(BATCH, tuning.trials - len(told))
        found = [dict(study.ask(space).params) for _ in range(count)]
    finally:
        optuna.logging.set_verbosity(level)
    if not told:
        found[0] |= {path: value for path, value in own.items() if tuning.grid[path].has(value)}
    return [{path: tuning.grid[path].of(params[path], own[path]) for path in own} for params in found]


def distribution(candidates: Candidates, own: float) -> BaseDistribution:
    """What Optuna samples a setting from."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if candidates.kind == "values":
        return CategoricalDistribution(candidates.numbers)
    low, high = candidates.numbers
    if candidates.whole(own):
        return IntDistribution(int(low), int(high), log=candidates.log)
    return FloatDistribution(low, high, log=candidates.log)


def sampler_of(name: str, seed: int) -> BaseSampler:
    """A sampler by its name in a recipe (Bergstra et al. 2011, Algorithms for Hyper-Parameter Optimization: TPE)."""
    import optuna

    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
