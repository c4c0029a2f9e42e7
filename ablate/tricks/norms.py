"""Norms put in, or swapped for each other, in any network: batch, layer, instance and group norm."""

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
"""A parent, the name of one of its convolutions or linear layers, and that of the norm which follows it, if one does."""


class NormSwap(Trick):
    """A norm behind every convolution and hidden linear layer.

    Inserted where a Sequential has none (``conv1_norm``); a norm that stands there, or behind such a layer of the same width in any other module, is replaced
    under its own name, its scale and shift kept. The network's last convolution or linear layer gets none. Biases before norms stay, so names stay too.
    Linear layers must see (N, features), not sequences.
    """

    name: ClassVar[str]

    stacked = True
    shorthand = "where"
    order = 55

    where: Literal["all", "conv", "hidden"] = Field(
        default="all", description="behind convolutions, hidden linear layers, or both"
    )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` where there is no place for it, or such a norm is there already."""
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
            why = "they are there already" if found else "the network has no layer that one could stand behind"
            raise NoEffect(f"{self.name} changes nothing: {why}.")
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
        "Normalises each channel over the batch, in training.",
        source="Ioffe and Szegedy 2015, Batch Normalization: Accelerating Deep Network Training",
        helps="Speeds training up, allows larger rates, fewer dead ReLUs.",
        costs="Bad at batches of 2 to 4, impossible at 1: with hidden linear layers, a batch size that leaves one sample for the last is refused.",
        interacts="Statistics differ between training and evaluation; dropout before it shifts them. Weight decay before it has little meaning.",
    ),
)
class BatchNorm(NormSwap):
    """Mean and variance over (N, H, W), for each channel; of linear layers over N, for each unit. Running means in evaluation."""

    name = "batch_norm"

    def norm(self, layer: nn.Module) -> nn.Module:
        kind = getattr(torch.nn, f"BatchNorm{max(dimensions(layer), 1)}d")
        made: nn.Module = kind(width(layer), **like(layer))
        return made


@register(
    "trick",
    "layer_norm",
    card=Card(
        "Normalises each sample over all its channels and places.",
        source="Ba et al. 2016, Layer Normalization",
        helps="Any batch size; training and evaluation do the same.",
        costs="In convolutions mostly behind batch norm.",
        interacts="In convolutions it is group norm with one group: a scale and shift for each channel, not for each pixel.",
    ),
)
class LayerNorm(NormSwap):
    """Mean and variance over (C, H, W), for each sample; of linear layers over their units."""

    name = "layer_norm"

    def norm(self, layer: nn.Module) -> nn.Module:
        if dimensions(layer):
            return torch.nn.GroupNorm(1, width(layer), **like(layer))
        return torch.nn.LayerNorm(width(layer), **like(layer))


@register(
    "trick",
    "instance_norm",
    card=Card(
        "Normalises each channel of each sample over its places.",
        source="Ulyanov et al. 2016, Instance Normalization: The Missing Ingredient for Fast Stylization",
        helps="Where contrast and style of a single picture should not matter.",
        costs="Throws away how strong a feature is in a picture, which classification often needs.",
        interacts="Makes brightness and contrast changes of whole pictures mostly void. Maps of one pixel become 0.",
    ),
)
class InstanceNorm(NormSwap):
    """Mean and variance over (H, W), for each sample and channel, with a scale and shift for each channel. Linear layers have no places and get none."""

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
        "Normalises each sample over groups of its channels.",
        source="Wu and He 2018, Group Normalization",
        helps="Small batches: it does not look at other samples.",
        costs="At large batches often a little behind batch norm.",
        interacts="One group is layer norm, a group for each channel instance norm.",
    ),
)
class GroupNorm(NormSwap):
    """Mean and variance over (C/g, H, W), for each sample and group; g is the greatest common divisor of ``groups`` and the channels."""

    name = "group_norm"

    groups: int = Field(default=32, ge=1, description="groups of channels, where the channels can be divided so")

    def norm(self, layer: nn.Module) -> nn.Module:
        channels = width(layer)
        return torch.nn.GroupNorm(math.gcd(self.groups, channels), channels, **like(layer))


def places(model: nn.Module) -> Iterator[Place]:
    """Every convolution and linear layer but the network's last that stands in a Sequential, or in another module with a norm of its width behind it."""
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
    """The name of the first norm before the next convolution or linear layer, if it is of that width."""
    for name, layer in children:
        if layer is not None and is_weighty(layer):
            return None
        if is_norm(layer):
            return name if norm_width(layer) == features else None
    return None


def is_weighty(layer: nn.Module) -> bool:
    """Whether a layer is a convolution or a linear one."""
    return is_from(layer, "conv") or isinstance(layer, torch.nn.Linear)


def is_norm(layer: nn.Module | None) -> bool:
    """Whether a layer is one of the norms of torch that this file swaps."""
    return is_from(layer, "batchnorm", "instancenorm") or isinstance(layer, torch.nn.GroupNorm | torch.nn.LayerNorm)


def norm_width(norm: Any) -> int | None:
    """The channels of a norm, None for a layer norm over several axes."""
    if isinstance(norm, torch.nn.LayerNorm):
        return norm.normalized_shape[0] if len(norm.normalized_shape) == 1 else None
    return int(norm.num_channels if isinstance(norm, torch.nn.GroupNorm) else norm.num_features)


def width(layer: Any) -> int:
    """The outputs of a convolution or linear layer."""
    return int(layer.out_features if isinstance(layer, torch.nn.Linear) else layer.out_channels)


def dimensions(layer: nn.Module) -> int:
    """The axes of places: 2 for a picture's convolution, 0 for a linear layer."""
    return 0 if isinstance(layer, torch.nn.Linear) else layer.weight.dim() - 2  # type: ignore[operator]


def like(layer: Any) -> dict[str, Any]:
    """Where a new norm's values belong."""
    return {"device": layer.weight.device, "dtype": layer.weight.dtype}


def same(old: Any, new: Any) -> bool:
    """Whether two norms of one width compute the same but for their values."""
    return type(old) is type(new) and getattr(old, "num_groups", 0) == getattr(new, "num_groups", 0)


def take_values(new: Any, old: Any) -> None:
    """Copy scale and shift where both norms have them."""
    for name in ("weight", "bias"):
        values, target = getattr(old, name, None), getattr(new, name, None)
        if values is not None and target is not None and not values.is_meta:
            target.data.copy_(values.data)
