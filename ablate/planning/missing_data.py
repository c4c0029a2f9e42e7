"""The contents of data files that are missing, as runs in the store have recorded them."""

from __future__ import annotations

from pathlib import Path

from ablate.recipe import Recipe
from ablate.recipe.fingerprint import recorded_contents
from ablate.store.store import Store

UNKNOWN = ""
"""The hash of a missing file that no run has recorded."""


def last_contents(recipe: Recipe, store: Store) -> dict[Path, str]:
    """For each missing file of a recipe, the hash of its contents when a variant was last trained on it."""
    if not recipe.gone:
        return {}
    found = dict.fromkeys(recipe.gone, (0.0, UNKNOWN))
    settings = {variant.name: variant.settings for variant in recipe.family or recipe.variants}
    for row in store.study(recipe.study)["rows"]:
        for name in row["runs"].values() if row["variant"] in settings else ():
            began = store.record(name).started or 0.0
            for path, contents in recorded_contents(settings[row["variant"]], store.identity(name)):
                if path in found and began >= found[path][0]:
                    found[path] = began, contents
    return {path: contents for path, (_, contents) in found.items()}
