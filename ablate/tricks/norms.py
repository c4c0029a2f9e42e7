"""Insert or replace norms in any network: batch, layer, instance and group norm."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.dropout import insert, is_from
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

Place = tuple["nn.Module", str, str | None]
"""A parent, the name of one of its convolutions or linear layers, and the name of the norm that follows it, if any."""


class NormSwap(Trick):
    """Puts a norm after every convolution and hidden linear layer.

    In a Sequential without a norm, one is inserted (``conv1_norm``). An existing norm is replaced under the same name
    and keeps its scale and shift, also after a layer of the same width in any other module. The network's last
    convolution or linear layer gets no norm. Biases before norms are kept, so parameter names do not change. Inputs of
    linear layers must be (N, features), not sequences.
    """

    name: ClassVar[str]

    stacked = True
    shorthand = "where"
    order = 55

    where: Literal["all", "conv", "hidden"] = Field(
        default="all", description="after convolutions (conv), hidden linear layers (hidden), or both (all)"
    )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if there is no suitable layer, or all have this norm already."""
        paths = {module: path for path, module in model.named_modules()}
        found = [place for place in places(model) if self._wanted(place[0]._modules[place[1]])]
        changed = []
        for parent, name, old in found:
            layer = parent._modules[name]
            assert layer is not None
            norm = self.norm(layer)
            if old is None:
                insert(parent, name, f"{name}_norm", norm)  # type: ignore[arg-type]
            elif same(parent._modules[old], norm):
                continue
            else:
                take_values(norm, parent._modules[old])
                norm.train(layer.training)
                parent._modules[old] = norm
            changed.append(f"{paths[parent]}.{old or f'{name}_norm'}".removeprefix("."))
        if not changed:
            why = (
                "the network already has these norms"
                if found
                else "the network has no suitable convolution or hidden linear layer"
            )
            raise NoEffect(f"{self.name} has no effect: {why}.")
        return model, changed

    @abstractmethod
    def norm(self, layer: nn.Module) -> nn.Module:
        """A new norm for the outputs of a convolution or linear layer, on its device."""

    def _wanted(self, layer: nn.Module | None) -> bool:
        convolution = is_from(layer, "conv")
        return self.where in ("all", "conv" if convolution else "hidden")


@register(
    "trick",
    "batch_norm",
    card=Card(
        "Normalizes each channel over the batch, during training.",
        source="Ioffe and Szegedy 2015, Batch Normalization: Accelerating Deep Network Training",
        helps="Faster training, larger learning rates, fewer dead ReLUs.",
        costs=(
            "Works poorly with batches of 2 to 4 samples and not with 1. With hidden linear layers, a batch size "
            "that leaves one sample for the last batch is an error."
        ),
        interacts=(
            "Statistics differ between training and evaluation; dropout before it shifts them. Weight decay before "
            "it has little meaning."
        ),
    ),
)
class BatchNorm(NormSwap):
    """Mean and variance over (N, H, W) per channel, for linear layers over N per unit.

    Evaluation uses running statistics.
    """

    name = "batch_norm"
    examples = ({}, {"where": "hidden"})

    def norm(self, layer: nn.Module) -> nn.Module:
        kind = getattr(torch.nn, f"BatchNorm{max(dimensions(layer), 1)}d")
        made: nn.Module = kind(width(layer), **like(layer))
        return made


@register(
    "trick",
    "layer_norm",
    card=Card(
        "Normalizes each sample over all channels and spatial positions.",
        source="Ba et al. 2016, Layer Normalization",
        helps="For any batch size; training and evaluation are the same.",
        costs="Usually worse than batch norm in convolutional networks.",
        interacts=(
            "In convolutional networks it is group norm with one group: one scale and shift per channel, not per pixel."
        ),
    ),
)
class LayerNorm(NormSwap):
    """Mean and variance over (C, H, W) per sample, for linear layers over the units."""

    name = "layer_norm"
    examples = ({}, {"where": "conv"})

    def norm(self, layer: nn.Module) -> nn.Module:
        if dimensions(layer):
            return torch.nn.GroupNorm(1, width(layer), **like(layer))
        return torch.nn.LayerNorm(width(layer), **like(layer))


@register(
    "trick",
    "instance_norm",
    card=Card(
        "Normalizes each channel of each sample over its spatial positions.",
        source="Ulyanov et al. 2016, Instance Normalization: The Missing Ingredient for Fast Stylization",
        helps="When the contrast and style of an image should not matter.",
        costs="Removes the strength of a feature in an image, which classification often needs.",
        interacts="Cancels most of a change of brightness or contrast. Feature maps of one pixel become 0.",
    ),
)
class InstanceNorm(NormSwap):
    """Mean and variance over (H, W) per sample and channel, with one scale and shift per channel.

    Not applied to linear layers.
    """

    name = "instance_norm"

    def norm(self, layer: nn.Module) -> nn.Module:
        kind = getattr(torch.nn, f"InstanceNorm{dimensions(layer)}d")
        made: nn.Module = kind(width(layer), affine=True, **like(layer))
        return made

    def _wanted(self, layer: nn.Module | None) -> bool:
        return is_from(layer, "conv") and super()._wanted(layer)


