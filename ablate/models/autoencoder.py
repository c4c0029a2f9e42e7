"""Autoencoders: encode to a narrow code and decode."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pydantic import Field

from ablate.models.activation import Activation, activation
from ablate.models.blocks import axes, check_side, layer, sequence
from ablate.models.mlp import Width
from ablate.models.model import Model
from ablate.models.size import check_memory, dense_parameters
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn


@register(
    "model",
    "autoencoder",
    card=Card(
        "Encodes the input into a low-dimensional code and decodes it.",
        source="Hinton and Salakhutdinov 2006, Reducing the Dimensionality of Data with Neural Networks",
        helps="To learn features without labels: train with the inputs as targets, then reuse the encoder.",
        costs="Learned features may not be useful for the target task.",
        interacts="The encoder's layers have the names of mlp and convnet, so from_weights can load them.",
    ),
)
class Autoencoder(Model):
    """``conv1``, ``conv_act1``, ``pool1``, …, ``flatten``, ``hidden1``, …, ``code``, ``code_act``, and reversed as
    ``decoder…`` up to ``output``.

    Returns (N, outputs); with ``channels``, the outputs are the flattened sample.
    """

    channels: tuple[Width, ...] = Field(
        default=(),
        description="channels of the convolutions before the hidden layers, each followed by 2x2 max pooling",
    )
    kernel: int = Field(default=3, ge=1, description="kernel size; zero padding keeps the image size")
    hidden: tuple[Width, ...] = Field(
        default=(100,), description="units of the encoder's hidden layers; the decoder has them in reverse order"
    )
    code: Width = Field(default=16, description="number of units of the code")
    activation: Activation = Field(default="relu", description="activation between the layers")

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        if self.channels:
            axes("autoencoder", input_shape)
            check_side("autoencoder", input_shape[1:], len(self.channels), "channels")
            if outputs != prod(input_shape):
                raise ValueError(
                    f"model.channels (={list(self.channels)}) requires {prod(input_shape)} "
                    f"outputs, the values of a sample, but there are {outputs} targets. Set data.reconstruct: true, "
                    "or remove 'channels'."
                )

    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Raises ValueError if convolutions are used with outputs other than the sample, or samples are too small."""
        self.check_shape(input_shape, outputs)
        if self.channels:
            n = len(input_shape) - 1
            sides = tuple(side // 2 ** len(self.channels) for side in input_shape[1:])
            flat = self.channels[-1] * prod(sides)
        else:
            n, sides, flat = 0, (), prod(input_shape)
        widths = (flat, *self.hidden, self.code, *reversed(self.hidden), flat if self.channels else outputs)
        check_memory("model.hidden", list(self.hidden), dense_parameters(widths))

        layers: dict[str, nn.Module] = {}
        maps = (input_shape[0], *self.channels)
        for i in range(1, len(maps)):
            layers[f"conv{i}"] = layer("Conv", n, maps[i - 1], maps[i], self.kernel, padding="same")
            layers[f"conv_act{i}"] = activation(self.activation)
            layers[f"pool{i}"] = layer("MaxPool", n, 2)
        layers["flatten"] = torch.nn.Flatten()
        depth = len(self.hidden)
        names = [f"hidden{i}" for i in range(1, depth + 1)] + ["code"] + [f"decoder{i}" for i in range(1, depth + 1)]
        for i, name in enumerate(names):
            layers[name] = torch.nn.Linear(widths[i], widths[i + 1])
            layers[f"{name}_act"] = activation(self.activation)
        if not self.channels:
            layers["output"] = torch.nn.Linear(widths[-2], outputs)
            return sequence(**layers)
        layers["spread"] = torch.nn.Linear(widths[-2], flat)
        layers["spread_act"] = activation(self.activation)
        layers["maps"] = torch.nn.Unflatten(1, (self.channels[-1], *sides))
        for i in range(len(maps) - 1, 0, -1):
            below = tuple(side // 2 ** (i - 1) for side in input_shape[1:])
            layers[f"grow{i}"] = torch.nn.Upsample(size=below)
            last = i == 1
            layers["output" if last else f"decoder_conv{i}"] = layer(
                "Conv", n, maps[i], maps[i - 1], self.kernel, padding="same"
            )
            if not last:
                layers[f"decoder_conv_act{i}"] = activation(self.activation)
        layers["flat"] = torch.nn.Flatten()
        return sequence(**layers)
