"""What is known of runs, as read from the store: plain facts, no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ablate.data.dataset import TargetScaling
from ablate.notes.old_sentences import StoredNote
from ablate.recipe.recipe import Recipe
from ablate.recipe.variant import Variant
from ablate.store.checked import Count, Place, Time, checked
from ablate.store.provenance import Origin

Status = Literal[
    "queued",
    "running",
    "finished",
    "diverged",
    "failed",
    "out_of_memory",
    "timeout",
    "interrupted",
    "stale",
    "no_effect",
]

ENDED_BADLY: tuple[Status, ...] = ("diverged", "failed", "out_of_memory", "timeout", "no_effect")
"""States that a run does not leave by itself: only ``--retry-failed`` or a changed recipe trains it again."""


MOST_THREADS = 1 << 16


@lru_cache(1000)
def shared(origin: Origin) -> Origin:
    """One object for equal origins: thousands of runs have the same."""
    return origin


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: a variant's settings with one seed (and fold).

    ``attempt`` is raised when a run is trained from nothing again, or again after it has ended.

    ``results`` maps ``selected`` (the epoch that the row reports), ``last`` and ``best`` to metric values such as
    ``train_loss``, ``train_loss_clean``, ``valid_loss`` and the recipe's metrics. ``seconds`` is the wall time of its
    job divided by the job's seeds; ``device_seconds`` counts every device (or CPU process) that worked. ``started``,
    ``finished`` and ``heartbeat`` (its last sign of life) are seconds since 1970. ``stack`` holds the seeds that were
    trained together with this one, itself included, and ``threads`` how many CPU threads computed it: both from its
    first start on.

    ``steps`` counts optimizer steps. ``peak_memory`` (bytes) is the most that its job took: of the GPU where it trained
    on one, else of the process, torch included; the seeds of a stack share it. ``first_loss`` is the loss of the first
    step, before anything was learned, ``first_weights`` a digest of a custom network's parameters before it.
    ``target_scaling`` is None where the targets are in their own unit.

    Epochs are counted in points of the curves; ``places`` has the epoch and step that the user's own training gave with
    the ``last`` and the ``best`` one (None: points are epochs). ``reading`` is how the metrics were read from what the
    user's command writes (`OwnTrainer.reading`); empty while they are replaced, None if unknown. ``output`` are the
    positions in the log of the output of a command that ended well; empty if it was ended because of its metrics, None
    if it failed by itself. ``origin`` is a part of the run's provenance; None if the record lacks it, as
    those of earlier versions do.
    """

    fingerprint: str
    seed: int
    fold: int | None = None
    status: Status = "queued"
    attempt: int = 1
    reason: str = ""
    epoch: Count = 0
    epochs: Count = 0
    best_epoch: Count | None = None
    selected_epoch: Count | None = None
    places: Mapping[str, Mapping[str, Place]] | None = None
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float | None = None
    device_seconds: float | None = None
    parameters: Count | None = None
    steps: Count | None = None
    peak_memory: Count | None = None
    first_loss: float | None = None
    first_weights: str | None = None
    target_scaling: TargetScaling | None = None
    started: Time | None = None
    finished: Time | None = None
    heartbeat: Time | None = None
    stack: tuple[int, ...] = ()
    threads: Annotated[int, Field(ge=1, le=MOST_THREADS)] | None = None
    pid: int | None = None
    host: str | None = None
    reading: Mapping[str, Any] | None = None
    output: tuple[tuple[Count, Count], ...] | None = None
    origin: Annotated[Origin, AfterValidator(shared)] | None = None
    notes: tuple[StoredNote, ...] = ()

    @classmethod
    def from_status(cls, fingerprint: str, status: Mapping[str, object]) -> RunRecord:
        """From the contents of a ``status.json``. Raises ValueError (one line) if they have another shape."""
        return checked(cls, {**status, "fingerprint": fingerprint})

    def to_status(self) -> dict[str, Any]:
        """The contents of its ``status.json``. Nothing else writes one."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "fingerprint"}
        scaling = None if self.target_scaling is None else asdict(self.target_scaling)
        origin = None if self.origin is None else asdict(self.origin)
        notes = [note.dump() for note in self.notes]
        return known | {"target_scaling": scaling, "stack": list(self.stack), "origin": origin, "notes": notes}


@dataclass(frozen=True)
class Tuned:
    """How a variant's settings were chosen.

    ``values`` are the chosen ones by path, None if they are not known yet or no candidate finished; those of its parent
    with ``tune: off`` (``off``). ``tried`` candidates were trained with ``seeds`` seeds each, in ``runs``. ``tied``:
    candidates within one standard error of the best. ``at_edge``: paths whose best value is the last of the grid.
    """

    values: Mapping[str, float] | None = None
    tried: int = 0
    seeds: int = 0
    tied: tuple[Mapping[str, float], ...] = ()
    at_edge: tuple[str, ...] = ()
    off: bool = False
    runs: tuple[RunRecord, ...] = ()


@dataclass(frozen=True)
class Step:
    """A step of a greedy selection: the mean gain of each remaining trick, by name, over the variant before (None: its
    candidate has no result), and the trick that was ``kept``; None if none improves the compared metric.
    """

    gains: Mapping[str, float | None]
    kept: str | None = None


@dataclass(frozen=True)
class ChosenPath:
    """How a greedy selection chose the variants of a study: on the reserved ``seeds``, among ``candidates`` (the
    baseline is one) with these ``runs``; so far, unless ``complete``.
    """

    seeds: tuple[int, ...]
    metric: str
    steps: tuple[Step, ...]
    complete: bool
    candidates: int = 0
    runs: tuple[RunRecord, ...] = ()


@dataclass(frozen=True)
class VariantRecord:
    """One row: a variant and its runs, one for each seed (and fold), in that order; with ``tune``, the search."""

    variant: Variant
    runs: tuple[RunRecord, ...]
    tuned: Tuned | None = None


@dataclass(frozen=True)
class StudyRecord:
    """A study as far as it has come.

    ``rows`` are the selected variants, ``family`` all of the recipe, in its order; empty: the same. ``rounded``: others
    logged the runs, and may have rounded the values. ``path``: how the design greedy chose the variants.
    """

    recipe: Recipe
    rows: tuple[VariantRecord, ...]
    family: tuple[VariantRecord, ...] = ()
    rounded: bool = False
    path: ChosenPath | None = None
