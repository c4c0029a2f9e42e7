"""Replace the activations of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from ablate.models.activation import CLASSES, Activation, activation
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

OTHERS = ("ReLU6", "CELU", "SELU", "Mish", "Softplus", "Softsign", "Hardtanh", "Hardswish", "Hardsigmoid", "LogSigmoid")
"""Further activations of torch.nn that are replaced, although `kind` does not offer them."""


@register(
    "trick",
    "activation",
    card=Card(
        "Replaces every activation of the network.",
        source=(
            "Nair and Hinton 2010 (relu); Clevert et al. 2016 (elu); He et al. 2015 (prelu); Xu et al. 2015 (rrelu); "
            "torch.nn"
        ),
        helps="When comparing activation functions in any network.",
        costs="The best initialization depends on the activation: tune both together.",
        interacts=(
            "prelu adds one parameter per layer, which should be excluded from weight decay. rrelu samples its "
            "slopes during training."
        ),
    ),
)
class ActivationSwap(Trick):
    """Replaces every activation layer by ``kind`` under the same name.

    Softmax and functions called in a module's code are not replaced.
    """

    stacked = True
    shorthand = "kind"
    order = 54
    examples = ({}, {"kind": "rrelu"})

    kind: Activation = Field(default="tanh", description="the new activation")

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if the network has no other activation."""
        from ablate.layers.dropout import NoisyRReLU

        old = (NoisyRReLU, *(getattr(torch.nn, name) for name in (*CLASSES.values(), *OTHERS)))
        target = NoisyRReLU if self.kind == "rrelu" else getattr(torch.nn, CLASSES[self.kind])
        paths = {module: path for path, module in model.named_modules()}
        place = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.empty(0))
        new: dict[nn.Module, nn.Module] = {}
        changed = []
        for parent in list(model.modules()):
            for name, layer in list(parent._modules.items()):
                if layer is None or type(layer) not in old or type(layer) is target:
                    continue
                if layer not in new:
                    made = NoisyRReLU() if self.kind == "rrelu" else activation(self.kind)
                    new[layer] = made.to(device=place.device, dtype=place.dtype).train(layer.training)
                parent._modules[name] = new[layer]
                changed.append(f"{paths[parent]}.{name}".removeprefix("."))
        if not changed:
            raise NoEffect(f"activation has no effect: the network has no activation layer other than {self.kind}.")
        return model, changed
