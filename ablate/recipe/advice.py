"""Warnings about schedules that train but are probably a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Settings
from ablate.schedules.advice import advice_on


def advice_of(recipe: Recipe) -> list[str]:
    """One line per likely mistake, with the names of the variants that have it."""
    found: dict[str, list[str]] = {}
    for variant in recipe.variants:
        for sentence in _advice_in(variant.settings):
            found.setdefault(sentence, []).append(variant.name)
    return [f"{', '.join(names)}: {sentence}" for sentence, names in found.items()]


def _advice_in(settings: Settings) -> Iterator[str]:
    places = {"optimizer": settings.optimizer.options}
    places |= {f"tricks.{choice.label}": choice.options for choice in settings.tricks}
    for place, options in places.items():
        for path, sentence in advice_on(options, place):
            yield f"{path} {sentence}"
