"""Two samples made into one, targets too: mixup (a blend) and cutmix (a rectangle of the other)."""

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
        helps="Classification with little data or wrong labels; calibration.",
        costs="The train loss says little; more epochs to converge; blends of landmarks are landmarks of neither face.",
        interacts="Class numbers become probabilities: the loss must take them, as cross_entropy does. With cutmix the blends are cut too.",
    ),
)
class Mixup(Trick):
    """λ·sample + (1 − λ)·partner, for inputs and targets alike, λ from Beta(``alpha``, ``alpha``); partners are a permutation of the batch.

    Class numbers are mixed as probabilities, (N, classes); the loss of cross-entropy is then the mix of both losses.
    A regression target with a missing half is missing.
    """

    stacked = True
    shorthand = "alpha"
    order = 30

    alpha: Alpha = Field(
        default=0.2, description="small: mostly one of the two; 1: all blends alike; large: half and half"
    )
    per: Per = Field(
        default="batch", description="one λ for a whole batch, as in the paper's code, or one for each sample"
    )
    share: Share = Field(default=1.0, description="share of each batch to mix")

    def check(self, spec: Spec) -> None:
        check_measurements("mixup", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where targets are columns of class numbers."""
        check_columns("mixup", settings)
        return settings

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        """Raises ValueError where inputs are no measurements."""
        if not batch.inputs.is_floating_point():
            raise ValueError(
                f"trick (=mixup) needs inputs that are measurements; they are {batch.inputs.dtype}. Drop it for tokens."
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
        "Pastes a rectangle of another picture; targets mix by area.",
        source="Yun et al. 2019, CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        helps="Classification of pictures with little data: no pixel is wasted, as in cutout.",
        costs="The train loss says little; more epochs to converge; landmarks mixed by area are landmarks of neither face.",
        interacts="Class numbers become probabilities: the loss must take them, as cross_entropy does. Masks are pasted like pictures.",
    ),
)
class Cutmix(Trick):
    """The rectangle has the picture's aspect and 1 − λ of its area, λ from Beta(``alpha``, ``alpha``); its middle is drawn evenly,
    and what lies outside is cut.

    Targets are mixed by the area that was pasted, class numbers as probabilities (N, classes); masks are pasted. Partners are a permutation of the batch.
    """

    stacked = True
    shorthand = "alpha"
    order = 31

    alpha: Alpha = Field(
        default=1.0, description="1: all areas alike; small: mostly one of the two; large: half and half"
    )
    per: Per = Field(
        default="batch", description="one rectangle for a whole batch, as in the paper's code, or one for each"
    )
    share: Share = Field(default=1.0, description="share of each batch to mix")

    def check(self, spec: Spec) -> None:
        check_pictures("cutmix", spec)

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where targets are columns of class numbers."""
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
    """λ (..., N), or (..., 1) where the batch shares it."""
    return symmetric_beta(noise, alpha, 1 if per == "batch" else samples)


def blend(values: Tensor, others: Tensor, weight: Tensor) -> Tensor:
    """weight·values + (1 − weight)·others of (..., N, …) with weights (..., N); samples of weight 1 stay as they are, whatever the others hold."""
    weight = weight.to(values.dtype).view(*weight.shape, *(1 for _ in values.shape[weight.dim() :]))
    return torch.where(weight == 1, values, weight * values + (1 - weight) * others)


def taken(values: Tensor, order: Tensor) -> Tensor:
    """The samples of (..., N, …) at ``order`` (..., N), as new tensors; in a stack each seed's own."""
    if order.dim() == 1:
        return values[order]
    seeds, samples = order.shape
    rows = order + samples * torch.arange(seeds, device=order.device)[:, None]
    return values.flatten(0, 1)[rows.flatten()].view_as(values)


def span(middle: Tensor, side: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The first pixel and the one past the last of a stretch of ``side`` (a share of ``length`` pixels) about ``middle`` (a share too), cut to the picture."""
    half = side * length / 2
    first, past = (middle * length - half).round(), (middle * length + half).round()
    return first.clamp(0, length), past.clamp(0, length)
