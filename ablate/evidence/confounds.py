"""What a row and its parent differ in beside the change that the row is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ablate.evidence.environments import Provenances
from ablate.recipe.measured import scaled_by
from ablate.recipe.settings import Choice
from ablate.recipe.variant import Variant
from ablate.store.records import RunRecord

BUDGET = {"epochs": "epochs", "batch_size": "samples a batch"}
"""Settings that decide how long a row is trained, and their units."""

COUNTED = {"train": "train it", "valid": "validate it", "test": "test it"}
"""The parts of the data, and what their samples do to a row."""

SEEN_ONLY = {"facial_keypoints": {"size"}, "csv": {"inputs"}}
"""Keys of named data that change what the network sees of a sample, neither which samples validate nor what is to be predicted."""

ELSEWHERE = "no verdict, as it may be validated on other samples or targets"


def unlike_settings(row: Variant, parent: Variant) -> list[str]:
    """Sentences for a budget or data that are not the parent's. A row that changes its budget and nothing else is about that, and has none."""
    said = []
    alone = bool(row.changes) and all(change.kind == "set" and change.subject in BUDGET for change in row.changes)
    for field, unit in BUDGET.items():
        mine, theirs = getattr(row.settings, field), getattr(parent.settings, field)
        if mine != theirs and not alone and not row.settings.joined:
            said.append(f"{mine} {unit}, its parent {theirs}")
    keys = unlike_keys(row.settings.data, parent.settings.data)
    if keys:
        end = "" if same_validation(row, parent) else f": {ELSEWHERE}"
        said.append(f"its data are not its parent's ({', '.join(keys)}){end}")
    return said


def same_validation(row: Variant, other: Variant) -> bool:
    """Whether two rows are sure to be validated on the same samples and targets, told from their settings. Of the user's own data nothing is sure."""
    keys = set(unlike_keys(row.settings.data, other.settings.data))
    return keys <= SEEN_ONLY.get(row.settings.data.name or "", set())


def unlike_keys(one: Choice, other: Choice) -> list[str]:
    """The keys of two choices that do not agree."""
    mine, theirs = one.dump(), other.dump()
    return sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))


def unlike_steps(row: Iterable[RunRecord], parent: Iterable[RunRecord]) -> list[str]:
    """``60 steps an epoch, its parent 75``, where the two had other numbers of batches, as measured."""
    mine, theirs = ({run.steps // run.epoch for run in side if run.steps and run.epoch} for side in (row, parent))
    if len(mine) != 1 or len(theirs) != 1 or mine == theirs:
        return []
    return [f"{mine.pop()} steps an epoch, its parent {theirs.pop()}"]


def unlike_samples(row: Provenances, parent: Provenances) -> list[str]:
    """``2,741 samples train it, its parent 842``, where the two had other numbers of samples, as counted when they were read; the same for valid and test."""
    mine, theirs = (counts(side) for side in (row, parent))
    return [
        f"{mine[part]:,} samples {does}, its parent {theirs[part]:,}"
        for part, does in COUNTED.items()
        if part in mine and part in theirs and mine[part] != theirs[part]
    ]


def counts(runs: Provenances) -> dict[str, int]:
    """The samples of each part that all runs agree on."""
    known = [one.get("facts", {}).get("data", {}) for one in runs]
    found = {part: {data.get(part) for data in known} for part in COUNTED}
    return {part: int(only) for part, values in found.items() if len(values) == 1 and (only := next(iter(values)))}


def unlike_scaling(row: Sequence[RunRecord], other: Sequence[RunRecord]) -> bool:
    """Whether the targets of a seed's runs are in other units than those of the other row, as measured: its losses are then, too."""
    return any(a.target_scaling != b.target_scaling for a, b in zip(row, other, strict=False))


def unlike_losses(row: Variant, parent: Variant) -> str | None:
    """Why a loss cannot compare the two: they minimise different ones, or scale their targets otherwise. None where they do not."""
    if scaled_by(row.settings) != scaled_by(parent.settings):
        return "its targets are scaled by other tricks, so the units differ"
    mine, theirs = row.settings.loss, parent.settings.loss
    keys = unlike_keys(mine, theirs)
    if not keys:
        return None
    if mine.label != theirs.label:
        return f"its loss is {mine.label}, its parent's {theirs.label}"
    return f"its loss is not its parent's ({', '.join(keys)})"


def unpaired_init(row: Variant, other: Variant) -> bool:
    """Whether a seed's two networks start from values that have nothing to do with each other.

    So they do where the networks differ and one is the user's own: it keeps what its constructor draws, in its order, unless the recipe names an
    initialisation, which goes by names.
    """
    one, two = row.settings, other.settings
    if not unlike_keys(one.model, two.model) or unlike_keys(one.init, two.init):
        return False
    return one.init.name == "default" and any(side.model.target is not None for side in (one, two))
