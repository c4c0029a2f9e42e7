"""How much of the picture one unit before the first fully connected layer sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

POINTWISE = ("activation", "dropout", "batchnorm", "instancenorm", "normalization")
"""Modules of torch.nn whose layers look at no neighbours (norms: but for statistics of the whole picture)."""


def receptive_field(model: nn.Module) -> tuple[int, ...] | None:
    """Pixels along each axis, from r ← r + (k − 1)·j and j ← s·j over the convolutions and pools in order (a dilated kernel has the side d(k − 1) + 1).

    Counted up to the first layer that mixes the whole picture. None where it cannot be told from the layers: anything but an ``nn.Sequential``
    (or several in each other), or one that holds other networks.
    Source: Araujo, Norris and Sim 2019, Computing Receptive Fields of Convolutional Neural Networks.
    """
    if not isinstance(model, torch.nn.Sequential):
        return None
    field: tuple[int, ...] | None = None
    jump: tuple[int, ...] = ()
    for layer in _flat(model):
        if isinstance(layer, torch.nn.Flatten | torch.nn.Linear) or "Adaptive" in type(layer).__name__:
            break
        if _is_window(layer):
            kernel, stride, dilation = (_sides(layer, name) for name in ("kernel_size", "stride", "dilation"))
            field, jump = field or (1,) * len(kernel), jump or (1,) * len(kernel)
            field = tuple(r + d * (k - 1) * j for r, k, d, j in zip(field, kernel, dilation, jump, strict=True))
            jump = tuple(j * s for j, s in zip(jump, stride, strict=True))
        elif not _is_pointwise(layer):
            return None
    return field


def _flat(model: nn.Sequential) -> Iterator[nn.Module]:
    for layer in model:
        if isinstance(layer, torch.nn.Sequential):
            yield from _flat(layer)
        else:
            yield layer


def _is_window(layer: nn.Module) -> bool:
    home = type(layer).__module__
    return (home == "torch.nn.modules.conv" and "Transpose" not in type(layer).__name__) or (
        home == "torch.nn.modules.pooling" and hasattr(layer, "kernel_size") and "Unpool" not in type(layer).__name__
    )


def _is_pointwise(layer: nn.Module) -> bool:
    from ablate.layers.noisy_dropout import NoisyDropout

    homes = tuple(f"torch.nn.modules.{name}" for name in POINTWISE)
    return type(layer).__module__ in homes or isinstance(layer, NoisyDropout | torch.nn.Identity)


def _sides(layer: nn.Module, name: str) -> tuple[int, ...]:
    dimensions = int(type(layer).__name__[-2])
    value = getattr(layer, name, 1)  # average pools have no dilation
    return tuple(value) if isinstance(value, tuple | list) else (value,) * dimensions
