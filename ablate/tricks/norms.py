"""Insert or replace norms in any network: batch, layer, instance and group norm."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.dropout import insert, is_from
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

    from ablate.layers.calls import Calls

Place = tuple["nn.Module", str, "nn.Module | None"]
"""A parent, the name of one of its convolutions or linear layers, and the norm that follows it, if any."""


class NormSwap(Trick):
    """Puts a norm after every convolution and hidden linear layer.

    In a Sequential without a norm, one is inserted (``conv1_norm``). An existing norm is replaced under the same name
    and keeps its scale and shift. For a layer that the code of another module calls, this is the next norm of its width
    that the network calls; if there is none, the layer itself gets one (``conv1.norm``), applied to its outputs. The
    network's last convolution or linear layer gets no norm. Biases before norms are kept, so parameter names do not
    change. Layers whose outputs are sequences or channels-last are left out, and so are those in torch's own modules,
    such as ``nn.TransformerEncoderLayer``.
    """

    name: ClassVar[str]

    stacked = True
    shorthand = "where"
    order = 55

    where: Literal["all", "conv", "hidden"] = Field(
        default="all", description="after convolutions (conv), hidden linear layers (hidden), or both (all)"
    )

    _left: list[str] = PrivateAttr(default_factory=list)

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if there is no suitable layer, or all have this norm already."""
        from ablate.layers.calls import calls_of
        from ablate.layers.dropout import follow

        calls = calls_of(model, self.context.spec.form)
        paths = {module: path for path, module in model.named_modules()}
        homes = {child: (parent, name) for parent in paths for name, child in parent._modules.items()}
        found = [place for place in places(model, calls) if self._wanted(place[0]._modules[place[1]])]
        changed: list[str] = []
        left: dict[str, list[str]] = {}
        for parent, name, old in found:
            layer = parent._modules[name]
            assert layer is not None
            if reason := self._against(parent, layer, old, calls):
                left.setdefault(reason, []).append(paths[layer])
                continue
            norm = self.norm(layer)
            if old is not None:
                parent, name = homes[old]
                if same(parent._modules[name], norm):
                    continue
                take_values(norm, parent._modules[name])
                norm.train(layer.training)
                parent._modules[name] = norm
                changed.append(f"{paths[parent]}.{name}".removeprefix("."))
            elif isinstance(parent, torch.nn.Sequential):
                insert(parent, name, f"{name}_norm", norm)
                changed.append(f"{paths[layer]}_norm")
            else:
                follow(layer, "norm", norm.train(layer.training))
                changed.append(f"{paths[layer]}.norm")
        self._left = [f"{', '.join(layers)} {reason}" for reason, layers in left.items()]
        if not changed:
            why = (
                "the network already has these norms"
                if found
                else "the network has no suitable convolution or hidden linear layer"
            )
            raise NoEffect(f"{self.name} has no effect: {'; '.join(self._left) or why}.")
        return model, changed

    def notes(self) -> Sequence[str]:
        return [f"no {self.name} after {left}" for left in self._left]

    def _against(self, parent: nn.Module, layer: nn.Module, old: nn.Module | None, calls: Calls) -> str | None:
        """Why a layer cannot have this norm, after its name; None if it can."""
        from ablate.layers.calls import of_library

        if of_library(parent) and not is_from(parent, "container"):
            return f"(in {type(parent).__name__})"
        if calls.error and old is None and not isinstance(parent, torch.nn.Sequential):
            return f"(outside an nn.Sequential, and the network cannot be tried: {calls.error})"
        if self.name == "layer_norm" and isinstance(layer, torch.nn.Linear):
            return None
        axes = 2 + dimensions(layer)
        outputs, inputs = calls.first(layer), calls.first(old)
        if outputs is not None and len(outputs.outputs) != axes:
            return f"(its outputs are {shown(outputs.outputs)}, not (N, features))"
        last = isinstance(old, torch.nn.LayerNorm) and axes > 2
        if inputs is not None and (last or len(inputs.inputs) != axes):
            return f"(the inputs of its {type(old).__name__} are {shown(inputs.inputs)}, in another layout)"
        return None

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


def places(model: nn.Module, calls: Calls) -> Iterator[Place]:
    """Every convolution and linear layer that the network calls, except the last one."""
    order = [call.layer for call in calls.layers if is_weighty(call.layer) or is_norm(call.layer)]
    weighty = [layer for layer in (model.modules() if calls.error else order) if is_weighty(layer)]
    seen: set[nn.Module] = set(weighty[-1:])
    for parent in list(model.modules()):
        children = list(parent._modules.values())
        for i, (name, layer) in enumerate(list(parent._modules.items())):
            if layer is None or layer in seen or layer not in weighty:
                continue
            seen.add(layer)
            by_name = calls.error or isinstance(parent, torch.nn.Sequential)
            after = children[i + 1 :] if by_name else order[order.index(layer) + 1 :]
            yield parent, name, next_norm(after, width(layer))


def next_norm(layers: Sequence[nn.Module | None], features: int) -> nn.Module | None:
    """The first norm before the next convolution or linear layer, if it has that width."""
    for layer in layers:
        if layer is not None and is_weighty(layer):
            return None
        if is_norm(layer):
            return layer if norm_width(layer) == features else None
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


def shown(shape: Sequence[int]) -> str:
    """The shape of a batch for an error: (N, 5, 8)."""
    return f"({', '.join(['N', *map(str, shape[1:])])})"


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
