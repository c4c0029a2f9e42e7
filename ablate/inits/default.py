"""PyTorch's default initialization, keyed by seed and layer name."""

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
        "PyTorch's default initialization, the same for each seed and layer name.",
        source="torch.nn layers' reset_parameters: uniform in ±1/√fan_in for linear and convolution layers",
        helps="For moderately deep networks of any kind.",
        costs="Smaller weights than He initialization: signals fade in deep ReLU networks.",
    ),
)
class Default(Init):
    """Calls every layer's ``reset_parameters`` with a generator keyed by (seed, layer name)."""

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        return reset(model, seed)
