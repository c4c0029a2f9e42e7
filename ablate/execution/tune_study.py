"""Trains the candidates of a study that tunes settings or selects tricks, before any run that is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ablate.execution.events import Listener
from ablate.execution.run_options import RunOptions
from ablate.execution.run_study import run_stage
from ablate.planning.forward_selection import ForwardSelection
from ablate.planning.plan import Plan, make_plan
from ablate.planning.planned_run import PlannedRun
from ablate.store.records import ENDED_BADLY
from ablate.store.store import Store


def tune_study(
    plan: Plan,
    store: Store,
    options: RunOptions,
    *,
    begun: Callable[[Plan], None] = lambda plan: None,
    listen: Listener | None = None,
    own: Sequence[Path] = (),
) -> Plan:
    """Train the candidates that have not finished, and return the plan with the chosen settings or variants.

    Candidates are trained in rounds: those of the recipe, then those of each wider grid; or those of each step of a
    greedy selection. ``begun`` receives the plan of each round, whose variants are the candidates. A plan that still
    waits is returned as it is if candidates could not be trained. The plan of a recipe that chooses nothing is returned
    unchanged. Raises what `run_study` raises.
    """
    tried: set[str] = set()
    while (search := plan.search) is not None:
        runs = search.needed if options.fresh else search.missing(retry_failed=options.retry_failed)
        left = {run.fingerprint: run for run in runs if run.fingerprint not in tried}
        if not left:
            break
        tried |= left.keys()
        now = round_of(plan, tuple(left.values()))
        begun(now)
        run_stage(now, store, options, listen=listen, own=own)
        plan = make_plan(plan.recipe, store)
        failed = any(store.record(name).status in ENDED_BADLY for name in left)
        if failed and options.fail_fast:
            break
    return plan


def step_of(plan: Plan) -> Plan | None:
    """The plan of the present step of a greedy selection; None if there is none, or it is complete."""
    if not isinstance(plan.search, ForwardSelection) or plan.search.complete:
        return None
    return round_of(plan, plan.search.now)


def round_of(plan: Plan, runs: tuple[PlannedRun, ...]) -> Plan:
    """The plan of some candidates alone."""
    variants = tuple({run.variant.name: run.variant for run in runs}.values())
    recipe = replace(plan.recipe, variants=variants, needed=(), family=(), looks=None)
    search = None if plan.search is None else replace(plan.search, complete=False)
    return replace(plan, recipe=recipe, runs=runs, needed=(), others=(), search=search)
