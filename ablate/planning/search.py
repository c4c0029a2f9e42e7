"""The search for the settings that a recipe tunes, derived from the runs of its candidates in the store.

Every variant is tried with the same candidates on the same reserved seeds, and takes the best one's settings. Nothing
is stored besides the runs: the same runs always choose the same settings.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.planning.planned_run import PlannedRun, planned_runs
from ablate.planning.sampling import BATCH, Told, asked
from ablate.recipe import Recipe, Variant, identity
from ablate.recipe.node import Problems
from ablate.recipe.search_space import Grid, Values
from ablate.recipe.tuning import Tuning
from ablate.recipe.variant import Compare
from ablate.store.checked import TrialRow
from ablate.store.records import ENDED_BADLY, Tuned
from ablate.store.store import Store

WIDENINGS = 2
"""How often a grid is widened."""


@dataclass(frozen=True)
class Trial:
    """A candidate of a variant: its ``point`` in the grid, its ``values``, and its runs on the reserved seeds.

    ``scores`` has a value of the compared metric per seed (or per fold of one seed), empty unless all runs finished.
    """

    variant: str
    point: Values
    values: Values
    runs: tuple[PlannedRun, ...]
    scores: tuple[float, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether all of its runs have ended, well or not."""
        return all(run.record.status == "finished" or run.record.status in ENDED_BADLY for run in self.runs)

    @property
    def begun(self) -> bool:
        """Whether all of its runs have begun."""
        return all(run.record.status != "queued" for run in self.runs)

    @property
    def mean(self) -> float:
        """The mean score."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def error(self) -> float:
        """The standard error of the mean score; 0 with one score."""
        n = len(self.scores)
        squares = math.fsum((score - self.mean) ** 2 for score in self.scores)
        return math.sqrt(squares / (n - 1) / n) if n > 1 else 0.0


@dataclass(frozen=True)
class Search(ABC):
    """How far the choice of variants or settings on reserved seeds has come.

    ``recipe`` has what was chosen once it is ``complete``. ``needed`` are the runs of candidates that are needed for it
    so far, ``trials`` all candidates.
    """

    recipe: Recipe
    complete: bool
    needed: tuple[PlannedRun, ...]
    trials: tuple[Trial, ...]

    @abstractmethod
    def is_chosen(self, trial: Trial) -> bool:
        """Whether the candidate was chosen."""

    def missing(self, *, retry_failed: bool = False) -> list[PlannedRun]:
        """The runs of candidates to train now, each once."""
        done = ("finished",) if retry_failed else ("finished", *ENDED_BADLY)
        return list({run.fingerprint: run for run in self.needed if run.record.status not in done}.values())


@dataclass(frozen=True)
class TuningSearch(Search):
    """How far the search for settings has come: for all selected variants.

    ``tuned`` says for each variant of the recipe what was tried and chosen, ``widened`` how often the grid was widened.
    """

    tuned: Mapping[str, Tuned]
    grid: Grid
    widened: int = 0

    def is_chosen(self, trial: Trial) -> bool:
        return self.tuned[trial.variant].values == trial.values


Known = dict[tuple[str, tuple[tuple[str, float], ...]], Trial]
"""Candidates by variant and values."""

Reader = Callable[[Variant, Sequence[int]], list[PlannedRun]]
"""The runs of a variant on some seeds, with their records."""


def search_of(
    recipe: Recipe, store: Store, gone: Mapping[Path, str] | None = None, listed: Sequence[TrialRow] = ()
) -> TuningSearch:
    """The state of the search in the store. Reads the code and data of the user for fingerprints, as a plan does;
    ``gone`` has the `content_hash` of files that no longer exist. ``listed`` are the candidates in the study's file.
    """
    tuning = recipe.tuning
    assert tuning is not None
    chosen_names = {variant.name for variant in (*recipe.variants, *recipe.needed)}
    known: Known = {}

    def reading(variant: Variant, seeds: Sequence[int]) -> list[PlannedRun]:
        shared = identity(variant.settings, folder=recipe.folder, folds=recipe.folds, gone=gone)
        return planned_runs(variant, seeds, shared, recipe, store)

    grid, widened = tuning.grid, 0
    while True:
        trials = _sampled(tuning, listed, reading) if tuning.trials else _trials(tuning, grid, known, reading)
        asked = [trial for name in tuning.own if name in chosen_names for trial in trials[name]]
        ended = {name: each for name, each in trials.items() if all(trial.ended for trial in each)}
        best = {name: found for name, each in ended.items() if (found := _best(each, tuning)) is not None}
        complete = all(trial.ended for trial in asked)
        wider = _wider(tuning, grid, best) if complete and widened < WIDENINGS and not tuning.trials else grid
        if wider == grid:
            break
        grid, widened = wider, widened + 1
    values = tuning.settled({name: trial.values for name, trial in best.items()}, recipe.family)
    tuned = {
        variant.name: _tuned(variant.name, trials.get(variant.name, ()), best.get(variant.name), values, tuning, grid)
        for variant in recipe.family
        if not variant.settings.joined
    }
    if complete:
        built = tuning.built(values, Problems())
        variants, needed, family = (
            tuple(built[one.name] for one in each) for each in (recipe.variants, recipe.needed, recipe.family)
        )
        recipe = replace(recipe, variants=variants, needed=needed, family=family)
    runs = tuple(run for trial in asked for run in trial.runs)
    return TuningSearch(
        recipe, complete, runs, tuple(t for each in trials.values() for t in each), tuned, grid, widened
    )


def _trials(tuning: Tuning, grid: Grid, known: Known, read: Reader) -> dict[str, list[Trial]]:
    """The candidates of each variant; those in ``known`` are not read again."""
    found: dict[str, list[Trial]] = {name: [] for name in tuning.own}
    for layer in tuning.layers(grid):
        built: Mapping[str, Variant] = {}
        for name, (point, values) in layer.items():
            key = (name, tuple(values.items()))
            if key not in known:
                built = built or tuning.built({other: each for other, (_, each) in layer.items()}, Problems())
                known[key] = _trial(built[name], point, values, tuning, read)
            found[name].append(replace(known[key], point=point))
    return found


def _sampled(tuning: Tuning, listed: Sequence[TrialRow], read: Reader) -> dict[str, list[Trial]]:
    """The candidates of each variant that a sampler takes, a batch at a time, up to one that has not ended.

    A batch that is ``listed`` and whose runs have begun is not asked for again: another version of Optuna could choose
    another one. Raises ValueError if Optuna is not installed, `RecipeError` if a candidate is invalid.
    """
    found: dict[str, list[Trial]] = {name: [] for name in tuning.own}
    before = {name: _listed(tuning, name, listed) for name in tuning.own}
    going = list(tuning.own)
    while going:
        known = {name: before[name][len(found[name]) :][:BATCH] for name in going}
        batches = _built(tuning, {name: batch for name, batch in known.items() if batch}, read)
        begun = {name: each for name, each in batches.items() if all(trial.begun for trial in each)}
        told = {name: [Told(one.values, one.mean if one.scores else None) for one in found[name]] for name in going}
        new = {name: asked(tuning, name, told[name]) for name in going if name not in begun}
        for name, batch in (begun | _built(tuning, new, read)).items():
            found[name] += batch
        going = [
            name
            for name in going
            if all(trial.ended for trial in found[name]) and len(found[name]) < (tuning.trials or 0)
        ]
    return found


def _listed(tuning: Tuning, name: str, listed: Sequence[TrialRow]) -> list[Values]:
    """The candidates of a variant in the study's file, as far as this sampler could have taken them."""
    own, grid = tuning.own[name], tuning.grid
    found: list[Values] = []
    for row in listed:
        if row["variant"] == name and row.get("sampler") == tuning.sampler:
            values = row["values"]
            if values.keys() != own.keys() or not all(grid[path].has(value) for path, value in values.items()):
                break
            found.append({path: grid[path].of(values[path], own[path]) for path in own})
    return found[: tuning.trials]


