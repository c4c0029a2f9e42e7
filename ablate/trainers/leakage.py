"""Whether what a training is built upon has seen the samples that it is judged by."""

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
"""Fields of a data set that decide what its rows are; all others choose among them."""


def check_leaks(assignment: Assignment, data: Parts) -> None:
    """Raise ValueError where a sample of the validation or test part stood in the training part of any row that this one is built upon.

    Samples are known by their rows in the source; data of other sources, the user's own targets and streamed data are not looked at.
    """
    judged = {name: part.rows for name, part in (("validation", data.valid), ("test", data.test)) if part is not None}
    seen: dict[str, Tensor | None] = {}
    for row, settings in _all_sources(assignment.settings):
        if not same_rows(assignment.settings, settings) or settings.data == assignment.settings.data:
            continue
        key = str(settings.data.dump())
        if key not in seen:
            seen[key] = load_parts(settings.data, assignment.folder, assignment.folds, assignment.fold).train.rows
        trained = seen[key]
        for part, rows in judged.items():
            if trained is None or rows is None:
                continue
            count = int(torch.isin(rows, trained).sum())
            if count:
                raise ValueError(
                    f"source (={row}) was trained on {count} of the {len(rows)} {part} samples, so the loss would lie. "
                    "Split both alike: with data.split_on: complete for faces, or by the same 'group'."
                )


def _all_sources(settings: Settings) -> list[tuple[str, Settings]]:
    """All rows below, with those that they are built upon in turn."""
    found = list(settings.sources.items())
    for below in settings.sources.values():
        found += _all_sources(below)
    return found


def same_rows(one: Settings, other: Settings) -> bool:
    """Whether two data sets number the same samples in the same way."""
    a, b = one.data, other.data
    return a.name is not None and a.name == b.name and _file(a.options) == _file(b.options)


def _file(options: Any) -> dict[str, Any]:
    return {key: getattr(options, key, None) for key in FILE} if isinstance(options, Named) else {}
