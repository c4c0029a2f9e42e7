"""Depthwise separable convolutions: split a convolution into a depthwise and a pointwise one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn


@register(
    "trick",
    "separable",
    card=Card(
        "Splits convolutions into depthwise and pointwise convolutions.",
        source="Sifre and Mallat 2014; Chollet 2017, Xception; Howard et al. 2017, MobileNets",
        helps="When parameters and multiplications should be reduced at a similar loss.",
        costs=(
            "Less expressive layers. Depthwise convolutions use the hardware poorly, so time shrinks less than the "
            "number of parameters."
        ),
        interacts=(
            "The new weights are computed from the original weights, so they depend on init, stay paired with the "
            "parent and keep the variance of the signal."
        ),
    ),
)
class Separable(Trick):
    """A convolution (out, in, k, …) becomes ``depthwise`` (in, 1, k, …) and ``pointwise`` (out, in, 1, …) in a
    Sequential of the same name.

    1×1, grouped and transposed convolutions are not split. Neither is the network's first convolution, whose channels
    are too few, unless ``first: true``. The depthwise convolution has the stride, padding and dilation, the pointwise
    one has the bias.
    """

    stacked = True
    order = 53
    examples = ({}, {"first": True})

    first: bool = Field(default=False, description="split the network's first convolution too")

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if no convolution can be split."""
        paths = {module: path for path, module in model.named_modules()}
        kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)
        convolutions = [module for module in model.modules() if type(module) in kinds]
        chosen = {
            layer
            for layer in convolutions[0 if self.first else 1 :]
            if layer.groups == 1 and prod(layer.kernel_size) > 1  # type: ignore[arg-type]
        }
        changed = []
        new: dict[nn.Module, nn.Module] = {}
        for parent in list(model.modules()):
            for name, layer in list(parent._modules.items()):
                if layer in chosen:
                    assert layer is not None
                    if layer not in new:
                        new[layer] = split(layer)
                    parent._modules[name] = new[layer]
                    changed.append(f"{paths[parent]}.{name}".removeprefix("."))
        if not changed:
            raise NoEffect("separable has no effect: the network has no convolution to split.")
        return model, changed


def split(layer: Any) -> nn.Module:
    """Split a convolution; the new weights are entries of the original ones, scaled so that the output variance does
    not change.

    With weights of variance v, depthwise kernels are scaled to the variance 1/window, pointwise weights (one tap of
    each kernel) to v·window.
    """
    from ablate.models.blocks import sequence

    weight = layer.weight
    like = {"device": weight.device, "dtype": weight.dtype}
    kind = type(layer)
    depthwise = kind(
        layer.in_channels,
        layer.in_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        groups=layer.in_channels,
        bias=False,
        padding_mode=layer.padding_mode,
        **like,
    )
    pointwise = kind(layer.in_channels, layer.out_channels, 1, bias=layer.bias is not None, **like)
    if not weight.is_meta:
        window = prod(layer.kernel_size)
        channel = torch.arange(layer.in_channels, device=weight.device)
        with torch.no_grad():
            variance = weight.square().mean().clamp(min=torch.finfo(weight.dtype).tiny)
            depthwise.weight.copy_(
                (weight[channel % layer.out_channels, channel] / (variance * window).sqrt()).unsqueeze(1)
            )
            tap = weight.flatten(2)[..., :1] * window**0.5
            pointwise.weight.copy_(tap.reshape(pointwise.weight.shape))
            if layer.bias is not None:
                pointwise.bias.copy_(layer.bias)
    for part in (depthwise, pointwise):
        part.weight.requires_grad_(weight.requires_grad)
    return sequence(depthwise=depthwise, pointwise=pointwise).train(layer.training)
