"""What ``plan`` and ``run`` print of a plan on stderr before anything is trained."""

from __future__ import annotations

from collections import Counter

from ablate.cli.console import number, say
from ablate.execution.run_options import RunOptions
from ablate.planning.plan import Plan
from ablate.store.store import Store


def announce(plan: Plan, store: Store, options: RunOptions) -> list[tuple[str, int, int]]:
    """Print what is going to be trained. Returns variant, number of runs and epochs for the progress display."""
    study, missing = plan.recipe, plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh)
    distinct = len({planned.fingerprint for planned in (*plan.runs, *missing)})
    size = [number(len(study.variants), "variant"), number(len(study.seeds), "seed")]
    if study.folds is not None:
        size.append(f"{study.folds.k} folds")
    done = f"{number(distinct, 'run')}: {distinct - len(missing)} finished, {len(missing)} to train"
    say(f"{study.study}: {' × '.join(size)}; {done}")
    warn_of(plan, store, fresh=options.fresh)
    counts = Counter(planned.variant.name for planned in missing)
    if also := [variant.name for variant in study.needed if counts[variant.name]]:
        say(f"Also training {', '.join(also)}, which other variants are based on.")
    rows = (*study.needed, *study.variants)
    return [(v.name, counts[v.name], v.settings.epochs) for v in rows if counts[v.name]]


def warn_of(plan: Plan, store: Store, *, fresh: bool = False) -> None:
    """Print what has changed since the runs were trained, and what is likely a mistake."""
    from ablate.planning.changed import changed
    from ablate.planning.untracked import untracked
    from ablate.recipe.recipe import advice_of
    from ablate.report.notes import lines_by_variant

    for sentence in lines_by_variant((*changed(plan, store), *(() if fresh else untracked(plan, store)))):
        say(sentence)
    for sentence in advice_of(plan.recipe):
        say(f"warning: {sentence}")
