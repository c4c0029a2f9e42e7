"""Summarises a plan: each variant's changes, network and runs, and an estimate of time and disk space."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.planning.estimates import Estimates
from ablate.planning.networks import Network, network_facts
from ablate.planning.plan import Plan
from ablate.recipe.own_training import own_training
from ablate.store.store import Store


@dataclass(frozen=True)
class RowOutlook:
    """One variant: its changes, its network (None if not built), and the number of its runs by status, or
    ``read_again`` for those that are not trained again.
    """

    variant: str
    parent: str | None
    description: str
    changes: tuple[str, ...]
    epochs: float
    runs: dict[str, int]
    shared: int
    parameters: int | None = None
    receptive_field: Sequence[int] | None = None
    error: str | None = None
    stack_reason: str | None = None
    moves_away: Sequence[str] = ()
    repeats: bool = True
    seconds: float | None = None
    bytes: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Outlook:
    """All variants, and the totals of the runs to train: process seconds and bytes on disk, None if unknown.

    ``to_tune`` counts the runs of candidates that are trained before. ``code`` are the files of the user's own training
    that are part of the fingerprint, None for the built-in loop.
    """

    study: str
    rows: tuple[RowOutlook, ...]
    to_train: int
    seconds: float | None
    bytes: int | None
    code: tuple[str, ...] | None = None
    to_tune: int = 0


def outlook(plan: Plan, store: Store, *, networks: bool) -> Outlook:
    """Summarise a plan. With ``networks=False``, no networks are built, and their facts and disk space are left out."""
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
        fact = facts.get(variant.name, Network())
        parameters = fact.parameters
        rows.append(
            RowOutlook(
                variant.name,
                variant.parent,
                variant.description,
                tuple(str(change) for change in variant.changes),
                variant.settings.epochs,
                dict(Counter("read_again" if run.kept else run.record.status for run in runs)),
                shared,
                parameters,
                fact.receptive_field,
                fact.error,
                fact.stack_reason if len(plan.recipe.seeds) > 1 else None,
                fact.moves_away,
                fact.repeats,
                estimates.seconds(new) if estimates.knows(runs[0]) else None,
                # best and last weights of four bytes each, and about 200 bytes of metrics per epoch
                len(new) * (8 * parameters + 200 * variant.settings.planned_epochs) if parameters is not None else None,
                variant.settings.steps,
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
        own_code(plan),
        len(plan.search.missing()) if plan.search is not None else 0,
    )


def own_code(plan: Plan) -> tuple[str, ...] | None:
    """The files that are part of the fingerprint of the user's own training, relative to the recipe's folder if they
    are in it.
    """
    folder = plan.recipe.folder
    own = own_training(plan.recipe.variants[0].settings.trainer)  # all variants have the same
    if own is None:
        return None
    names = (str(path.relative_to(folder) if path.is_relative_to(folder) else path) for path in own.code_files(folder))
    return tuple(sorted(names, key=lambda name: (os.path.isabs(name), name)))
