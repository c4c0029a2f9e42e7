"""Segmentation heads that use context: pyramid pooling, dilated convolutions, feature pyramids, pyramid attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablate.models.activation import Activation
from ablate.models.blocks import convolution, layer, sequence
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn


def pyramid_pooling(n: int, channels: int, bins: Sequence[int], act: Activation) -> nn.Module:
    """The map concatenated with its averages over ``bins`` cells per side: (N, C, …) → (N, C + bins·(C/bins), …).

    Zhao et al. 2017, Pyramid Scene Parsing, figure 3.

    Convolutions after pools have a bias and no norm, because a norm over one cell of a small batch is not meaningful.
    """
    from ablate.layers.branches import Branches

    narrow = max(channels // len(bins), 1)
    pooled = {
        f"bins{side}": sequence(
            pool=layer("AdaptiveAvgPool", n, side), **_named(convolution(n, channels, narrow, 1, act, norm=False))
        )
        for side in bins
    }
    return Branches({"same": torch.nn.Identity(), **pooled})


def aspp(n: int, channels: int, width: int, dilations: Sequence[int], act: Activation, *, norm: bool) -> nn.Module:
    """A 1×1 convolution, 3×3 convolutions of each dilation and the global average in parallel, then 1×1: (N, C, …) →
    (N, width, …).

    Chen et al. 2017, Rethinking Atrous Convolution for Semantic Image Segmentation, figure 5.
    """
    from ablate.layers.branches import Branches

    branches: dict[str, nn.Module] = {"one": convolution(n, channels, width, 1, act, norm=norm)}
    for dilation in dilations:
        branches[f"dilation{dilation}"] = convolution(n, channels, width, 3, act, norm=norm, dilation=dilation)
    branches["picture"] = sequence(
        pool=layer("AdaptiveAvgPool", n, 1), **_named(convolution(n, channels, width, 1, act, norm=False))
    )
    joined = convolution(n, width * len(branches), width, 1, act, norm=norm)
    return sequence(context=Branches(branches), **_named(joined))


def feature_pyramid(
    n: int, stages: Sequence[nn.Module], channels: Sequence[int], width: int, act: Activation
) -> nn.Sequential:
    """Stages from fine to coarse, then back: the 1×1 convolution of each map plus the resized sum of the coarser one,
    finally 3×3. The output has the size of the finest map.

    Lin et al. 2017, Feature Pyramid Networks for Object Detection, figure 3; only the finest level is used.
    """
    from ablate.layers.branches import Branches

    below: nn.Module | None = None
    for i in reversed(range(len(stages))):
        lateral = layer("Conv", n, channels[i], width, 1)
        level = lateral if below is None else Branches({"lateral": lateral, "deeper": below}, merge="sum")
        below = sequence(stage=stages[i], level=level)
    assert below is not None
    return sequence(pyramid=below, **_named(convolution(n, width, width, 3, act, norm=False)))


def pyramid_attention(
    n: int, stages: Sequence[nn.Module], channels: Sequence[int], width: int, act: Activation
) -> nn.Module:
    """Feature pyramid attention on the coarsest map, then attention upsampling level by level: Li et al. 2018, Pyramid
    Attention Network.
    """
    from ablate.layers.branches import GlobalAttentionUpsample

    below: nn.Module = sequence(stage=stages[-1], attention=_attention(n, channels[-1], width, act))
    for i in reversed(range(len(stages) - 1)):
        low = convolution(n, channels[i], width, 3, act, norm=False)
        gate = sequence(pool=layer("AdaptiveAvgPool", n, 1), **_named(convolution(n, width, width, 1, act, norm=False)))
        below = sequence(stage=stages[i], level=GlobalAttentionUpsample(low, below, gate))
    return below


def _attention(n: int, channels: int, width: int, act: Activation) -> nn.Module:
    """Kernels of 7, 5 and 3 on maps of half, a quarter and an eighth of the size weight a 1×1 convolution; the global
    average is added (figure 3).
    """
    from ablate.layers.branches import Branches

    def conv(before: int, after: int, kernel: int) -> nn.Module:
        return convolution(n, before, after, kernel, act, norm=False)

    def half() -> nn.Module:
        # a map of one pixel does not shrink
        return layer("MaxPool", n, 2, ceil_mode=True)

    third = sequence(pool=half(), first=conv(width, width, 3), second=conv(width, width, 3))
    second = sequence(
        pool=half(),
        first=conv(width, width, 5),
        sum=Branches({"second": conv(width, width, 5), "deeper": third}, merge="sum"),
    )
    weights = sequence(
        pool=half(),
        first=conv(channels, width, 7),
        sum=Branches({"second": conv(width, width, 7), "deeper": second}, merge="sum"),
    )
    weighed = Branches({"value": conv(channels, width, 1), "weights": weights}, merge="product")
    picture = sequence(pool=layer("AdaptiveAvgPool", n, 1), value=conv(channels, width, 1))
    return Branches({"weighed": weighed, "picture": picture}, merge="sum")


def _named(block: nn.Sequential) -> dict[str, nn.Module]:
    return dict(block.named_children())
