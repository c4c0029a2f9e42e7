"""What ``plan`` and ``run`` print before anything is trained: a plan, the runs of each design, what has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ablate.cli.console import grid_of, number, output, print_json, say
from ablate.cli.options import Selection
from ablate.evidence.stages import Stage, planned_now
from ablate.execution.run_options import RunOptions
from ablate.planning.forward_selection import ForwardSelection
from ablate.planning.plan import Plan, make_plan
from ablate.planning.plan_summary import Outlook, RowOutlook
from ablate.recipe import RecipeError
from ablate.store.store import Store

MOST_NAMES = 6
"""Variants that are listed before they are only counted."""

MOST_FILES = 12
"""Files of code that are listed before they are only counted."""


def show_plan(view: Outlook, *, as_json: bool) -> None:
    """Print a plan on stdout."""
    if as_json:
        print_json(asdict(view))
        return
    from rich.table import Table

    networks = any(row.parameters is not None or row.error for row in view.rows)
    grid = Table(title=f"Plan of {view.study}", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for title in ("Name", "From", "Changes"):
        grid.add_column(title, overflow="fold")
    for title in ("Epochs", *(("Parameters", "Receptive field") if networks else ()), "Runs"):
        grid.add_column(title, justify="right", no_wrap=title != "Runs")
    for row in view.rows:
        changes = "\n".join(row.changes) or "–"
        field = "×".join(str(side) for side in row.receptive_field or ()) or "–"
        sizes = (cell(row.parameters), field) if networks else ()
        epochs = f"{row.steps:,} steps" if row.steps else f"{row.epochs:,}" if row.epochs else "–"
        grid.add_row(row.variant, row.parent or "", changes, epochs, *sizes, states(row))
    output().print(grid)
    output().print(totals(view))
    if view.code is not None:
        output().print(f"Code in the fingerprint: {code_text(view.code)}.", soft_wrap=True)


def code_text(files: Sequence[str]) -> str:
    """The names of the first files of the user's code."""
    from ablate.report.notes import cut

    return cut(files, MOST_FILES) if files else "none. To name it, use trainer.code"


def cell(number: int | None) -> str:
    """A count with thousands separators, a dash if it is unknown."""
    return "–" if number is None else f"{number:,}"


def states(row: RowOutlook) -> str:
    """The number of runs in each state: ``3 finished, 2 to train``."""
    from ablate.report.wording import WORDS

    words = {**WORDS, "queued": "to train", "interrupted": "to resume", "read_again": "to read again"}
    parts = [f"{count} {words.get(status, status)}" for status, count in row.runs.items()]
    return ", ".join(parts) + (f" ({row.shared} shared with other variants)" if row.shared else "")


def totals(view: Outlook) -> str:
    """One line: runs to train, and time and disk if they can be estimated."""
    parts = [f"{number(view.to_train, 'run')} to train"]
    if again := sum(row.runs.get("read_again", 0) for row in view.rows):
        parts.append(f"{number(again, 'run')} to read again")
    if view.to_train and view.seconds is not None:
        parts.append(f"estimated training time: {duration(view.seconds)}, based on similar runs")
    if view.to_train and view.bytes is not None:
        parts.append(f"at most {max(view.bytes / 1e6, 0.1):,.1f} MB on disk")
    return "; ".join(parts) + "."