@register(
    "trick",
    "group_norm",
    card=Card(
        "Normalizes each sample over groups of its channels.",
        source="Wu and He 2018, Group Normalization",
        helps="For small batches: it does not use other samples.",
        costs="Often slightly worse than batch norm with large batches.",
        interacts="One group equals layer norm; one group per channel equals instance norm.",
    ),
)
class GroupNorm(NormSwap):
    """Mean and variance over (C/g, H, W) per sample and group; g is the greatest common divisor of ``groups`` and the
    number of channels. Raises ValueError if a group would be a single feature of a linear layer.
    """

    name = "group_norm"
    examples = ({"groups": 4}, {"groups": 2, "where": "conv"})

    groups: int = Field(
        default=32, ge=1, description="number of groups; reduced to a divisor of the number of channels"
    )

    def norm(self, layer: nn.Module) -> nn.Module:
        channels = width(layer)
        groups = math.gcd(self.groups, channels)
        if isinstance(layer, torch.nn.Linear) and groups == channels:
            raise ValueError(
                f"group_norm.groups (={self.groups}) makes each of the {channels} features of a linear layer a group, "
                "which is normalized to 0. Groups must have at least two features. Use fewer groups, or 'where: conv'."
            )
        return torch.nn.GroupNorm(groups, channels, **like(layer))


def places(model: nn.Module) -> Iterator[Place]:
    """Every convolution and linear layer, except the network's last, that is in a Sequential or is followed by a norm
    of its width.
    """
    weighty = [module for module in model.modules() if is_weighty(module)]
    seen: set[nn.Module] = set(weighty[-1:])
    for parent in list(model.modules()):
        children = list(parent._modules.items())
        for i, (name, layer) in enumerate(children):
            if layer is None or not is_weighty(layer) or layer in seen:
                continue
            seen.add(layer)
            old = next_norm(children[i + 1 :], width(layer))
            if old is not None or isinstance(parent, torch.nn.Sequential):
                yield parent, name, old


def next_norm(children: Sequence[tuple[str, nn.Module | None]], features: int) -> str | None:
    """The name of the first norm before the next convolution or linear layer, if it has that width."""
    for name, layer in children:
        if layer is not None and is_weighty(layer):
            return None
        if is_norm(layer):
            return name if norm_width(layer) == features else None
    return None


def is_weighty(layer: nn.Module) -> bool:
    """Whether a layer is a convolution or linear layer."""
    return is_from(layer, "conv") or isinstance(layer, torch.nn.Linear)


def is_norm(layer: nn.Module | None) -> bool:
    """Whether a layer is a norm that this module can replace."""
    return is_from(layer, "batchnorm", "instancenorm") or isinstance(layer, torch.nn.GroupNorm | torch.nn.LayerNorm)


def norm_width(norm: Any) -> int | None:
    """The number of channels of a norm; None for a layer norm over several axes."""
    if isinstance(norm, torch.nn.LayerNorm):
        return norm.normalized_shape[0] if len(norm.normalized_shape) == 1 else None
    return int(norm.num_channels if isinstance(norm, torch.nn.GroupNorm) else norm.num_features)


def width(layer: Any) -> int:
    """The number of outputs of a convolution or linear layer."""
    return int(layer.out_features if isinstance(layer, torch.nn.Linear) else layer.out_channels)


def dimensions(layer: nn.Module) -> int:
    """The number of spatial axes: 2 for a convolution over images, 0 for a linear layer."""
    return 0 if isinstance(layer, torch.nn.Linear) else layer.weight.dim() - 2  # type: ignore[operator]


def like(layer: Any) -> dict[str, Any]:
    """The device and dtype of a layer."""
    return {"device": layer.weight.device, "dtype": layer.weight.dtype}


def same(old: Any, new: Any) -> bool:
    """Whether two norms of one width compute the same, apart from their parameters."""
    return type(old) is type(new) and getattr(old, "num_groups", 0) == getattr(new, "num_groups", 0)


def take_values(new: Any, old: Any) -> None:
    """Copy scale and shift if both norms have them."""
    for name in ("weight", "bias"):
        values, target = getattr(old, name, None), getattr(new, name, None)
        if values is not None and target is not None and not values.is_meta:
            target.data.copy_(values.data)
