"""What torch does by itself, paired by seed and name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.inits.init import Init, reset
from ablate.registry import Card, register

if TYPE_CHECKING:
    from torch import nn


@register(
    "init",
    "default",
    card=Card(
        "Torch's own initial values, the same for the same seed and name.",
        source="torch.nn layers' reset_parameters: uniform in ±1/√fan_in for linear and convolution layers",
        helps="Works for moderately deep networks of any kind.",
        costs="Smaller than He's: signals fade in deep networks of ReLU units.",
    ),
)
class Default(Init):
    """Every layer's ``reset_parameters`` with a generator keyed by (seed, layer name)."""

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        return reset(model, seed)
