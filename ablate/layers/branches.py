"""Several ways for one input, put together again: the building block of inception blocks, context heads and networks with skips."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Merge = Literal["concat", "sum", "product"]

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Axes of places → torch's name of linear interpolation."""


class Branches(nn.Module):
    """Gives its input (N, C, …) to every branch and puts what comes out together: channels behind each other, their sum, or their product.

    Outputs that have other sides than the first branch's are resized to them, linearly: so pools and odd sides fit.
    """

    def __init__(self, branches: Mapping[str, nn.Module], merge: Merge = "concat") -> None:
        super().__init__()
        self.names, self.merge = tuple(branches), merge
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        first, *others = [getattr(self, name)(x) for name in self.names]
        values = [first, *(resized(other, first) for other in others)]
        if self.merge == "concat":
            return torch.cat(values, dim=1)
        merged: Tensor = reduce(torch.add if self.merge == "sum" else torch.mul, values)
        return merged

    def extra_repr(self) -> str:
        return f"merge={self.merge}"


class GlobalAttentionUpsample(nn.Module):
    """low(x)·gate(deep(x)) + deep(x), the deep features resized to the low ones: Li et al. 2018, Pyramid Attention Network, figure 4.

    ``gate`` makes (N, C, 1, …) of the deep features (N, C, …), whose channels ``low`` has too.
    """

    def __init__(self, low: nn.Module, deep: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.low, self.deep, self.gate = low, deep, gate

    def forward(self, x: Tensor) -> Tensor:
        low, deep = self.low(x), self.deep(x)
        return torch.add(low * self.gate(deep), resized(deep, low))


class ResizedToInput(nn.Module):
    """A network (N, C, …) → (N, K, …) of other sides, whose outputs are resized linearly to those of its inputs."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return resized(self.inside(x), x)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` (N, C, …) with the sides of ``like``."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode=LINEAR[x.dim() - 2], align_corners=False)
