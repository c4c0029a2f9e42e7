"""What ``plan`` and ``run`` print about the design greedy: what it costs, each step, and the path."""

from __future__ import annotations

from ablate.cli.console import number
from ablate.execution.run_options import RunOptions
from ablate.planning.forward_selection import ForwardSelection
from ablate.planning.plan import Plan


def greedy_text(plan: Plan, search: ForwardSelection, options: RunOptions | None = None) -> str:
    """How many runs the next step and all steps need, and how many are judged then. Empty if none is missing."""
    from ablate.report.selected_path import seeds_text

    fresh, retry = (options.fresh, options.retry_failed) if options else (False, False)
    missing = list(search.needed) if fresh else search.missing(retry_failed=retry)
    if not missing:
        return ""
    greedy, recipe = search.greedy, plan.recipe
    folds = recipe.folds.k if recipe.folds else 1
    tricks, repeats = len(greedy.tricks), len(greedy.seeds) * folds
    seeds = f"{number(len(greedy.seeds), 'seed')}{f' × {folds} folds' if folds > 1 else ''}"
    step = f"{number(len(missing), 'run')} in step {len(search.steps) + (not search.complete)}"
    most = f"at most {greedy.most_candidates * repeats:,} in all {tricks} steps ({greedy.most_candidates} candidates"
    judged = (1 + tricks) * len(recipe.seeds) * folds
    return (
        f"Greedy selection on {seeds_text(greedy.seeds)}: {step}, {most} × {seeds}), then at most {judged:,} runs that "
        f"are judged (the baseline and up to {number(tricks, 'trick')} × {number(len(recipe.seeds), 'other seed')})."
    )


def steps_text(search: ForwardSelection, first: int = 0) -> list[str]:
    """A line for each step from ``first`` on (0: all) with the gains of its tricks."""
    from ablate.report.selected_path import step_text

    metric = search.greedy.compare.metric
    return [step_text(i, step, metric) + "." for i, step in enumerate(search.steps, start=1) if i > first]


def path_text(plan: Plan, search: ForwardSelection) -> str:
    """The chosen path, and why it ended."""
    from ablate.report.selected_path import stop_text

    if plan.waiting:
        return "The greedy selection is not finished, so the other runs cannot start yet. Continue with: ablate run"
    path = " → ".join(variant.name for variant in search.recipe.variants)
    return f"Path: {path}. {stop_text(search.steps, search.greedy.compare.metric)}".rstrip()
