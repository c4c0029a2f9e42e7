"""The contract of an initialisation: initial values depend on (seed, parameter name, shape) only."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ablate.registry import Named
from ablate.registry.lazy import torch
from ablate.tricks.noise import generator

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn


class Init(Named):
    """Base of all initialisations of weight matrices and kernels; ``bias`` says what becomes of the biases beside them."""

    bias: Literal["zeros"] = Field(default="zeros", description="initial biases")

    @abstractmethod
    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Overwrite a weight (out, in, …) in place from the generator."""

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        """Initialise every linear and convolution layer of a network; returns the names of the weights that were set."""
        done = []
        layers = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
        with torch.no_grad():
            for name, layer in model.named_modules():
                if isinstance(layer, layers):
                    self.fill(layer.weight, generator(seed, f"init/{name}.weight"))
                    if layer.bias is not None:
                        layer.bias.zero_()
                    done.append(f"{name}.weight")
        return done
