"""Differences between a variant and its parent besides the variant's own change, and between runs of a variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.evidence.seeds import equal
from ablate.evidence.table import ALL_LOSSES
from ablate.notes.note import Kind, Note
from ablate.recipe.measured import scaled_by
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Variant
from ablate.store.places import at_of, on_axis
from ablate.store.provenance import SPLITS, Origin
from ablate.store.records import RunRecord

ORIGINS: dict[str, tuple[Kind, Kind]] = {
    "torch": ("mixed_torch", "other_torch"),
    "device": ("mixed_device", "other_device"),
    "python": ("mixed_python", "other_python"),
    "ablate": ("mixed_ablate", "other_ablate"),
}
"""What of a run's origin can change its results, and the notes about runs of a variant, and about a variant and its
parent, that do not share it.
"""


@dataclass(frozen=True)
class Origins:
    """Where the runs of a variant come from: the sorted values of each key of `ORIGINS`, without unknown ones, and the
    number of ``samples`` of each split, if all runs agree.
    """

    values: Mapping[str, Sequence[str]]
    samples: Mapping[str, int]

    @classmethod
    def of(cls, runs: Iterable[Origin]) -> Origins:
        """Of the runs with these origins, which may be many: each is needed only once."""
        distinct = set(runs)
        found = {key: {getattr(one, key) for one in distinct} for key in (*ORIGINS, *SPLITS)}
        agreed = {split: next(iter(found[split])) for split in SPLITS if len(found[split]) == 1}
        return cls(
            {key: sorted(found[key] - {None}) for key in ORIGINS},
            {split: count for split, count in agreed.items() if count},
        )


def mixtures(origins: Origins) -> list[Note]:
    """Notes about keys that have several values in the runs of one variant."""
    found = origins.values
    return [Note(mixed, values={"names": found[key]}) for key, (mixed, _) in ORIGINS.items() if len(found[key]) > 1]


def thread_notes(runs: Iterable[RunRecord]) -> list[Note]:
    """A note if runs of a variant and its parent had different numbers of CPU threads."""
    numbers = {run.threads for run in runs if run.threads and run.status == "finished"}
    return [Note("mixed_threads", values={"names": [str(n) for n in sorted(numbers)]})] if len(numbers) > 1 else []


def different_origins(row: Origins, parent: Origins) -> list[Note]:
    """Notes about keys that differ between a variant and its parent."""
    mine, theirs = row.values, parent.values
    return [
        Note(other, values={"own": mine[key], "parent": theirs[key]})
        for key, (_, other) in ORIGINS.items()
        if mine[key] and theirs[key] and mine[key] != theirs[key]
    ]


BUDGET: dict[str, Kind] = {"epochs": "other_epochs", "steps": "other_length", "batch_size": "other_batch_size"}
"""Settings that determine how long a variant is trained, and the notes about them."""

SEEN_ONLY = {"facial_keypoints": {"size"}, "csv": {"inputs"}, "npz": {"keypoints"}}
"""Settings of datasets that change the inputs, or what tricks do with targets, but not which samples are validated nor
their targets.
"""


def different_settings(row: Variant, parent: Variant, *, averaged: bool = False) -> list[Note]:
    """Notes about a training budget or data that differ from the parent's. None for a variant that changes only its
    budget, unless means over epochs are compared (``averaged``): these are other parts of the trainings.
    """
    notes = []
    alone = bool(row.changes) and all(change.kind == "set" and change.subject in BUDGET for change in row.changes)
    alone = alone and not (averaged and row.settings.epochs != parent.settings.epochs)
    for field, kind in BUDGET.items():
        mine, theirs = getattr(row.settings, field), getattr(parent.settings, field)
        if field == "epochs" and not (mine and theirs):
            continue
        if field == "steps" and mine != theirs:
            mine, theirs = length_text(row.settings), length_text(parent.settings)
        if mine != theirs and not alone and not row.settings.joined:
            notes.append(Note(kind, values={"own": mine, "parent": theirs}))
    if keys := different_keys(row.settings.data, parent.settings.data):
        notes.append(Note("other_data" if same_validation(row, parent) else "other_validation", values={"keys": keys}))
    return notes


def length_text(settings: Settings) -> str:
    """``20 epochs`` or ``2,000 steps``."""
    return f"{settings.epochs:g} epochs" if settings.steps is None else f"{settings.steps:,} steps"


def same_validation(row: Variant, other: Variant) -> bool:
    """Whether the settings of two variants guarantee the same validation samples and targets. Custom data guarantee
    nothing.
    """
    keys = set(different_keys(row.settings.data, other.settings.data))
    return keys <= SEEN_ONLY.get(row.settings.data.name or "", set())


def judged(row: Variant, parent: Variant, metric: str) -> bool:
    """Whether the settings of a variant and its parent allow a verdict on the metric, whatever their results."""
    return same_validation(row, parent) and (metric not in ALL_LOSSES or different_losses(row, parent, metric) is None)


def different_keys(one: Choice, other: Choice) -> list[str]:
    """The keys in which two choices differ."""
    mine, theirs = one.dump(), other.dump()
    return sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))


def steps_per_epoch(run: RunRecord) -> int | None:
    """The measured number of steps per epoch; None if it is unknown, as in training that gives no epochs."""
    epochs = on_axis(run.epoch, at_of(run), "epoch")
    return round(run.steps / epochs) if run.steps and epochs >= 1e-9 else None


def different_steps(row: Iterable[RunRecord], parent: Iterable[RunRecord]) -> list[Note]:
    """A note if the measured numbers of steps per epoch differ."""
    mine, theirs = ({each for run in side if (each := steps_per_epoch(run)) is not None} for side in (row, parent))
    if len(mine) != 1 or len(theirs) != 1 or mine == theirs:
        return []
    return [Note("other_steps", values={"own": mine.pop(), "parent": theirs.pop()})]


def different_samples(row: Origins, parent: Origins) -> list[Note]:
    """Notes about splits whose numbers of samples differ, as counted when the data were loaded."""
    mine, theirs = row.samples, parent.samples
    return [
        Note("other_samples", values={"split": split, "own": mine[split], "parent": theirs[split]})
        for split in SPLITS
        if split in mine and split in theirs and mine[split] != theirs[split]
    ]


def different_scaling(row: Sequence[RunRecord], other: Sequence[RunRecord]) -> bool:
    """Whether the scaling of the targets, and so the unit of the losses, differs between the runs of a seed."""
    return any(a.target_scaling != b.target_scaling for a, b in zip(row, other, strict=False))


def different_losses(row: Variant, parent: Variant, metric: str) -> Note | None:
    """Why a loss cannot compare the two: they minimize different ones, or scale their targets differently. None if they
    do not.
    """
    if scaled_by(row.settings) != scaled_by(parent.settings):
        return Note("other_scaling", values={"metric": metric})
    mine, theirs = row.settings.loss, parent.settings.loss
    keys = different_keys(mine, theirs)
    if not keys:
        return None
    if mine.label != theirs.label:
        return Note("other_loss", values={"metric": metric, "own": mine.label, "parent": theirs.label})
    return Note("other_loss_settings", values={"metric": metric, "keys": keys})


def same_weights(row: Sequence[RunRecord], other: Sequence[RunRecord]) -> bool:
    """Whether the initial weights of a seed's networks are known to be equal."""
    pairs = [(one.first_weights, two.first_weights) for one, two in zip(row, other, strict=False)]
    return all(mine is not None and mine == theirs for mine, theirs in pairs)


def unpaired_start(row: Sequence[RunRecord], other: Sequence[RunRecord]) -> bool:
    """Whether the user's own trainings of a seed are known to start from different losses."""
    pairs = [(one.first_loss, two.first_loss) for one, two in zip(row, other, strict=False)]
    return any(a is not None and b is not None and not equal({"": a}, {"": b}, [""]) for a, b in pairs)


def unpaired_init(row: Variant, other: Variant) -> bool:
    """Whether the initial weights of a seed's two networks are independent, as far as settings tell.

    They are if the models differ and one is custom: it keeps what its constructor draws, in its order, unless the
    recipe sets ``init``, which draws by the parameters' names.
    """
    one, two = row.settings, other.settings
    if not different_keys(one.model, two.model) or different_keys(one.init, two.init):
        return False
    return one.init.name == "default" and any(side.model.target is not None for side in (one, two))