def _built(tuning: Tuning, batches: Mapping[str, Sequence[Values]], read: Reader) -> dict[str, list[Trial]]:
    """The trials of some candidates of each variant."""
    found: dict[str, list[Trial]] = {name: [] for name in batches}
    for i in range(max(map(len, batches.values()), default=0)):
        layer = {name: batch[i] for name, batch in batches.items() if i < len(batch)}
        problems = Problems()
        built = tuning.built(layer, problems)
        problems.check()
        for name, values in layer.items():
            found[name].append(_trial(built[name], values, values, tuning, read))
    return found


def _trial(variant: Variant, point: Values, values: Values, tuning: Tuning, read: Reader) -> Trial:
    """A candidate with its runs. They bear its name, because a variant has one run for each seed."""
    words = [f"{path.rpartition('.')[2]}={value:g}" for path, value in values.items()]
    runs = tuple(read(replace(variant, name=f"{variant.name} ({', '.join(words)})"), tuning.seeds))
    return Trial(variant.name, point, values, runs, scores_of(runs, tuning.compare))


def scores_of(runs: Sequence[PlannedRun], compare: Compare) -> tuple[float, ...]:
    """The compared metric by seed (by fold of a single seed); empty unless all runs finished with a finite value."""
    metric, at = compare.metric, compare.at
    if not isinstance(at, str):  # candidates are compared at the last of the epochs that are averaged
        at = "last"
    values: dict[int, list[float]] = {}
    for run in runs:
        value = run.record.results.get(at, {}).get(metric)
        if run.record.status != "finished" or value is None or not math.isfinite(value):
            return ()
        values.setdefault(run.seed, []).append(value)
    if len(values) == 1:
        return tuple(*values.values())
    return tuple(math.fsum(each) / len(each) for each in values.values())


