"""Rates for the sides that a claim sets against each other: each row's grid, tried on seeds that judge nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ablate.api import RunOptions, run
from ablate.recipe import Recipe
from bench.claims.book import Claim

SEEDS = (100, 101, 102, 103)
"""They tune, and never judge."""

Tried = tuple[str, dict[float, float | None], float | None]
"""A row, what each rate gave it (the number that its recipe compares; None where a seed diverged), and the best of
them.
"""


def tried(claim: Claim, root: Path, options: RunOptions) -> Iterator[Tried]:
    """All rows of a claim that have a grid; every rate of each is a row of one study."""
    rows = {
        (row, rate): replace(variant, name=f"{row} at {rate:g}", parent=None, changes=())
        for grid in claim.rates
        for rate in grid.values
        for row in grid.rows
        for variant in Recipe.load(claim.recipe, only=row, sets=[grid.setting.format(rate)]).variants
    }
    if not rows:
        return
    recipe = Recipe.load(claim.recipe, seeds=SEEDS)
    table = run(
        replace(recipe, study=f"{recipe.study}-rates", variants=tuple(rows.values())), root=root, options=options
    )
    found = {row.variant: row.value(table.compare.metric) if row.status == "finished" else None for row in table.rows}
    pick = min if table.compare.better == "lower" else max
    for grid in claim.rates:
        for name in grid.rows:
            values = {rate: found[rows[name, rate].name] for rate in grid.values}
            known = {rate: value for rate, value in values.items() if value is not None}
            yield name, values, pick(known, key=known.__getitem__) if known else None


def sentence(name: str, values: dict[float, float | None], best: float | None) -> str:
    """A row's rates and the best of them, in a line."""
    told = ", ".join(f"{rate:g}: {'diverged' if value is None else f'{value:.4g}'}" for rate, value in values.items())
    return f"  {name}: {told}; best {best if best is None else f'{best:g}'}"
