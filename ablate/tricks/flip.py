"""Mirror pictures or volumes left to right; landmarks and masks go along."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.pictures import as_planes, check_pictures, cover_pictures
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Landmarks, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "flip",
    card=Card(
        "Mirrors a share of every batch; left and right landmarks swap.",
        source="Krizhevsky et al. 2012; for landmarks: Nouri 2014, Using convolutional neural nets to detect facial keypoints",
        helps="Pictures whose mirror image is as likely: faces, animals, things.",
        costs="More epochs to converge. Wrong for digits, text and anything with a handedness.",
        interacts="The train loss rises, as the task gets harder: compare valid losses.",
    ),
)
class Flip(Trick):
    """Exactly ``round(share · N)`` samples (C, H, W) or (C, D, H, W) of each batch are mirrored along W, others every time."""

    stacked = True
    shorthand = "share"
    order = 20

    share: Annotated[Scheduled[float], Range(ge=0, le=1)] = Field(
        default=0.5, description="share of each batch to mirror"
    )

    def check(self, spec: Spec) -> None:
        """Raises ValueError where the data are no pictures, or a landmark of one side lacks the other side's, whose place it would take."""
        check_pictures("flip", spec, volumes=True)
        if spec.landmarks is not None and (alone := one_sided(spec.landmarks)):
            raise ValueError(
                f"trick (=flip) needs both of a pair of landmarks, which change places; the data have {alone[0]} alone. "
                "Add the other side's to data.columns, or drop flip."
            )

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        axes = len(batch.spec.input_shape)
        samples = batch.inputs.shape[-axes - 1]
        chosen = noise.permutation(samples) < round(self.now.share * samples)
        which = chosen.view(*chosen.shape, *(1,) * axes)
        inputs = torch.where(which, mirror(batch.inputs), batch.inputs)
        marks = batch.spec.landmarks
        if marks is None and cover_pictures(batch):
            masks = as_planes(batch.targets, batch)
            masks = torch.where(which, mirror(masks), masks)
            return replace(batch, inputs=inputs, targets=masks.view_as(batch.targets))
        if marks is None:
            return replace(batch, inputs=inputs)
        targets = torch.where(chosen[..., None], mirror_landmarks(batch.targets, marks), batch.targets)
        return replace(batch, inputs=inputs, targets=targets)


def one_sided(marks: Landmarks) -> list[str]:
    """The names of landmarks of the left or the right side that are in no pair."""
    paired = {point for pair in marks.pairs for point in pair}
    sides = [{"left", "right"} & set(name.replace("_", " ").split()) for name in marks.names]
    return [name for i, name in enumerate(marks.names) if sides[i] and i not in paired]


def mirror(images: Tensor) -> Tensor:
    """Pictures (..., W) left to right, as new tensors."""
    return images.flip(-1)


def mirror_landmarks(points: Tensor, marks: Landmarks) -> Tensor:
    """Flattened points (..., 2·P) of mirrored pictures: x → frame − x in pixels (−x where the centre is the picture's), left and right swapped.

    A point that is missing (NaN) is missing at its partner's place afterwards.
    """
    mirrored = points.clone()
    mirrored[..., 0::2] = (marks.frame - 2 * marks.centre) / marks.scale - points[..., 0::2]
    return swap(mirrored, marks.pairs)


def swap(points: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """Flattened points (..., 2·P) with the two of each pair (indices 0 … P−1) in each other's place."""
    return points.index_select(-1, _order(pairs, points.shape[-1] // 2, str(points.device)))


@lru_cache(maxsize=32)
def _order(pairs: tuple[tuple[int, int], ...], count: int, device: str) -> Tensor:
    """Where each coordinate comes from; kept, as sending it to the device in every step would wait for it."""
    order = list(range(count))
    for left, right in pairs:
        order[left], order[right] = right, left
    return torch.tensor([2 * point + axis for point in order for axis in (0, 1)], device=device)
