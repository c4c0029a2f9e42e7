"""Which runs were trained without what the recipe watches now, in sentences: their numbers are not there, and nothing is trained again for them."""

from __future__ import annotations

from ablate.planning.plan import Plan
from ablate.store.store import Store


def unwatched(plan: Plan, store: Store) -> list[str]:
    """A sentence for each group of rows that lack the same, with the way to train them again."""
    rows: dict[str, list[str]] = {}
    for variant in plan.recipe.variants:
        asked = [choice.label for choice in variant.settings.watch]
        finished = [run for run in plan.runs_of(variant.name) if run.record.status == "finished"]
        if not asked or not finished:
            continue
        seen = [store.provenance(run.fingerprint).get("facts", {}).get("watch", ()) for run in finished]
        lacking = [label for label in asked if any(label not in labels for labels in seen)]
        if lacking:
            rows.setdefault(", ".join(lacking), []).append(variant.name)
    return [
        f"{', '.join(names)}: trained without watching {what}; --fresh trains them again"
        for what, names in rows.items()
    ]
