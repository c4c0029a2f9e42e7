"""Fully connected networks."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.models.activation import Activation, activation
from ablate.models.size import Sized, check_memory, dense_parameters, scaled
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Field(ge=1)]


def dense_layers(widths: tuple[int, ...], act: Activation, prefix: str = "") -> dict[str, nn.Module]:
    """Linear layers ``hidden1``, … each with its activation ``act1``, …, and ``output`` without one.

    ``widths`` starts with the inputs and ends with the outputs; ``prefix`` is the prefix of the activations' names.
    """
    layers: dict[str, nn.Module] = {}
    for i, (before, after) in enumerate(pairwise(widths[:-1]), start=1):
        layers[f"hidden{i}"] = torch.nn.Linear(before, after)
        layers[f"{prefix}act{i}"] = activation(act)
    layers["output"] = torch.nn.Linear(widths[-2], widths[-1])
    return layers


@register(
    "model",
    "mlp",
    card=Card(
        "Fully connected layers, for any input.",
        source="Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors",
        helps="As a baseline; for tables and small images.",
        costs="Every pixel has its own weights: large images need many, and generalize poorly.",
    ),
)
class Mlp(Sized):
    """``flatten``, then ``hidden1``, ``act1``, …, ``output``; samples of any shape are flattened."""

    hidden: tuple[Width, ...] = Field(default=(100,), description="units of each hidden layer; []: a linear model")
    activation: Activation = Field(default="relu", description="activation between the layers")

    def in_proportion(self, factor: float) -> Mlp:
        return self.model_copy(update={"hidden": scaled(self.hidden, factor)})

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if ``parameters`` cannot be reached."""
        if self.parameters is not None:
            return self.sized(input_shape, outputs).build(input_shape, outputs)
        widths = (prod(input_shape), *self.hidden, outputs)
        check_memory("model.hidden", list(self.hidden), dense_parameters(widths))
        layers = {"flatten": torch.nn.Flatten(), **dense_layers(widths, self.activation)}
        return torch.nn.Sequential(OrderedDict(layers))
