"""What files held that are no longer there, as the runs that were trained on them have recorded it."""

from __future__ import annotations

from pathlib import Path

from ablate.recipe import Recipe
from ablate.recipe.fingerprint import recorded_contents
from ablate.store.store import Store

NOTHING = ""
"""What a file held that no run knows: no run is of such data."""


def last_contents(recipe: Recipe, store: Store) -> dict[Path, str]:
    """For each file that a recipe names and that is gone, the hash of its contents when a row of that name was last trained on it."""
    if not recipe.gone:
        return {}
    found = dict.fromkeys(recipe.gone, (0.0, NOTHING))
    settings = {variant.name: variant.settings for variant in (*recipe.variants, *recipe.needed)}
    for row in store.study(recipe.study).get("rows", ()):
        for name in row["runs"].values() if row["variant"] in settings else ():
            began = store.record(name).started or 0.0
            for path, contents in recorded_contents(settings[row["variant"]], store.identity(name)):
                if path in found and began >= found[path][0]:
                    found[path] = began, contents
    return {path: contents for path, (_, contents) in found.items()}
