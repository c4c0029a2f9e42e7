"""Inputs that are lent to custom code, which may write to them."""

from __future__ import annotations

from typing import Any

from torch import nn

from ablate.trees import cloned


def lend_copies(network: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A forward pre-hook: the network gets copies, because its inputs are also those of other passes."""
    return tuple(map(cloned, inputs))


def gets_copies(network: nn.Module) -> bool:
    """Whether a network has this hook."""
    return lend_copies in network._forward_pre_hooks.values()
