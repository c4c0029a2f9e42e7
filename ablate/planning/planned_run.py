"""One run of a recipe, with its record in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from ablate.planning.kept_output import is_kept, reading_changed
from ablate.recipe import Recipe, Variant, run_fingerprint
from ablate.store.records import RunRecord
from ablate.store.store import Store

STALE = "settings, data or code have changed since training"
READ = "'read' has changed since its metrics were read"


@dataclass(frozen=True)
class PlannedRun:
    """One run of the recipe, with its record in the store.

    ``identity`` is shared by all seeds of its settings. ``before`` is the previous run of the variant with this seed,
    if different. ``upon`` are the variants that it requires, with their identities. ``kept``: ``read`` has changed, and
    this says whether the output is kept from which the metrics can be read again; None if it has not.
    """

    variant: Variant
    seed: int
    fingerprint: str
    identity: str
    record: RunRecord
    before: str | None = None
    upon: Mapping[str, str] = field(default_factory=dict)
    kept: bool | None = None

    def needs(self, seed: int | None = None) -> dict[str, str]:
        """The runs that must finish before this one, by variant, with the same fold and seed (or ``seed``)."""
        seed = self.seed if seed is None else seed
        return {row: run_fingerprint(shared, seed, self.record.fold) for row, shared in self.upon.items()}

    @property
    def leader(self) -> str:
        """The first run of its stack, whose folder has the log and checkpoints; itself if it is trained alone."""
        if not self.record.stack:
            return self.fingerprint
        return run_fingerprint(self.identity, self.record.stack[0], self.record.fold)


def run_key(seed: int, fold: int | None = None) -> str:
    """The key of a variant's run in ``study.json``: ``3``, or ``3.0`` for the first fold of seed 3."""
    return str(seed) if fold is None else f"{seed}.{fold}"


def planned_runs(variant: Variant, seeds: Sequence[int], shared: str, recipe: Recipe, store: Store) -> list[PlannedRun]:
    """A run for each seed and fold of the variant whose `identity` is ``shared``, with its record.

    It is `stale` if its metrics were read otherwise than the settings say.
    """
    repeats = product(seeds, range(recipe.folds.k) if recipe.folds else (None,))
    epochs = variant.settings.planned_epochs
    wanted = [(run_fingerprint(shared, seed, fold), seed, epochs, fold) for seed, fold in repeats]
    runs = []
    for (name, seed, *_), record in zip(wanted, store.records(wanted), strict=True):
        kept = None
        if reading_changed(variant.settings, record):
            kept = is_kept(variant.settings, record, recipe.folder, store)
            if record.status != "interrupted":
                record = replace(record, status="stale", reason=READ)
        runs.append(PlannedRun(variant, seed, name, shared, record, kept=kept))
    return runs
