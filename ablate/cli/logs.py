"""``ablate logs``: what the jobs of a row have printed."""

from __future__ import annotations

from typing import Annotated

import typer

from ablate.cli.flags import DEFAULT_RUNS, Design, RecipePath, Runs, Scale, Seeds, Sets, read


def logs(
    recipe: RecipePath,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="The row.", show_default=False)],
    seed: Annotated[int | None, typer.Option(help="Only this seed's.", show_default=False)] = None,
    seeds: Seeds = None,
    design: Design = None,
    sets: Sets = None,
    scale: Scale = 1.0,
    runs: Runs = DEFAULT_RUNS,
) -> int:
    """Print a row's logs: when each attempt began, what user code printed, tracebacks."""
    from ablate.cli.console import output, say
    from ablate.planning.plan import make_plan
    from ablate.store.store import Store

    study = read(recipe, seeds, None, design, sets, scale, need_files=False)
    names = [row.name for row in study.variants]
    if variant not in names:
        raise ValueError(f"variant (={variant}) must be one of {', '.join(names)}.")
    store = Store(runs.absolute())
    planned = make_plan(study, store).runs_of(variant)
    if seed is not None and seed not in study.seeds:
        raise ValueError(f"--seed (={seed}) must be one of {', '.join(map(str, study.seeds))}.")
    chosen = [run for run in planned if seed is None or run.seed == seed]
    shown = set()
    for run in chosen:
        # a stack's seeds print into one log, that of its first
        path = store.run_folder(run.leader) / "log.txt"
        if path in shown:
            continue
        shown.add(path)
        if not path.exists():
            say(f"{variant} seed {run.seed}: nothing yet ({run.record.status})")
            continue
        if len(chosen) > 1:
            together = run.record.stack or (run.seed,)
            say(f"==> {variant} seed{'s' if len(together) > 1 else ''} {', '.join(map(str, together))}")
        output().file.write(path.read_text(encoding="utf-8", errors="replace"))
    return 0
