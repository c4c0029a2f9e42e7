"""Combine two samples and their targets: mixup (a blend) and cutmix (a rectangle)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.erase import rectangles
from ablate.tricks.shared.beta import symmetric_beta
from ablate.tricks.shared.measurements import check_measurements
from ablate.tricks.shared.pictures import Share, as_planes, check_pictures, choose, cover_pictures
from ablate.tricks.shared.soft_targets import check_columns, soft
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Spec
    from ablate.recipe.settings import Settings
    from ablate.rng.noise import Noise

Alpha = Annotated[Scheduled[float], Range(gt=0)]
Per = Literal["batch", "sample"]


@register(
    "trick",
    "mixup",
    card=Card(
        "Trains on blends of two samples and of their targets.",
        source="Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization",
        helps="For classification with few samples or wrong labels; improves calibration.",
        costs="The training loss is hard to interpret; slower convergence; blended keypoints match neither face.",
        interacts=(
            "Class indices become probabilities, which the loss must support (cross_entropy does). Can be "
            "combined with cutmix, which then cuts blended samples."
        ),
    ),
)
class Mixup(Trick):
    """Inputs and targets become λ·sample + (1 − λ)·partner, with λ from Beta(``alpha``, ``alpha``).

    Partners are a permutation of the batch.

    Class indices are mixed as probabilities (N, classes), so the cross-entropy is the mix of both losses. A regression
    target is missing if one of the two is missing.
    """

    stacked = True
    shorthand = "alpha"
    order = 30
    examples = ({}, {"alpha": {"linear": [1, 0.2]}, "per": "sample", "share": 0.5})

    alpha: Alpha = Field(
        default=0.2,
        description="parameter of λ's beta distribution. 1: uniform; smaller: mostly one sample; larger: half of each",
    )
    per: Per = Field(default="batch", description="one λ per batch, as in the paper's code, or per sample")
    share: Share = Field(default=1.0, description="fraction of each batch to mix")

    def check(self, spec: Spec) -> None:
        check_measurements("mixup", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if target columns are class indices."""
        check_columns("mixup", settings)
        return settings

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError if inputs are not floating-point."""
        if not batch.inputs.is_floating_point():
            raise ValueError(
                f"trick (=mixup) requires floating-point inputs, but they are {batch.inputs.dtype}. Remove it."
            )
        samples = batch.inputs.shape[-len(batch.spec.input_shape) - 1]
        partner, weight = noise.permutation(samples), drawn_weight(noise, self.now.alpha, self.per, samples)
        weight = torch.where(choose(noise, samples, self.now.share), weight, 1.0)
        inputs = blend(batch.inputs, taken(batch.inputs, partner), weight)
        targets = soft(batch)
        return replace(batch, inputs=inputs, targets=blend(targets, taken(targets, partner), weight))


@register(
    "trick",
    "cutmix",
    card=Card(
        "Pastes a rectangle of another image; mixes targets in proportion to its area.",
        source="Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        helps="For image classification with few samples; unlike cutout, it wastes no pixels.",
        costs="The training loss is hard to interpret; slower convergence; mixed keypoints match neither face.",
        interacts=(
            "Class indices become probabilities, which the loss must support (cross_entropy does). Masks are pasted "
            "like images."
        ),
    ),
)
class Cutmix(Trick):
    """The rectangle has the image's aspect ratio and 1 − λ of its area, with λ from Beta(``alpha``, ``alpha``).

    Its center is drawn uniformly, and the rectangle is cut to the image.

    Targets are mixed by the pasted area, class indices as probabilities (N, classes); masks are pasted. Partners are a
    permutation of the batch.
    """

    stacked = True
    shorthand = "alpha"
    order = 31
    examples = ({}, {"alpha": {"linear": [1, 0.2]}, "per": "sample", "share": 0.5})

    alpha: Alpha = Field(
        default=1.0,
        description="parameter of the area's beta distribution. 1: uniform; smaller: mostly one image; larger: half",
    )
    per: Per = Field(default="batch", description="one rectangle per batch, as in the paper's code, or per sample")
    share: Share = Field(default=1.0, description="fraction of each batch to mix")

    def check(self, spec: Spec) -> None:
        check_pictures("cutmix", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if target columns are class indices."""
        check_columns("cutmix", settings)
        return settings

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        samples, _, height, width = batch.inputs.shape[-4:]
        partner, weight = noise.permutation(samples), drawn_weight(noise, self.now.alpha, self.per, samples)
        middle = noise.uniform(2, 1 if self.per == "batch" else samples)
        chosen = choose(noise, samples, self.now.share)
        side = (1 - weight).sqrt()
        top, bottom = span(middle[..., 0, :], side, height)
        left, right = span(middle[..., 1, :], side, width)
        pasted = rectangles(top, bottom, left, right, (height, width)) & chosen[..., None, None, None]
        inputs = torch.where(pasted, taken(batch.inputs, partner), batch.inputs)
        if cover_pictures(batch):
            masks = as_planes(batch.targets, batch)
            masks = torch.where(pasted, taken(masks, partner), masks)
            return replace(batch, inputs=inputs, targets=masks.view_as(batch.targets))
        kept = 1 - (bottom - top) * (right - left) / (height * width)
        targets = soft(batch)
        return replace(
            batch,
            inputs=inputs,
            targets=blend(targets, taken(targets, partner), torch.where(chosen, kept, 1.0)),
        )


def drawn_weight(noise: Noise, alpha: float, per: Per, samples: int) -> Tensor:
    """λ (..., N), or (..., 1) if there is one for the batch."""
    return symmetric_beta(noise, alpha, 1 if per == "batch" else samples)


def blend(values: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """weight·values + (1 − weight)·others of (..., N, …) with weights (..., N).

    Samples of weight 1 are not changed, even if the others are NaN.
    """
    weight = weight.to(values.dtype).view(*weight.shape, *(1 for _ in values.shape[weight.dim() :]))
    return torch.where(weight == 1, values, weight * values + (1 - weight) * others)


def taken(values: Tensor, order: Tensor) -> Tensor:
    """The samples of (..., N, …) at ``order`` (..., N), as new tensors; in a stack, each seed has its own order."""
    if order.dim() == 1:
        return values[order]
    seeds, samples = order.shape
    rows = order + samples * torch.arange(seeds, device=order.device)[:, None]
    return values.flatten(0, 1)[rows.flatten()].view_as(values)


def span(middle: Tensor, side: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The first pixel, and the one after the last, of an interval of length ``side`` centered at ``middle`` (both
    fractions of ``length`` pixels), cut to the image.
    """
    half = side * length / 2
    first, past = (middle * length - half).round(), (middle * length + half).round()
    return first.clamp(0, length), past.clamp(0, length)
