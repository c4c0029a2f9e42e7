"""The selection of the design ``greedy``, derived from the runs of its candidates in the store.

Each step tries every remaining trick on top of the ones kept so far, on the same reserved seeds, and keeps the one with
the largest gain. Nothing is stored besides the runs: the same runs always choose the same path.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.planning.planned_run import PlannedRun, planned_runs
from ablate.planning.search import Search, Trial, scores_of
from ablate.recipe import Recipe, Variant, identity
from ablate.recipe.greedy import Greedy
from ablate.recipe.variant import Compare
from ablate.store.records import ChosenPath, Step
from ablate.store.store import Store

SAME = 1e-12
"""Gains that differ by less than this share of the largest value are equal: the rest is rounding."""


@dataclass(frozen=True)
class ForwardSelection(Search):
    """How far a selection has come. The variants of ``recipe`` are the baseline and the path so far, ``kept`` are their
    candidates.
    """

    greedy: Greedy
    kept: tuple[Trial, ...]
    steps: tuple[Step, ...] = ()

    def record(self) -> ChosenPath:
        """What was tried and kept, with its runs."""
        runs = tuple(run.record for run in self.needed)
        return ChosenPath(
            self.greedy.seeds, self.greedy.compare.metric, self.steps, self.complete, len(self.trials), runs
        )

    @property
    def now(self) -> tuple[PlannedRun, ...]:
        """The runs of the present step, or of the last one: finished ones, too."""
        left = len(self.greedy.tricks) - len(self.kept) + 1
        return tuple(run for one in self.trials[-left - (not self.steps) :] for run in one.runs)

    def is_chosen(self, trial: Trial) -> bool:
        return trial in self.kept


def best_step(reference: Sequence[float], candidates: Mapping[str, Sequence[float]], compare: Compare) -> Step:
    """The step that keeps the candidate with the largest mean gain over ``reference``, if it is greater than 0.

    Values of the compared metric by seed, in the same order; a candidate without any has no gain. Of equal gains, the
    first candidate's counts. With ``compare.scale: log``, gains are differences of logarithms.
    """
    sign = 1 if compare.better == "higher" else -1
    sides = {trick: scaled(values, compare) for trick, values in candidates.items()}
    base = scaled(reference, compare)
    if not base:
        return Step(dict.fromkeys(candidates))
    gains = {
        trick: sign * math.fsum((*values, *(-value for value in base))) / len(base) if values else None
        for trick, values in sides.items()
    }
    kept, best = None, 0.0
    rounding = SAME * max(abs(value) for values in (base, *sides.values()) for value in values)
    for trick, gain in gains.items():
        if gain is not None and gain > best + rounding:
            kept, best = trick, gain
    return Step(gains, kept)


def scaled(values: Sequence[float], compare: Compare) -> list[float]:
    """The values that are compared; none if one of them has no logarithm but needs one."""
    if not compare.log:
        return list(values)
    return [math.log(value) for value in values] if all(value > 0 for value in values) else []


def forward_selection(recipe: Recipe, store: Store, gone: Mapping[Path, str] | None = None) -> ForwardSelection:
    """The state of the selection in the store. Raises `RecipeError` if tricks cannot be combined.

    ``gone`` has the `content_hash` of files that no longer exist.
    """
    greedy = recipe.greedy
    assert greedy is not None

    def trial(variant: Variant, name: str) -> Trial:
        shared = identity(variant.settings, folder=recipe.folder, folds=recipe.folds, gone=gone)
        runs = tuple(planned_runs(variant, greedy.seeds, shared, recipe, store))
        return Trial(name, {}, {}, runs, scores_of(runs, greedy.compare))

    path: list[str] = []
    steps: list[Step] = []
    variants, candidates = greedy.built(path)
    kept = [trial(variants[0], variants[0].name)]
    trials = list(kept)
    complete = False
    while not complete:
        tried = {trick: trial(variant, f"+ {trick}") for trick, variant in candidates.items()}
        trials += tried.values()
        if not all(one.ended for one in (kept[-1], *tried.values())):
            break
        step = best_step(kept[-1].scores, {trick: one.scores for trick, one in tried.items()}, greedy.compare)
        steps.append(step)
        if step.kept is not None:
            path.append(step.kept)
            kept.append(tried[step.kept])
            variants, candidates = greedy.built(path)
        complete = step.kept is None or not candidates
    chosen = replace(recipe, variants=variants, needed=(), family=variants)
    needed = tuple(run for one in trials for run in one.runs)
    return ForwardSelection(chosen, complete, needed, tuple(trials), greedy, tuple(kept), tuple(steps))