def _best(trials: Sequence[Trial], tuning: Tuning) -> Trial | None:
    """The candidate with the best mean; None if no candidate finished. Of equal ones, the first."""
    sign = 1 if tuning.compare.better == "lower" else -1
    return min((trial for trial in trials if trial.scores), key=lambda trial: sign * trial.mean, default=None)


def _wider(tuning: Tuning, grid: Grid, best: Mapping[str, Trial]) -> Grid:
    """The grid with one more number at each edge where the best of any variant lies. A number that is invalid for a
    variant is left out, because all are tried with the same.
    """
    wider = dict(grid)
    for path in grid:
        at = {trial.point[path] for trial in best.values() if path in trial.point}
        for side, edge in (("low", grid[path].numbers[0]), ("high", grid[path].numbers[-1])):
            if edge not in at or (number := grid[path].beyond("low" if side == "low" else "high")) is None:
                continue
            problems = Problems()
            tuning.built(
                {name: {path: grid[path].of(number, own[path])} for name, own in tuning.own.items() if path in own},
                problems,
            )
            if not len(problems):
                wider[path] = wider[path].with_number(number)
    return wider


def _tuned(
    name: str, trials: Sequence[Trial], best: Trial | None, values: Mapping[str, Values], tuning: Tuning, grid: Grid
) -> Tuned:
    tied = [one.values for one in trials if best and one.scores and abs(one.mean - best.mean) <= best.error]
    ends = {path: (each.numbers[0], each.numbers[-1]) for path, each in grid.items()}
    edges = [path for path, number in (best.point.items() if best else ()) if number in ends[path]]
    return Tuned(
        values.get(name) if best or name in tuning.off else None,
        len(trials),
        len(tuning.seeds) if trials else 0,
        tuple(one for one in tied if best and one != best.values),
        tuple(edges),
        name in tuning.off,
        tuple(run.record for trial in trials for run in trial.runs),
    )
