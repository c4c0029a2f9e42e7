"""Train a claim's recipe, or read what is trained, and put down what decides it: plain values for docs/claims.json."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.api import RunOptions, run
from ablate.evidence.gather import Row, Table, gather
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.recipe.measured import comparing
from ablate.recipe.variant import Compare
from ablate.report.formats import render
from ablate.store.records import StudyRecord
from ablate.store.store import Store
from bench.claims.book import Claim, Part


def train_claim(
    claim: Claim, root: Path, options: RunOptions, seeds: Sequence[int] | None = None, sets: Sequence[str] = ()
) -> dict[str, Any]:
    """Train what is missing of a claim's recipe and return its result; other ``seeds`` ask the same question again,
    ``sets`` at another scale.
    """
    recipe = recipe_of(claim, seeds, sets)
    run(recipe, root=root, options=options)
    return read_claim(claim, root, seeds, sets)


def recipe_of(claim: Claim, seeds: Sequence[int] | None = None, sets: Sequence[str] = ()) -> Recipe:
    """The claim's recipe, with other seeds where they are given, and with settings for all rows."""
    return Recipe.load(claim.recipe, seeds=",".join(map(str, seeds)) if seeds else None, sets=sets)


def read_claim(
    claim: Claim, root: Path, seeds: Sequence[int] | None = None, sets: Sequence[str] = ()
) -> dict[str, Any]:
    """What the store knows of a claim: what decides it, and the tables as they are printed."""
    recipe, store = recipe_of(claim, seeds, sets), Store(root.absolute())
    plan = make_plan(recipe, store)
    study = plan.record()
    table = gather(study, provenances=store.provenances, curves=store.metrics)
    tables = {"": render(table, "md")}
    parts = []
    for part in claim.parts:
        seen = table if part.measure is None else compared(study, store, part)
        if part.measure is not None:
            tables.setdefault(part.measure, other_table(seen, part.measure))
        parts.append(found(part, seen))
    shown = [line for line in render(table, "md", ["variant", *claim.show]).splitlines() if line.startswith("|")]
    known = store.provenance(plan.runs[0].fingerprint)
    return {
        "recipe": recipe_key(claim),
        "scale": scale(recipe, table),
        "versions": {"ablate": known.ablate, "torch": known.torch},
        "seconds": sum((row.seconds or 0.0) * row.seeds for row in table.rows),
        "tables": tables,
        "shown": "\n".join(shown) + "\n" if claim.show else None,
        "parts": parts,
    }


def recipe_key(claim: Claim) -> str:
    """Says whether a recipe is the one that was run: a digest of its text without comments and blank lines."""
    lines = claim.recipe.read_text(encoding="utf-8").splitlines()
    kept = [line.rstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()[:16]


def compared(study: StudyRecord, store: Store, part: Part) -> Table:
    """The same runs compared by another number; by the quotient or the distance of two, run by run, where the part has
    ``over``.
    """
    compare = study.recipe.compare
    name = part.measure or compare.metric
    if part.over is not None:
        study = replace(
            study, rows=tuple(replace(row, runs=tuple(_divided(r, part) for r in row.runs)) for row in study.rows)
        )
    better = "lower" if part.equal else part.better
    other = Compare(name, better, compare.at) if better is not None else comparing(study.recipe.variants, compare, name)
    if part.smallest_effect is not None:
        other = replace(other, smallest_effect=part.smallest_effect)
    return gather(replace(study, recipe=replace(study.recipe, compare=other)), provenances=store.provenances)


def _divided(run: Any, part: Part) -> Any:
    """A run's record with the quotient, or its distance from 1, among its results."""
    results = {}
    for at, values in run.results.items():
        top, bottom = values.get(part.metric), values.get(part.over)
        if top is not None and bottom:
            values = {**values, part.measure: abs(math.log(top / bottom)) if part.equal else top / bottom}
        results[at] = values
    return replace(run, results=results)


def other_table(table: Table, measure: str) -> str:
    """The columns that speak of one number."""
    return render(table, "md", ["variant", _key(table, measure), "spread", "delta_parent", "verdict"])


def _key(table: Table, measure: str) -> str:
    taken = {"epochs", "seeds", "steps", "seconds"}
    return f"metric_{measure}" if measure in taken else measure


def found(part: Part, table: Table) -> dict[str, Any]:
    """What a table says of a part's row beside its parent."""
    row = next(row for row in table.rows if row.variant == part.row)
    parent = next(one for one in table.rows if one.variant == row.parent)
    metric = table.compare.metric
    return {
        "row": row.variant,
        "parent": parent.variant,
        "metric": metric,
        "better": table.compare.better,
        "smallest_effect": table.compare.smallest_effect,
        "value": row.value(metric),
        "parent_value": parent.value(metric),
        "delta": row.delta_parent,
        "low": row.ci_low,
        "high": row.ci_high,
        "n": min(row.seeds, parent.seeds),
        "p": row.p_adjusted,
        "effect_size": row.effect_size,
        "verdict": row.verdict,
        "status": row.status if row.verdict == "unstable" or row.status != "finished" else parent.status,
    }


def scale(recipe: Recipe, table: Table) -> dict[str, Any]:
    """How large the test was: data, parameters, epochs, steps of a seed, seeds."""
    settings = [variant.settings for variant in recipe.variants]

    def ends(values: Sequence[float | None]) -> list[float]:
        known = [value for value in values if value is not None]
        return [min(known), max(known)] if known else []

    def of(row: Row) -> float | None:
        return row.steps

    return {
        "data": sorted({_data(one) for one in settings}),
        "parameters": ends([row.parameters for row in table.rows]),
        "epochs": ends([one.epochs for one in settings]),
        "steps": ends([of(row) for row in table.rows]),
        "seeds": len(recipe.seeds),
    }


def _data(settings: Any) -> str:
    tree = settings.data.dump()
    kept = {key: value for key, value in tree.items() if key in ("limit", "count", "size", "points", "level")}
    told = [f"{key} {value}" for key, value in kept.items() if value is not None]
    return settings.data.label + (f" ({', '.join(told)})" if told else "")
