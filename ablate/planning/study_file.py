"""``study.json``: which rows a study has, and which run each of them is with each seed and fold.

A row is known by its name and by the flags that changed settings (``--set``, ``--scale``, ``--design``), so that a trial under other settings does not
forget the runs of the recipe as written; ``--seeds`` and ``--only`` choose among a row's runs and forget none of them.
"""

from __future__ import annotations

from typing import Any

from ablate.planning.plan import Plan, run_key, settings_flags
from ablate.recipe import Recipe
from ablate.store.store import Store


def write_study(plan: Plan, store: Store) -> None:
    """Record which rows a study has and which run each of them is, and the recipe as it was read. Writes nothing where nothing is new."""
    recipe = plan.recipe
    text = store.study_folder(recipe.study) / "recipe.yaml"
    if store.study(recipe.study) != _merged(plan, store):
        with store.change_study(recipe.study):
            store.write_study(recipe.study, _merged(plan, store))
    if not text.exists() or text.read_text(encoding="utf-8") != recipe.text:
        store.write_text(text, recipe.text)


def named_runs(study: dict[str, Any]) -> dict[str, str]:
    """The fingerprints that a study's file names, each with the identity that it shares with the other seeds of its row."""
    return {name: row["identity"] for row in study.get("rows", ()) for name in row["runs"].values()}


def kept_rows(recipe: Recipe, study: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a study's file that the recipe as written still has."""
    names = {variant.name for variant in recipe.variants}
    return [row for row in study.get("rows", ()) if row["variant"] in names and not row.get("flags")]


def keep_rows_of(recipe: Recipe, store: Store) -> None:
    """Forget the rows that the recipe as written no longer has, and those of trials under other flags."""
    with store.change_study(recipe.study):
        study = store.study(recipe.study)
        kept = kept_rows(recipe, study)
        if kept != study.get("rows", []):
            store.write_study(recipe.study, {**study, "rows": kept})


def _merged(plan: Plan, store: Store) -> dict[str, Any]:
    recipe = plan.recipe
    flags = settings_flags(recipe.selection)
    rows = {(row["variant"], tuple(row.get("flags", ()))): row for row in store.study(recipe.study).get("rows", ())}
    for variant in (*recipe.variants, *recipe.needed):
        key = (variant.name, tuple(flags))
        runs = plan.runs_of(variant.name)
        now = {run_key(run.seed, run.record.fold): run.fingerprint for run in runs}
        earlier = rows.get(key, {})
        same = bool(runs) and earlier.get("identity") == runs[0].identity
        before = dict(earlier.get("before", {}))
        if not same:
            was_trained = {s: n for s, n in earlier.get("runs", {}).items() if store.record(n).status == "finished"}
            before |= was_trained
        rows[key] = {
            "variant": variant.name,
            "from": variant.parent,
            "description": variant.description,
            "changes": [str(change) for change in variant.changes],
            "flags": flags,
            "identity": runs[0].identity if runs else None,
            "runs": {**(earlier.get("runs", {}) if same else {}), **now},
            # what the row was before its settings, data or code changed: to be able to say that it is stale
            "before": before,
        }
    path = str(recipe.path) if recipe.path else None
    return {"study": recipe.study, "recipe": path, "selection": list(recipe.selection), "rows": list(rows.values())}
