"""Checks that the validation and test samples were not used to train a variant that another one requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Parts
from ablate.data.load import load_parts
from ablate.engine.contract import Assignment
from ablate.recipe.settings import Settings
from ablate.registry import Named
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

FILE = ("path", "lacking")
"""Fields of a dataset that define its samples; all others select among them."""


def check_leaks(assignment: Assignment, data: Parts) -> None:
    """Raise ValueError if a validation or test sample is in the training set of a variant that this one requires.

    Samples are identified by their rows in the data source. Data of other sources, custom data and streamed data are
    not checked.
    """
    judged = {name: part.rows for name, part in (("validation", data.valid), ("test", data.test)) if part is not None}
    seen: dict[str, Tensor | None] = {}
    for row, settings in _all_sources(assignment.settings):
        if not same_rows(assignment.settings, settings) or settings.data == assignment.settings.data:
            continue
        key = str(settings.data.dump())
        if key not in seen:
            seen[key] = load_parts(
                settings.data, assignment.folder, assignment.folds, assignment.fold, form=settings.batch
            ).train.rows
        trained = seen[key]
        for part, rows in judged.items():
            if trained is None or rows is None:
                continue
            count = int(torch.isin(rows, trained).sum())
            if count:
                rule = f"was trained on {count} of the {len(rows)} {part} samples, so the {part} loss would be biased"
                way = "Use the same split for both: data.split_on: complete for faces, or the same data.group."
                raise ValueError(f"source (={row}) {rule}. {way}")


def _all_sources(settings: Settings) -> list[tuple[str, Settings]]:
    """All variants that these settings require, directly or not."""
    found = list(settings.sources.items())
    for below in settings.sources.values():
        found += _all_sources(below)
    return found


def same_rows(one: Settings, other: Settings) -> bool:
    """Whether two datasets number their samples in the same way."""
    a, b = one.data, other.data
    return a.name is not None and a.name == b.name and _file(a.options) == _file(b.options)


def _file(options: Any) -> dict[str, Any]:
    return {key: getattr(options, key, None) for key in FILE} if isinstance(options, Named) else {}
