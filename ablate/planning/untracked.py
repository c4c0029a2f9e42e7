"""Finished runs that were trained without metrics that the recipe tracks now. They are not trained again for them."""

from __future__ import annotations

from ablate.notes.note import Note
from ablate.planning.plan import Plan
from ablate.store.store import Store


def untracked(plan: Plan, store: Store) -> list[Note]:
    """A note for each variant with finished runs that lack tracked metrics."""
    notes = []
    for variant in plan.recipe.variants:
        asked = [choice.label for choice in variant.settings.watch]
        finished = [run for run in plan.runs_of(variant.name) if run.record.status == "finished"]
        if not asked or not finished:
            continue
        seen = [store.provenance(run.fingerprint).facts.watch for run in finished]
        lacking = [label for label in asked if any(label not in labels for labels in seen)]
        if lacking:
            notes.append(Note("not_tracked", variant.name, values={"metrics": lacking}))
    return notes
