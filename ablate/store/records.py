"""What is known of runs, as read from the store: plain facts, no statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from ablate.data.dataset import TargetScaling
from ablate.notes.note import Note
from ablate.notes.old_sentences import read_note
from ablate.recipe.recipe import Recipe
from ablate.recipe.variant import Variant

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


@dataclass(frozen=True)
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
    """

    fingerprint: str
    seed: int
    fold: int | None = None
    status: Status = "queued"
    attempt: int = 1
    reason: str = ""
    epoch: int = 0
    epochs: int = 0
    best_epoch: int | None = None
    selected_epoch: int | None = None
    results: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    seconds: float | None = None
    device_seconds: float | None = None
    parameters: int | None = None
    steps: int | None = None
    peak_memory: int | None = None
    first_loss: float | None = None
    first_weights: str | None = None
    target_scaling: TargetScaling | None = None
    started: float | None = None
    finished: float | None = None
    heartbeat: float | None = None
    stack: tuple[int, ...] = ()
    threads: int | None = None
    pid: int | None = None
    host: str | None = None
    notes: tuple[Note, ...] = ()

    @classmethod
    def from_status(cls, fingerprint: str, status: Mapping[str, Any]) -> RunRecord:
        """From the contents of a ``status.json``; keys of later versions are left aside."""
        known = {
            key: value for key, value in status.items() if key in cls.__dataclass_fields__ and key != "fingerprint"
        }
        known |= {"stack": tuple(known.get("stack", ())), "notes": tuple(map(read_note, known.get("notes", ())))}
        known["target_scaling"] = TargetScaling.from_json(known.get("target_scaling"))
        return cls(fingerprint=fingerprint, **known)

    def to_status(self) -> dict[str, Any]:
        """The contents of its ``status.json``. Nothing else writes one."""
        known = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "fingerprint"}
        scaling = None if self.target_scaling is None else asdict(self.target_scaling)
        notes = [note.dump() for note in self.notes]
        return known | {"target_scaling": scaling, "stack": list(self.stack), "notes": notes}


@dataclass(frozen=True)
class VariantRecord:
    """One row: a variant and its runs, one for each seed (and fold), in that order."""

    variant: Variant
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True)
class StudyRecord:
    """A study as far as it has come.

    ``rows`` are the selected variants, ``family`` all of the recipe, in its order; empty: the same.
    """

    recipe: Recipe
    rows: tuple[VariantRecord, ...]
    family: tuple[VariantRecord, ...] = ()
