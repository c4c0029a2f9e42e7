"""``ablate logs``: what the jobs of a variant have printed."""

from __future__ import annotations

from typing import Annotated

from ablate.cli.console import number, output, say
from ablate.cli.options import RecipePath, Selection, Without, argument, option


def logs(
    recipe: RecipePath,
    variant: Annotated[str, argument("VARIANT", "The variant's name.")],
    selection: Annotated[Selection, Without("only")],
    seed: Annotated[int | None, option("SEED", "Print the log of this seed only.")] = None,
) -> int:
    """Print a variant's logs: start times, output of user code and tracebacks.

    Example: ablate logs digits.yaml net2 --seed 0
    """
    from ablate.execution.predictions import runs_of
    from ablate.printable import visible
    from ablate.report.wording import WORDS

    plan = selection.plan(recipe, need_files=False)
    if seed is not None and seed not in plan.recipe.seeds:
        raise ValueError(f"--seed (={seed}) must be one of {', '.join(map(str, plan.recipe.seeds))}.")
    chosen = runs_of(plan, variant, seed)
    shown = set()
    for run in chosen:
        # the seeds of a stack print into one log, that of its first
        if run.leader in shown:
            continue
        shown.add(run.leader)
        text = selection.store.log(run.leader)
        if text is None:
            say(f"{variant}, seed {run.seed}: no log yet ({WORDS.get(run.record.status, run.record.status)})")
            continue
        if len(chosen) > 1:
            together = run.record.stack or (run.seed,)
            named = number(len(together), "seed").partition(" ")[2]
            output().file.write(f"==> {variant}, {named} {', '.join(map(str, together))}\n")
        output().file.write(visible(text) if output().is_terminal else text)
    return 0
