"""Affine transforms of images, keypoints and masks, per sample; used to rotate, scale and crop.

A map is a matrix (2, 3) that gives the new position of a point (x, y), in pixels from the image center, x to the right,
y *down*; pixel j covers j … j + 1. Keypoints are mapped directly, images are sampled by the inverse. Pixels that leave
the image are lost; keypoints keep their coordinates outside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ablate.registry.lazy import torch
from ablate.tricks.shared.pictures import as_planes, cover_pictures, flattened, in_unit_of_data

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Keypoints

Fill = Literal["edge", "zero", "reflect"]
PADDING = {"edge": "border", "zero": "zeros", "reflect": "reflection"}


def maps(a: Tensor, b: Tensor, c: Tensor, d: Tensor, x: Tensor | None = None, y: Tensor | None = None) -> Tensor:
    """Matrices (..., N, 2, 3) from their entries (..., N): (a·px + b·py + x, c·px + d·py + y)."""
    zero = torch.zeros_like(a)
    entries = [a, b, zero if x is None else x, c, d, zero if y is None else y]
    return torch.stack(entries, dim=-1).view(*a.shape, 2, 3)


def transform(batch: Batch, forward: Tensor, chosen: Tensor, fill: Fill) -> Batch:
    """Transform the ``chosen`` (..., N) samples of a batch by maps (..., N, 2, 3), including keypoints or masks."""
    which = chosen[..., None, None, None]
    inputs = torch.where(which, sample(batch.inputs, forward, fill), batch.inputs)
    marks = batch.spec.keypoints
    if marks is not None:
        height, width = batch.inputs.shape[-2:]
        moved = in_unit_of_data(batch, lambda points: map_keypoints(points, forward, (width, height), marks))
        return replace(batch, inputs=inputs, targets=torch.where(chosen[..., None], moved, batch.targets))
    if cover_pictures(batch):
        masks = as_planes(batch.targets, batch)
        moved = sample(masks.to(batch.inputs.dtype), forward, fill, nearest=not flattened(batch)).to(masks.dtype)
        return replace(batch, inputs=inputs, targets=torch.where(which, moved, masks).view_as(batch.targets))
    return replace(batch, inputs=inputs)


def sample(images: Tensor, forward: Tensor, fill: Fill, *, nearest: bool = False) -> Tensor:
    """Images (..., N, C, H, W) under maps (..., N, 2, 3).

    Interpolation is bilinear, or nearest, so that masks keep class indices.
    """
    height, width = images.shape[-2:]
    flat = images.flatten(end_dim=-4)
    matrix = forward.to(images.dtype).flatten(end_dim=-3)
    linear, offset = _inverse(matrix)
    # grid_sample uses coordinates from −1 to 1 along each side
    sides = torch.stack([torch.full_like(offset[:, 0], width / 2), torch.full_like(offset[:, 0], height / 2)], dim=-1)
    theta = torch.cat([linear * sides[:, None, :] / sides[:, :, None], (offset / sides)[..., None]], dim=-1)
    grid = torch.nn.functional.affine_grid(theta, list(flat.shape), align_corners=False)
    mode = "nearest" if nearest else "bilinear"
    out = torch.nn.functional.grid_sample(flat, grid, mode=mode, padding_mode=PADDING[fill], align_corners=False)
    return out.view_as(images)


def map_keypoints(points: Tensor, forward: Tensor, size: tuple[int, int], marks: Keypoints) -> Tensor:
    """Keypoints (..., N, 2·P) of images of ``size`` (width, height) under maps (..., N, 2, 3).

    If one coordinate of a keypoint is NaN, both become NaN.
    """
    matrix = forward.to(points.dtype)
    across, down = marks.axes
    # the frame need not have the size of the image
    to_x, to_y = size[0] / across.side, size[1] / down.side
    x = (points[..., 0::2] * across.scale + across.centre - across.middle) * to_x
    y = (points[..., 1::2] * down.scale + down.centre - down.middle) * to_y
    (a, b, u), (c, d, v) = (row.unbind(-1) for row in matrix.unsqueeze(-3).unbind(-2))
    new_x, new_y = (a * x + b * y + u) / to_x, (c * x + d * y + v) / to_y
    moved = [(new + axis.middle - axis.centre) / axis.scale for new, axis in ((new_x, across), (new_y, down))]
    return torch.stack(moved, dim=-1).flatten(-2)


def _inverse(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of maps (n, 2, 3) as (n, 2, 2) and the offset (n, 2)."""
    (a, b, u), (c, d, v) = (row.unbind(-1) for row in matrix.unbind(-2))
    determinant = a * d - b * c
    linear = torch.stack([d, -b, -c, a], dim=-1).view(-1, 2, 2) / determinant[:, None, None]
    offset = -(linear @ torch.stack([u, v], dim=-1)[..., None])[..., 0]
    return linear, offset
