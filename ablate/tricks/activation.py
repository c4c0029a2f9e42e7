"""Replace the activations of any network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.models.activation import CLASSES, Activation, activation
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

OTHERS = ("ReLU6", "CELU", "SELU", "Mish", "Softplus", "Softsign", "Hardtanh", "Hardswish", "Hardsigmoid", "LogSigmoid")
"""Further activations of torch.nn that are replaced, although `kind` does not offer them."""

FUNCTIONS = {*CLASSES, *(name.lower() for name in OTHERS)}
"""The names of the functions of these activations in torch and torch.nn.functional."""


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
    """Replaces every activation layer by ``kind`` under the same name, and every function that a module keeps as an
    attribute, such as ``self.act = F.relu``.

    Softmax is not replaced. Functions called in a module's code cannot be; a note lists them.
    """

    stacked = True
    shorthand = "kind"
    order = 54
    examples = ({}, {"kind": "rrelu"})

    kind: Activation = Field(default="tanh", description="the new activation")

    _called: list[str] = PrivateAttr(default_factory=list)

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if the network has no other activation that can be replaced."""
        from ablate.layers.calls import calls_of
        from ablate.layers.dropout import NoisyRReLU

        old = (NoisyRReLU, *(getattr(torch.nn, name) for name in (*CLASSES.values(), *OTHERS)))
        target = NoisyRReLU if self.kind == "rrelu" else getattr(torch.nn, CLASSES[self.kind])
        functions = {
            id(getattr(home, name)): name
            for home in (torch, torch.nn.functional)
            for name in FUNCTIONS
            if hasattr(home, name)
        }
        paths = {module: path for path, module in model.named_modules()}
        place = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.empty(0))
        new: dict[nn.Module, nn.Module] = {}
        changed: list[str] = []

        def made(training: bool) -> nn.Module:
            layer = NoisyRReLU() if self.kind == "rrelu" else activation(self.kind)
            return layer.to(device=place.device, dtype=place.dtype).train(training)

        for parent in list(model.modules()):
            before = len(changed)
            for name, layer in list(parent._modules.items()):
                if layer is None or type(layer) not in old or type(layer) is target:
                    continue
                if layer not in new:
                    new[layer] = made(layer.training)
                parent._modules[name] = new[layer]
                changed.append(f"{paths[parent]}.{name}".removeprefix("."))
            for name, value in list(vars(parent).items()):
                if functions.get(id(value), self.kind) != self.kind:
                    setattr(parent, name, made(parent.training))
                    changed.append(f"{paths[parent]}.{name}".removeprefix("."))
            if len(changed) > before and isinstance(parent, torch.nn.TransformerEncoderLayer):
                parent.activation_relu_or_gelu = 0  # no fast path in evaluation, which would use the old activation
        self._called = calls_of(model, self.context.spec.form, FUNCTIONS - {self.kind}).functions
        if not changed:
            why = (
                f"the network's code calls {', '.join(self._called)}. Use a layer instead, such as nn.ReLU"
                if self._called
                else f"the network has no activation layer other than {self.kind}"
            )
            raise NoEffect(f"activation has no effect: {why}.")
        return model, changed

    def notes(self) -> Sequence[str]:
        return [f"activation does not replace {', '.join(self._called)}, which are not layers"] if self._called else []
