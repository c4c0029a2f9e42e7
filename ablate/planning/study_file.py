"""``study.json``: the variants of a study and the run of each seed and fold.

A variant is identified by its name and the flags that change settings (``--set``, ``--scale``, ``--design``), so that
runs with such flags do not replace those of the recipe as written. ``--seeds`` and ``--only`` remove no runs.
"""

from __future__ import annotations

from ablate.planning.plan import Plan, run_key, settings_flags
from ablate.recipe import Recipe
from ablate.store.checked import StudyFile, StudyRow
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
    return {name: row["identity"] for row in study["rows"] for name in row["runs"].values()}


def kept_rows(recipe: Recipe, study: StudyFile) -> list[StudyRow]:
    """The entries of a study's file whose variants are still in the recipe as written."""
    names = {variant.name for variant in recipe.variants}
    return [row for row in study["rows"] if row["variant"] in names and not row.get("flags")]


def keep_rows_of(recipe: Recipe, store: Store) -> None:
    """Remove the variants that the recipe no longer has, and those of runs with other flags."""
    with store.change_study(recipe.study):
        study = store.study(recipe.study)
        kept = kept_rows(recipe, study)
        if kept != study["rows"]:
            store.write_study(recipe.study, {**study, "rows": kept})


def _merged(plan: Plan, store: Store) -> StudyFile:
    recipe = plan.recipe
    flags = settings_flags(recipe.selection)
    rows = {(row["variant"], tuple(row.get("flags", ()))): row for row in store.study(recipe.study)["rows"]}
    for variant in (*recipe.variants, *recipe.needed):
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
    return {"study": recipe.study, "recipe": path, "selection": list(recipe.selection), "rows": list(rows.values())}
