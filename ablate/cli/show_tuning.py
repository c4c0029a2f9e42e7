"""What ``plan`` and ``run`` print about tuning: what is tried, and what was chosen."""

from __future__ import annotations

from ablate.cli.console import number
from ablate.execution.run_options import RunOptions
from ablate.planning.plan import Plan

MOST_NAMES = 6
"""Variants that are listed before they are only counted."""


def tuning_text(plan: Plan, options: RunOptions | None = None) -> str:
    """How many runs tune, and how many are judged then: ``18 runs to tune (…), then 30.`` Empty if none is missing."""
    search, tuning = plan.search, plan.recipe.tuning
    if search is None or tuning is None:
        return ""
    fresh, retry = (options.fresh, options.retry_failed) if options else (False, False)
    missing = list(search.needed) if fresh else search.missing(retry_failed=retry)
    if not missing:
        return ""
    paths, sizes = ", ".join(search.grid), {len(tuning.points(name, search.grid)) for name in tuning.own}
    each = f"{max(sizes)}" if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
    then = len({run.fingerprint for run in plan.runs})
    what = f"{each} candidates for each variant × {number(len(tuning.seeds), 'seed')}"
    wider = "" if search.widened else ", more if the best value lies at an edge"
    return f"Tuning {paths}: {number(len(missing), 'run')} to tune ({what}{wider}), then {then:,}."


def round_text(plan: Plan, rounds: int) -> str:
    """What a wider grid adds; empty for the first round of a command."""
    if rounds == 1 or plan.search is None:
        return ""
    return f"A best value lies at an edge. Trying more values for all variants: {number(len(plan.runs), 'more run')}."


def tuned_text(plan: Plan) -> str:
    """The chosen settings of each variant; empty if the recipe tunes nothing."""
    from ablate.report.notes import cut, values_text

    if plan.search is None:
        return ""
    if plan.waiting:
        return "Tuning is not finished, so the other runs wait. To see what failed, run ablate status."
    tuned = plan.search.tuned
    chosen = [f"{name} ({values_text(one.values)})" for name, one in tuned.items() if one.values and one.tried]
    return f"Chosen by tuning: {cut(chosen, MOST_NAMES)}." if chosen else ""
