"""Every row of every claim trains, on few samples for an epoch or two, in this process."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.data.load import load_parts
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe import Recipe
from bench.claims.book import read_book

BOOK = read_book()
FEW = {"curve": {"points": 60}, "shapes": {"count": 24}, "imbalanced": {"count": 200}, "multi_task": {"count": 60}}
LIMIT = 60
PARTS: dict[str, object] = {}


def small(settings):
    """The same row on little data for few epochs; a restart goes back over one."""
    if settings.data.target is not None:
        return settings.replace(epochs=1)
    few = FEW.get(settings.data.name, {"limit": LIMIT})
    if settings.data.name == "facial_keypoints" and settings.data.options.missing == "mask":
        few = {"limit": 2400}  # the complete ones come first
    data = replace(settings.data, options=settings.data.options.model_copy(update=few))
    epochs = 4 if any(trick.name == "restart" for trick in settings.tricks) else 1
    return settings.replace(data=data, epochs=epochs, batch_size=max(settings.batch_size, 16))


@pytest.mark.slow
@pytest.mark.parametrize("claim", BOOK, ids=lambda claim: claim.name)
def test_every_row_trains(claim, tmp_path, heard):
    """And measures the numbers that the claim's parts compare."""
    recipe = Recipe.load(claim.recipe, seeds=1)
    # jitter takes two epochs, and some watches batches of a size that little data has not
    asked = {name for part in claim.parts for name in (part.metric, part.over) if name} - {"jitter"}
    files = {variant.name: tmp_path / f"{i}.pt" for i, variant in enumerate(recipe.variants)}
    for variant in recipe.variants:
        if variant.settings.joined:
            continue
        settings, report = small(variant.settings), heard()
        key = str(settings.data.dump())
        if key not in PARTS:
            PARTS[key] = load_parts(settings.data, recipe.folder)
        weights = {(name, 0): file for name, file in files.items()}
        train(Assignment(settings, (0,), recipe.folder, weights=weights), PARTS[key], report)
        [outcome] = report.outcomes.values()
        # another row may start from them
        torch.save(report.kept.get((0, "last"), {}), files[variant.name])
        assert outcome.status in ("finished", "diverged"), variant.name
        if outcome.status == "finished":
            assert outcome.results["selected"]["valid_loss"] > 0
            assert asked <= set(outcome.results["selected"])