def duration(seconds: float) -> str:
    """Seconds in the unit that reads best."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True)
class DesignOutlook:
    """A design: the number of its variants, of its distinct runs, and of those to be trained; or the first problem with
    it. ``at_most``: the numbers depend on results that are missing.
    """

    design: str
    rows: int | None = None
    runs: int | None = None
    to_train: int | None = None
    problem: str | None = None
    at_most: bool = False


def design_outlooks(path: Path, selection: Selection, store: Store) -> list[DesignOutlook]:
    """One for each design, and one for all that are possible, except a greedy selection that is not complete; runs that
    they share count once. Raises RecipeError if no design is to blame.
    """
    from ablate.recipe.designs import DESIGNS

    selection.read(path)
    found = []
    runs: set[str] = set()
    missing: set[str] = set()
    rows = 0
    for design in DESIGNS:
        try:
            recipe = replace(selection, design=design).read(path)
        except RecipeError as error:
            found.append(DesignOutlook(design, problem=str(error.problems[0])))
            continue
        plan = planned_now(make_plan(recipe, store), store)
        if plan.waiting and isinstance(plan.search, ForwardSelection):
            found.append(greedy_outlook(plan, plan.search))
            continue
        own, to_do = {run.fingerprint for run in plan.runs}, {run.fingerprint for run in plan.to_do()}
        found.append(DesignOutlook(design, len(recipe.variants), len(own), len(to_do)))
        runs, missing, rows = runs | own, missing | to_do, rows + len(recipe.variants)
    return [*found, DesignOutlook("together", rows, len(runs), len(missing))]


def greedy_outlook(plan: Plan, search: ForwardSelection) -> DesignOutlook:
    """The most runs that a greedy selection can need, if it keeps every trick, with those that are judged."""
    folds = plan.recipe.folds.k if plan.recipe.folds else 1
    variants = 1 + len(search.greedy.tricks)
    runs = folds * (search.greedy.most_candidates * len(search.greedy.seeds) + variants * len(plan.recipe.seeds))
    done = len(search.needed) - len(search.missing())
    return DesignOutlook("greedy", variants, runs, runs - done, at_most=True)


def show_designs(outlooks: list[DesignOutlook], *, as_json: bool) -> None:
    """Print them on stdout."""

    if as_json:
        print_json([asdict(one) for one in outlooks])
        return

    grid = grid_of("Design", "Variants >", "Runs >", "To train >")
    for one in outlooks:
        if one.problem is None:
            name = "total (shared runs counted once)" if one.design == "together" else one.design
            name += " (at most, not in the total)" if one.at_most else ""
            grid.add_row(name, f"{one.rows:,}", f"{one.runs:,}", f"{one.to_train:,}")
    output().print(grid)
    for one in outlooks:
        if one.problem is not None:
            output().print(f"Design {one.design} cannot be used: {one.problem}", soft_wrap=True)


def announce(stage: Stage, store: Store, options: RunOptions) -> list[tuple[str, int, int]]:
    """Print what is going to be trained. Returns variant, number of runs and epochs for the progress display."""
    plan = stage.plan
    study, missing = plan.recipe, plan.to_do(retry_failed=options.retry_failed, fresh=options.fresh)
    distinct = len({planned.fingerprint for planned in (*plan.runs, *missing)})
    seeds = f"{study.looks.at[0]} to {study.looks.at[-1]} seeds" if study.looks else number(len(study.seeds), "seed")
    size = [number(len(study.variants), "variant"), seeds]
    if study.folds is not None:
        size.append(f"{study.folds.k} folds")
    done = f"{number(distinct, 'run')}: {distinct - len(missing)} finished, {len(missing)} to train"
    say(f"{study.study}: {' × '.join(size)}; {done}")
    warn_of(plan, store, fresh=options.fresh)
    rows = rows_to_train(plan, retry_failed=options.retry_failed, fresh=options.fresh)
    if also := [variant.name for variant in study.needed if any(name == variant.name for name, *_ in rows)]:
        say(f"Also training {', '.join(also)}, which other variants are based on.")
    return rows


def rows_to_train(plan: Plan, *, retry_failed: bool = False, fresh: bool = False) -> list[tuple[str, int, int]]:
    """Variant, number of runs and epochs of what is going to be trained."""
    counts = Counter(run.variant.name for run in plan.to_do(retry_failed=retry_failed, fresh=fresh))
    rows = (*plan.recipe.needed, *plan.recipe.variants)
    return [(v.name, counts[v.name], v.settings.planned_epochs) for v in rows if counts[v.name]]


def look_text(stage: Stage) -> str:
    """``Look 1 of 4 (5 seeds): 2 of 6 decided. More seeds for net3, net5.``"""
    from ablate.report.notes import cut

    assert stage.looks is not None
    seeds = stage.looks.at[stage.look - 1]
    text = f"Look {stage.look} of {len(stage.looks.at)} ({seeds} seeds): "
    words = Counter(one.word for one in stage.standings.values() if one.word is not None)
    text += ", ".join(f"{count} {word}" for word, count in words.items()) or "no verdicts yet"
    waiting = [name for name, one in stage.standings.items() if not one.settled]
    return text + (f". More seeds for {cut(waiting, MOST_NAMES)}." if waiting else ".")


def warn_of(plan: Plan, store: Store, *, fresh: bool = False) -> None:
    """Print what has changed since the runs were trained, and what is likely a mistake."""
    from ablate.planning.changed import changed, untracked
    from ablate.recipe.recipe import advice_of
    from ablate.report.notes import lines_by_variant

    for sentence in lines_by_variant((*changed(plan, store), *(() if fresh else untracked(plan, store)))):
        say(sentence)
    for sentence in advice_of(plan.recipe):
        say(f"warning: {sentence}")


def looks_text(stage: Stage) -> str:
    """When verdicts are computed, how far the study is, and how many runs it may take in all."""
    looks, recipe = stage.looks, stage.plan.recipe
    assert looks is not None
    folds = recipe.folds.k if recipe.folds else 1
    least = len({run.fingerprint for run in stage.plan.runs})
    still = sum(not one.settled for one in stage.standings.values())
    text = f"Looks at {looks}: variants without a verdict get more seeds. "
    if stage.look:
        text += look_text(stage) + " "
    if not still:
        return text + f"{number(least, 'run')} in all."
    most = len(recipe.variants) * looks.at[-1] * folds
    return text + f"{least:,} to {most:,} runs in all."
