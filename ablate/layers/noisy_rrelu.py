"""Randomized leaky ReLU whose random numbers are keyed by the seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.layers.noisy_dropout import NoisyDropout


class NoisyRReLU(NoisyDropout):
    """x if x ≥ 0, else a·x; a is uniform in [lower, upper) per unit in training, and their mean in evaluation (Xu et
    al. 2015).

    Slopes are drawn like the masks of `NoisyDropout`: from the seed's stream, and outside vmap in a stack.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        super().__init__(0.0)
        self.lower, self.upper = lower, upper

    def draw(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Slopes of ``shape``; (R, *shape) for the stream of a stack."""
        numbers = self.noise.uniform(*shape) if self.noise is not None else torch.rand(*shape, device=device)
        return numbers.to(dtype).mul_(self.upper - self.lower).add_(self.lower)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.leaky_relu(x, (self.lower + self.upper) / 2)
        slope = next(self.masks) if self.masks is not None else self.draw(self.mask_shape(x), x.dtype, x.device)
        return torch.where(x >= 0, x, x * slope)

    def extra_repr(self) -> str:
        return f"lower={self.lower:g}, upper={self.upper:g}"
