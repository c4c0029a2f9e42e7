"""LSUV: scale initial weights until every layer has unit output variance on the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.inits.on_top import InitBelow, OnTop
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ablate.data.dataset import Spec


@register(
    "init",
    "lsuv",
    card=Card(
        "Orthogonal weights, scaled layer by layer to unit output variance.",
        source="Mishkin and Matas 2016, All you need is a good init",
        helps="For deep networks with any activation, without batch norm.",
        costs="A few forward passes over one batch before training.",
        interacts=(
            "The weights depend on the training set, so variants with different data start from different weights. "
            "Has little effect with batch norm."
        ),
    ),
)
class Lsuv(OnTop):
    """Initializes with ``of``, then repeats W ← W/√Var(output) for each linear and convolution layer, in forward order,
    until the variance is 1 ± ``tolerance``.

    The variance is over all outputs of a layer for one batch of the training set, in evaluation mode, after the tricks'
    changes to the network.
    """

    of: InitBelow = Field(default="orthogonal", description="the initialization to scale", validate_default=True)
    tolerance: Annotated[float, Range(gt=0)] = Field(
        default=0.01, description="maximum difference of the variance from 1"
    )
    tries: int = Field(default=10, ge=1, description="maximum number of iterations per layer")

    def wants_data(self) -> bool:
        return True

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        """A layer with constant output keeps its weights."""
        super().adapt(model, inputs, targets, spec)
        modes = {layer: layer.training for layer in model.modules()}
        model.eval()
        try:
            with torch.no_grad():
                for layer in in_running_order(model, inputs):
                    self._scale(model, layer, inputs)
        finally:
            for part, training in modes.items():
                part.training = training

    def _scale(self, model: nn.Module, layer: Any, inputs: Tensor) -> None:
        for _ in range(self.tries):
            variance = output_variance(model, layer, inputs)
            if not torch.isfinite(variance) or variance < 1e-12 or abs(variance - 1) <= self.tolerance:
                return
            layer.weight.div_(variance.sqrt())


def in_running_order(model: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """The linear and convolution layers of a network, in the order of a forward pass."""
    order: dict[nn.Module, None] = {}
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
    handles = [layer.register_forward_hook(lambda layer, *_: order.setdefault(layer)) for layer in layers]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def output_variance(model: nn.Module, layer: nn.Module, inputs: Tensor) -> Tensor:
    """The variance of all outputs of a layer in a forward pass, over all its calls; 0-d."""
    given: list[Tensor] = []
    # a copy, because the next layer may write to it
    handle = layer.register_forward_hook(lambda _, __, output: given.append(output.flatten().clone()))
    try:
        model(inputs)
    finally:
        handle.remove()
    return torch.cat(given).var(correction=0)
