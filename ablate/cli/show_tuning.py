"""What ``plan`` and ``run`` print about choices on reserved seeds: what is tried, and what was chosen."""

from __future__ import annotations

from ablate.cli.console import number
from ablate.cli.show_greedy import greedy_text, path_text, steps_text
from ablate.execution.run_options import RunOptions
from ablate.planning.forward_selection import ForwardSelection
from ablate.planning.plan import Plan
from ablate.planning.search import TuningSearch

MOST_NAMES = 6
"""Variants that are listed before they are only counted."""


def tuning_text(plan: Plan, options: RunOptions | None = None) -> str:
    """How many runs tune, and how many are judged then: ``18 runs to tune (…), then 30.`` Empty if none is missing."""
    search, tuning = plan.search, plan.recipe.tuning
    if isinstance(search, ForwardSelection):
        return greedy_text(plan, search, options)
    if not isinstance(search, TuningSearch) or tuning is None:
        return ""
    fresh, retry = (options.fresh, options.retry_failed) if options else (False, False)
    missing = list(search.needed) if fresh else search.missing(retry_failed=retry)
    if not missing:
        return ""
    paths, sizes = ", ".join(search.grid), {tuning.count(name, search.grid) for name in tuning.own}
    each = f"{max(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
    then = len({run.fingerprint for run in plan.runs})
    what = f"{each} candidates for each variant × {number(len(tuning.seeds), 'seed')}"
    if tuning.trials:
        seeds = len(tuning.seeds) * (plan.recipe.folds.k if plan.recipe.folds else 1)
        tuned = {variant.name for variant in (*plan.recipe.variants, *plan.recipe.needed)} & tuning.own.keys()
        still = tuning.trials * len(tuned) * seeds - len(search.needed) + len(missing)
        text = f"Tuning {paths} (Optuna, {tuning.sampler}): {number(still, 'run')} to tune ({what})"
        return f"{text}, {len(missing):,} of them now, then {then:,}."
    wider = "" if search.widened else ", more if the best value lies at an edge"
    return f"Tuning {paths}: {number(len(missing), 'run')} to tune ({what}{wider}), then {then:,}."


def round_text(plan: Plan, rounds: int) -> str:
    """What a wider grid adds, or the gains of the steps before this one (of the last alone, after the first round of a
    command).
    """
    if isinstance(plan.search, ForwardSelection):
        done = len(plan.search.steps)
        return "\n".join(steps_text(plan.search, 0 if rounds == 1 else done - 1))
    if rounds == 1 or plan.search is None:
        return ""
    if plan.recipe.tuning is not None and plan.recipe.tuning.trials:
        return f"Next candidates: {number(len(plan.runs), 'run')}."
    return f"A best value lies at an edge. Trying more values for all variants: {number(len(plan.runs), 'more run')}."


def tuned_text(plan: Plan, rounds: int | None = None) -> str:
    """The chosen settings of each variant, or the path; empty if the recipe chooses nothing.

    ``rounds`` of the command have shown the gains of the steps of a path but the last; None: all are to be shown.
    """
    from ablate.report.notes import cut, values_text

    search = plan.search
    if isinstance(search, ForwardSelection):
        first = 0 if rounds is None else len(search.steps) - (rounds > 0)
        return "\n".join((*steps_text(search, first), path_text(plan, search)))
    if not isinstance(search, TuningSearch):
        return ""
    if plan.waiting:
        return "Tuning is not finished, so the other runs cannot start yet. To see what failed, run ablate status."
    chosen = [f"{name} ({values_text(one.values)})" for name, one in search.tuned.items() if one.values and one.tried]
    return f"Chosen by tuning: {cut(chosen, MOST_NAMES)}." if chosen else ""
