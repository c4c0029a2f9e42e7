"""``study.json``: the variants of a study and the run of each seed and fold.

A variant is identified by its name and the flags that change settings (``--set``, ``--scale``, ``--design``), so that
runs with such flags do not replace those of the recipe as written. ``--seeds`` and ``--only`` remove no runs.
"""

from __future__ import annotations

from ablate.planning.plan import Plan, settings_flags
from ablate.planning.planned_run import run_key
from ablate.recipe import Recipe
from ablate.store.checked import StudyFile, StudyRow, TrialRow
from ablate.store.store import Store


def write_study(plan: Plan, store: Store) -> None:
    """Record the variants of a study with their runs, and the recipe's text. Writes only changes."""
    recipe = plan.recipe
    text = store.study_folder(recipe.study) / "recipe.yaml"
    if store.study(recipe.study) != _merged(plan, store):
        with store.change_study(recipe.study):
            store.write_study(recipe.study, _merged(plan, store))
    if store.disk.read(text) != recipe.text.encode():
        store.write_text(text, recipe.text)


def named_runs(study: StudyFile) -> dict[str, str | None]:
    """The fingerprints in a study's file, each with the identity of its variant's settings."""
    rows = (*study.get("trials", ()), *study["rows"])
    return {name: row["identity"] for row in rows for name in row["runs"].values()}


def kept_rows(recipe: Recipe, study: StudyFile) -> list[StudyRow]:
    """The entries of a study's file whose variants are still in the recipe as written."""
    names = _names(recipe)
    return [row for row in study["rows"] if row["variant"] in names and not row.get("flags")]


def kept_trials(recipe: Recipe, study: StudyFile) -> list[TrialRow]:
    """The candidates in a study's file whose variants are still in the recipe as written, and are tuned or selected."""
    names = _names(recipe) if recipe.tuning is not None or recipe.greedy is not None else set()
    return [row for row in study.get("trials", ()) if row["variant"] in names and not row.get("flags")]


def _names(recipe: Recipe) -> set[str]:
    """The names of the recipe's variants, whatever a greedy selection chooses."""
    return recipe.greedy.names if recipe.greedy is not None else {variant.name for variant in recipe.variants}


def kept_entries(recipe: Recipe, study: StudyFile) -> StudyFile:
    """A study's file with these variants and candidates alone."""
    kept: StudyFile = {**study, "rows": kept_rows(recipe, study)}
    if "trials" in study:
        kept["trials"] = kept_trials(recipe, study)
    return kept


def keep_rows_of(recipe: Recipe, store: Store) -> None:
    """Remove the variants that the recipe no longer has, and those of runs with other flags."""
    with store.change_study(recipe.study):
        study = store.study(recipe.study)
        kept = kept_entries(recipe, study)
        if kept != study:
            store.write_study(recipe.study, kept)


def _merged(plan: Plan, store: Store) -> StudyFile:
    recipe = plan.recipe
    flags = settings_flags(recipe.selection)
    rows = {(row["variant"], tuple(row.get("flags", ()))): row for row in store.study(recipe.study)["rows"]}
    for variant in () if plan.waiting else (*recipe.variants, *recipe.needed):
        key = (variant.name, tuple(flags))
        runs = plan.runs_of(variant.name)
        now = {run_key(run.seed, run.record.fold): run.fingerprint for run in runs}
        earlier = rows.get(key)
        kept = earlier["runs"] if earlier else {}
        same = bool(runs) and earlier is not None and earlier["identity"] == runs[0].identity
        before = dict(earlier.get("before", {})) if earlier else {}
        if not same:
            before |= {seed: name for seed, name in kept.items() if store.record(name).status == "finished"}
        rows[key] = {
            "variant": variant.name,
            "from": variant.parent,
            "description": variant.description,
            "changes": [str(change) for change in variant.changes],
            "flags": flags,
            "identity": runs[0].identity if runs else None,
            "runs": {**(kept if same else {}), **now},
            # the runs before settings, data or code changed, to recognize that the variant is outdated
            "before": before,
        }
    path = str(recipe.path) if recipe.path else None
    merged: StudyFile = {
        "study": recipe.study,
        "recipe": path,
        "selection": list(recipe.selection),
        "rows": list(rows.values()),
    }
    trials = _trials(plan, flags, store.study(recipe.study).get("trials", []))
    return {**merged, "trials": trials} if trials else merged


def _trials(plan: Plan, flags: list[str], earlier: list[TrialRow]) -> list[TrialRow]:
    """What was tried for each variant, and which candidate was chosen; of other flags as before."""
    if plan.search is None:
        return [row for row in earlier if row.get("flags", []) != flags]
    found: list[TrialRow] = [
        {
            "variant": trial.variant,
            "flags": flags,
            "identity": trial.runs[0].identity,
            "values": dict(trial.values),
            "chosen": plan.search.is_chosen(trial),
            "runs": {run_key(run.seed, run.record.fold): run.fingerprint for run in trial.runs},
        }
        for trial in plan.search.trials
        if any(run.record.status != "queued" or not plan.search.complete for run in trial.runs)
    ]
    if (tuning := plan.recipe.tuning) is not None and tuning.trials:
        for row in found:
            row["sampler"] = tuning.sampler
    return [*(row for row in earlier if row.get("flags", []) != flags), *found]
