"""A residual block: the input plus the output of a branch."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


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
