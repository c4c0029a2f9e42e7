"""Whether new inputs have the scale of the training inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ablate.data.batches import floats
from ablate.data.dataset import Part
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

READ = 256
"""Number of training samples that are read if they are streamed."""

FAR = 0.5
"""How far half of the new samples are outside the training range, as a fraction of it, if the scale differs."""

NARROW = 0.05
"""Fraction of the training range that new inputs cover if the scale differs."""

FEW, ENOUGH = 5, 20
"""Samples of a table from which on a single column is judged by its place, and columns by their range."""


def other_range(new: Part, train: Part) -> dict[str, Any] | None:
    """The ranges of new and training inputs if their scales differ, or None; in tables, of one ``column``.

    Images count as a whole, tables column by column. Tokens have no scale.
    """
    mine, theirs = values_of(new), values_of(train)
    if mine is None or theirs is None:
        return None
    (low, high), (least, most) = extremes(mine), extremes(theirs)
    least, most = least.amin(0), most.amax(0)
    span = most - least
    columns = span > 0
    if not columns.any() or not bool((low.isfinite() & high.isfinite()).all()):
        return None
    beyond = torch.maximum(high - most, least - low).median(0).values > FAR * span
    covered = high.amax(0) - low.amin(0)
    narrow = (covered > 0) & (covered < NARROW * span)
    half, table = int(columns.sum()) / 2, mine.dim() == 2
    found = beyond & columns
    if table and len(mine) < FEW and found.sum() <= half:
        found = torch.zeros_like(found)
    if not found.any() and (not table or len(mine) >= ENOUGH) and (narrow & columns).sum() > half:
        found = narrow & columns
    if not found.any():
        return None
    column = int(found.to(torch.uint8).argmax())
    ranges = {"low": low.amin(0), "high": high.amax(0), "train_low": least, "train_high": most}
    return {"column": column if table else None} | {name: float(value[column]) for name, value in ranges.items()}


def values_of(part: Part) -> Tensor | None:
    """Inputs as the network gets them; None for tokens."""
    if part.inputs is not None:
        inputs = part.inputs
    else:
        dataset: Any = part.dataset
        step = max(len(dataset) // READ, 1)
        inputs = torch.stack([dataset[i][0] for i in range(0, len(dataset), step)])
    inputs = floats(inputs, torch.float32) if inputs.dtype == torch.uint8 else inputs
    return inputs if inputs.is_floating_point() else None


def extremes(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and largest value of each sample (n, 1); of each column of tables, (n, columns)."""
    if inputs.dim() == 2:
        return inputs, inputs
    flat = inputs.flatten(1)
    return flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
