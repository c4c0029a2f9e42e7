"""Shared code of tricks on images: check the data, choose samples, recognize masks, move keypoints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from ablate.data.dataset import check_channels_first
from ablate.registry.fields import Range
from ablate.schedules import Scheduled

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise

Share = Annotated[Scheduled[float], Range(ge=0, le=1)]
"""A fraction of each batch, from 0 to 1."""


def check_pictures(trick: str, spec: Spec, *, volumes: bool = False) -> None:
    """Raise ValueError (one line) unless samples are images (C, H, W) or, if allowed, volumes (C, D, H, W)."""
    if len(spec.input_shape) not in ((3, 4) if volumes else (3,)):
        wanted = "images (C, H, W) or volumes (C, D, H, W)" if volumes else "images (C, H, W)"
        raise ValueError(
            f"trick (={trick}) requires {wanted}, but samples have shape {spec.input_shape}. Remove it, or use "
            "image data."
        )
    check_channels_first(spec.input_shape, f"trick (={trick})")


def choose(noise: Noise, samples: int, share: float) -> Tensor:
    """The samples of a batch to change, bool (..., N): ``share · N`` of them, at random in every batch.

    If this is not a whole number, one more with the probability of its fraction, so that each sample is changed with
    probability ``share`` at every batch size.
    """
    order, count = noise.permutation(samples), share * samples
    if abs(count - round(count)) < 1e-9:  # 0.57 · 100 is 56.99999999999999
        return order < round(count)
    return order < math.floor(count) + (noise.uniform(1) < count % 1).int()


def cover_pictures(batch: Batch) -> bool:
    """Whether targets are masks: (..., N, H, W) or (..., N, K, H, W) of the image size, for volumes with D before H.

    This includes flattened images (see `flattened`).
    """
    axes = len(batch.spec.input_shape) - 1
    masks = batch.targets.dim() >= batch.inputs.dim() - 1 and batch.targets.shape[-axes:] == batch.inputs.shape[-axes:]
    return masks or flattened(batch)


def flattened(batch: Batch) -> bool:
    """Whether targets are flattened images (..., N, C·H·W), as those of an autoencoder."""
    spec = batch.spec
    alike = spec.task == "regression" and spec.keypoints is None and spec.outputs == math.prod(spec.input_shape)
    return alike and batch.targets.shape[-1] == spec.outputs


def as_planes(masks: Tensor, batch: Batch) -> Tensor:
    """A view of masks as images (..., N, K, H, W) or volumes, with K = 1 if they have no such axis."""
    if flattened(batch):
        return masks.view(*masks.shape[:-1], *batch.spec.input_shape)
    return masks.unsqueeze(-len(batch.spec.input_shape)) if masks.dim() < batch.inputs.dim() else masks


def in_unit_of_data(batch: Batch, move: Callable[[Tensor], Tensor]) -> Tensor:
    """The keypoints of a batch after ``move``, which gets them in the unit of the data: targets may be normalized."""
    scaling = batch.spec.target_scaling
    return move(batch.targets) if scaling is None else scaling.scaled(move(scaling.original(batch.targets)))
