"""What a plan means before it is carried out: what each row changes, its network, the runs to do, and an estimate of time and disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ablate.planning.estimates import Estimates
from ablate.planning.networks import network_facts
from ablate.planning.plan import Plan
from ablate.store.store import Store


@dataclass(frozen=True)
class RowOutlook:
    """One row: its changes, its network (None where it was not looked at), and how many of its runs are in which state."""

    variant: str
    parent: str | None
    description: str
    changes: tuple[str, ...]
    epochs: int
    runs: dict[str, int]
    shared: int
    parameters: int | None = None
    receptive_field: list[int] | None = None
    error: str | None = None
    stack_reason: str | None = None
    seconds: float | None = None
    bytes: int | None = None


@dataclass(frozen=True)
class Outlook:
    """All rows, and the sums over the runs that are to be trained: process seconds, bytes on disk; None where nothing is known to guess from."""

    study: str
    rows: tuple[RowOutlook, ...]
    to_train: int
    seconds: float | None
    bytes: int | None


def outlook(plan: Plan, store: Store, *, networks: bool) -> Outlook:
    """Look ahead. ``networks=False`` builds nothing and leaves parameters, receptive field and disk out."""
    facts = network_facts(plan, store) if networks else {}
    missing = {run.fingerprint for run in plan.to_do()}
    estimates = Estimates(plan, store)
    seen: set[str] = set()
    rows = []
    for variant in plan.recipe.variants:
        runs = plan.runs_of(variant.name)
        new = [run for run in runs if run.fingerprint in missing and run.fingerprint not in seen]
        shared = sum(run.fingerprint in seen for run in runs)
        seen |= {run.fingerprint for run in runs}
        fact = facts.get(variant.name, {})
        parameters = fact.get("parameters")
        rows.append(
            RowOutlook(
                variant.name,
                variant.parent,
                variant.description,
                tuple(str(change) for change in variant.changes),
                variant.settings.epochs,
                dict(Counter(run.record.status for run in runs)),
                shared,
                parameters,
                fact.get("receptive_field"),
                fact.get("error"),
                fact.get("stack_reason") if len(plan.recipe.seeds) > 1 else None,
                estimates.seconds(new) if estimates.knows(runs[0]) else None,
                # best and last weights, four bytes each, and about 200 bytes an epoch of metrics
                len(new) * (8 * parameters + 200 * variant.settings.epochs) if parameters is not None else None,
            )
        )
    waiting = [
        row for row in rows if any(status in ("queued", "stale", "interrupted", "running") for status in row.runs)
    ]
    known_seconds = [row.seconds for row in waiting]
    known_bytes = [row.bytes for row in rows if row.bytes is not None]
    return Outlook(
        plan.recipe.study,
        tuple(rows),
        len(missing),
        sum(s for s in known_seconds if s is not None) if known_seconds and None not in known_seconds else None,
        sum(known_bytes) if known_bytes else None,
    )
