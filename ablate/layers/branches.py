"""Layers of several branches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Merge = Literal["concat", "sum", "product"]

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Number of spatial axes → torch's name of linear interpolation."""


class Branches(nn.Module):
    """Applies every branch to the input (N, C, …) and combines the outputs: concatenated channels, sum or product.

    Outputs are resized linearly to the size of the first branch's output, so branches may pool, and sizes may be odd.
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
    """low(x)·gate(deep(x)) + deep(x), the deep features resized to the low ones: Li et al. 2018, Pyramid Attention
    Network, figure 4.

    ``gate`` computes (N, C, 1, …) from the deep features (N, C, …); ``low`` has C channels too.
    """

    def __init__(self, low: nn.Module, deep: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.low, self.deep, self.gate = low, deep, gate

    def forward(self, x: Tensor) -> Tensor:
        low, deep = self.low(x), self.deep(x)
        return torch.add(low * self.gate(deep), resized(deep, low))


class ResizedToInput(nn.Module):
    """A network (N, C, …) → (N, K, …) whose outputs are resized linearly to the size of its inputs."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        return resized(self.inside(x), x)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` (N, C, …) resized to ``like``."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, size=like.shape[2:], mode=LINEAR[x.dim() - 2], align_corners=False)


class ResidualBlock(nn.Module):
    """after(shortcut(x) + branch(x)): He et al. 2016, Deep Residual Learning, figure 2.

    ``branch`` and ``shortcut`` (default: identity) have outputs of the same shape; ``after`` is applied to the sum,
    such as an activation (default: identity).

    Any block may define ``residual_branch``, the name of the child whose output is added to the input; tricks such as
    drop_path use it to find the branches.
    """

    residual_branch: ClassVar[str] = "branch"

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.after = after if after is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.after(torch.add(self.shortcut(x), self.branch(x)))
        return total
