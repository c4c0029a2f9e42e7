"""What tricks on pictures share: what they ask of the data, which samples they touch, which targets are masks."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Annotated

from ablate.registry.fields import Range
from ablate.schedules import Scheduled

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise

Share = Annotated[Scheduled[float], Range(ge=0, le=1)]
"""A share of each batch, from 0 to 1."""


def check_pictures(trick: str, spec: Spec, *, volumes: bool = False) -> None:
    """Raise ValueError in one line unless samples are pictures (C, H, W), or where a trick takes them volumes (C, D, H, W)."""
    if len(spec.input_shape) not in ((3, 4) if volumes else (3,)):
        wanted = "pictures (C, H, W) or volumes (C, D, H, W)" if volumes else "pictures (C, H, W)"
        raise ValueError(
            f"trick (={trick}) needs {wanted}; the data's samples have shape {spec.input_shape}. Drop it, or use data of pictures."
        )


def choose(noise: Noise, samples: int, share: float) -> Tensor:
    """Which samples of a batch a trick touches, bool (..., N): exactly ``round(share · N)``, others every time."""
    return noise.permutation(samples) < round(share * samples)


def cover_pictures(batch: Batch) -> bool:
    """Whether targets are masks: (..., N, H, W) or (..., N, K, H, W) with the pictures' own sides, one number for each pixel; of volumes with a D more.

    Pictures in a row (`flattened`) are some too.
    """
    axes = len(batch.spec.input_shape) - 1
    masks = batch.targets.dim() >= batch.inputs.dim() - 1 and batch.targets.shape[-axes:] == batch.inputs.shape[-axes:]
    return masks or flattened(batch)


def flattened(batch: Batch) -> bool:
    """Whether targets are the pictures' own numbers in a row, (..., N, C·H·W), as those of an autoencoder."""
    spec = batch.spec
    alike = spec.task == "regression" and spec.landmarks is None and spec.outputs == prod(spec.input_shape)
    return alike and batch.targets.shape[-1] == spec.outputs


def as_planes(masks: Tensor, batch: Batch) -> Tensor:
    """Masks as pictures (..., N, K, H, W), or volumes, K = 1 where they have no such axis; a view."""
    if flattened(batch):
        return masks.view(*masks.shape[:-1], *batch.spec.input_shape)
    return masks.unsqueeze(-len(batch.spec.input_shape)) if masks.dim() < batch.inputs.dim() else masks
