"""The quick checks of variants that a command is about to train for the first time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ablate.execution.executors.local import LocalExecutor
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.planning.preflight import Examined, Preflight, distinct, gathered, question

Inspect = Callable[[Preflight], None]
"""Receives what the quick checks found, before training. May raise `ChecksFailed`."""

PATIENCE = 5.0
"""Seconds that the checks may take, and one more for each variant; then training begins without the rest."""


class ChecksFailed(Exception):
    """The quick checks found errors, so nothing was trained. One line."""


def check_new(plan: Plan, missing: Sequence[PlannedRun], executor: LocalExecutor) -> Preflight | None:
    """What the quick checks find in the variants of ``missing`` that have no finished run; None if there are none."""
    trained = {run.variant.name for run in (*plan.runs, *plan.needed) if run.record.status == "finished"}
    variants = list({run.variant.name: run.variant for run in missing if run.variant.name not in trained}.values())
    if not variants:
        return None
    keys, settings = distinct(variants)
    loaded: dict[str, object] = {}
    questions = [question(one, plan.recipe, loaded, quick=True) for one in settings]
    answers = executor.ask(questions, PATIENCE + len(questions))
    return gathered(plan.recipe, variants, [answers.get(key, Examined()) for key in keys], quick=True)
