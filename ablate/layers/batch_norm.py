"""Batch norm, and batches that are too small for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norm layers of a network."""
    return [layer for layer in network.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]


def too_few_samples(error: ValueError) -> bool:
    """Whether batch norm raised this error: in training mode, it got a single value per channel."""
    return "more than 1 value per channel" in str(error)
