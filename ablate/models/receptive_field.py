"""Receptive field of a unit before the first fully connected layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

POINTWISE = ("activation", "dropout", "batchnorm", "instancenorm", "normalization")
"""Modules of torch.nn without spatial extent (norms: except for statistics of the whole image)."""

LONGEST = 2**14
"""Maximum length in pixels to follow; larger receptive fields exceed any image."""


class Untold(Exception):
    """The receptive field cannot be computed from the layers."""


@dataclass(frozen=True)
class Line:
    """Along one axis: the first and last pixel in the receptive field of each unit; both increase from unit to unit."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)

    def seen(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> Line:
        """Units that depend on the units from ``start`` to ``end``, as far as they exist."""
        top = len(self) - 1
        return Line(self.first[start.clip(0, top)], self.last[end.clip(0, top)])

    def resized(self, length: int) -> Line:
        """Linear interpolation: each new unit depends on the two nearest."""
        if length == len(self):
            return self
        place = (np.arange(length) + 0.5) * len(self) / length - 0.5
        return self.seen(np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64))

    def joined(self, other: Line) -> Line:
        """Units that depend on both; ``other`` is resized if its length differs."""
        other = other.resized(len(self))
        return Line(np.minimum(self.first, other.first), np.maximum(self.last, other.last))


def receptive_field(model: nn.Module) -> tuple[int, ...] | None:
    """Receptive field along each axis, in pixels: the maximum over units, up to the first layer that mixes the whole
    image.

    For a plain sequence, this is r ← r + (k − 1)·j and j ← s·j over the convolutions and pools. Here each unit's first
    and last pixel are followed, which also covers branches, skips and upsampling. None if it cannot be computed from
    the layers: networks that are neither ``nn.Sequential`` nor made of this library's blocks, branches that pool the
    whole image, fields wider than `LONGEST`. Source: Araujo, Norris and Sim 2019, Computing Receptive Fields of
    Convolutional Neural Networks.
    """
    if not isinstance(model, torch.nn.Sequential):
        return None
    windows = [layer for layer in _until_mixed(model) for layer in layer.modules() if _is_window(layer)]
    if not windows:
        return None
    dimensions = int(type(windows[0]).__name__[-2])
    try:
        return tuple(_along(model, axis) for axis in range(dimensions))
    except Untold:
        return None


def _along(model: nn.Sequential, axis: int) -> int:
    length = 256
    while length <= LONGEST:
        line = Line(np.arange(length), np.arange(length))
        for layer in _until_mixed(model):
            line = _through(layer, line, axis)
        # far from the ends, where padding truncates receptive fields
        middle = slice(len(line) * 3 // 8, max(len(line) * 5 // 8, len(line) * 3 // 8 + 1))
        first, last = line.first[middle], line.last[middle]
        if len(line) >= 8 and first.min() > 0 and last.max() < length - 1:
            return int((last - first).max()) + 1
        length *= 4
    raise Untold


def _until_mixed(model: nn.Sequential) -> Iterator[nn.Module]:
    """The layers of nested Sequentials, up to the first that mixes the whole image."""
    for layer in _flat(model):
        if isinstance(layer, torch.nn.Flatten | torch.nn.Linear) or "Adaptive" in type(layer).__name__:
            return
        if any(isinstance(part, torch.nn.Flatten) for part in layer.modules()):
            return
        yield layer


def _flat(model: nn.Sequential) -> Iterator[nn.Module]:
    for layer in model:
        if isinstance(layer, torch.nn.Sequential):
            yield from _flat(layer)
        else:
            yield layer


def _through(layer: Any, line: Line, axis: int) -> Line:
    """The receptive fields after the layer. Raises `Untold` for an unknown layer."""
    from ablate.layers.branches import Branches, ResidualBlock, ResizedToInput

    if isinstance(layer, torch.nn.Sequential):
        for part in layer:
            line = _through(part, line, axis)
        return line
    if isinstance(layer, Branches):
        return _joined([getattr(layer, name) for name in layer.names], line, axis)
    if isinstance(layer, ResidualBlock):
        return _through(layer.after, _joined([layer.shortcut, layer.branch], line, axis), axis)
    if isinstance(layer, ResizedToInput):
        return _through(layer.inside, line, axis).resized(len(line))
    if isinstance(layer, torch.nn.Upsample):
        return _upsampled(layer, line, axis)
    if _is_transposed(layer):
        kernel, stride, padding, dilation = (
            _sides(layer, name, axis) for name in ("kernel_size", "stride", "padding", "dilation")
        )
        unit = np.arange((len(line) - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
        return line.seen(-((dilation * (kernel - 1) - unit - padding) // stride), (unit + padding) // stride)
    if _is_window(layer):
        kernel, stride, dilation = (_sides(layer, name, axis) for name in ("kernel_size", "stride", "dilation"))
        reach = dilation * (kernel - 1)
        same = getattr(layer, "padding", 0) == "same"
        padding = reach // 2 if same else 0 if layer.padding == "valid" else _sides(layer, "padding", axis)
        more = reach if same else 2 * padding
        start = np.arange(max((len(line) + more - reach - 1) // stride + 1, 1)) * stride - padding
        return line.seen(start, start + reach)
    if not _is_pointwise(layer):
        raise Untold
    return line


def _joined(layers: list[nn.Module], line: Line, axis: int) -> Line:
    first, *others = [_through(layer, line, axis) for layer in layers]
    for other in others:
        first = first.joined(other)
    return first


def _upsampled(layer: Any, line: Line, axis: int) -> Line:
    factor = layer.scale_factor
    factor = factor[axis] if isinstance(factor, tuple) else factor
    if factor is None or layer.align_corners:
        raise Untold
    if layer.mode in ("linear", "bilinear", "trilinear"):
        return line.resized(int(len(line) * factor))
    if layer.mode != "nearest":
        raise Untold
    place = np.floor(np.arange(int(len(line) * factor)) / factor).astype(np.int64)
    return line.seen(place, place)


def _is_window(layer: nn.Module) -> bool:
    home = type(layer).__module__
    return (home == "torch.nn.modules.conv" and "Transpose" not in type(layer).__name__) or (
        home == "torch.nn.modules.pooling" and hasattr(layer, "kernel_size") and "Unpool" not in type(layer).__name__
    )


def _is_transposed(layer: nn.Module) -> bool:
    return type(layer).__module__ == "torch.nn.modules.conv" and "Transpose" in type(layer).__name__


def _is_pointwise(layer: nn.Module) -> bool:
    from ablate.layers.dropout import NoisyDropout

    homes = tuple(f"torch.nn.modules.{name}" for name in POINTWISE)
    return type(layer).__module__ in homes or isinstance(layer, NoisyDropout | torch.nn.Identity)


def _sides(layer: Any, name: str, axis: int) -> int:
    # average pools have no dilation
    value = getattr(layer, name, 1)
    return int(value[axis] if isinstance(value, tuple | list) else value)
