"""AlexNet's color augmentation: shifts along the principal axes of the training set's colors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.measurements import as_floats
from ablate.tricks.shared.pictures import Share, check_pictures, choose
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Parts, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "colour_pca",
    card=Card(
        "Shifts each image's colors along the principal axes of the training colors.",
        source="Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 4.1",
        helps="For color images with varying illumination.",
        costs="Slower convergence. Do not use if the color determines the class.",
        interacts="Uses the colors after standardise. With one channel it is a random shift of the brightness.",
    ),
)
class ColourPca(Trick):
    """Adds Σₖ αₖ·σₖ·pₖ to all pixels of a chosen sample, with αₖ from N(0, ``deviation``²) drawn per sample and axis.

    Targets do not change.

    pₖ are the principal axes of the training set's colors over all pixels, σₖ the standard deviations along them
    (square roots of the eigenvalues). The paper's formula has the eigenvalues themselves; with pixels in 0 … 255 these
    would add hundreds of gray levels, and implementations use the square roots.
    """

    stacked = True
    shorthand = "deviation"
    order = 26
    examples = ({}, {"deviation": {"linear": [0.2, 0.1]}, "share": 0.5})

    deviation: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.1, description="standard deviation of the random shift, relative to that of the colors"
    )
    share: Share = Field(default=1.0, description="fraction of each batch to change")

    _axes: Tensor | None = PrivateAttr(default=None)

    def check(self, spec: Spec) -> None:
        check_pictures("colour_pca", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if the training set is streamed."""
        if data.train.inputs is None:
            raise ValueError(
                "trick (=colour_pca) requires data in memory, but the training set "
                f"(={type(data.train.dataset).__name__}) is streamed. Remove it."
            )
        self._axes = colour_axes(as_floats(data.train.inputs, "colour_pca")).to(self.context.device)
        return data

    def on_batch(self, batch: Batch, noise: Noise) -> Batch:
        assert self._axes is not None, "on_data comes before on_batch"
        samples, channels = batch.inputs.shape[-4:-2]
        dtype = batch.inputs.dtype
        weights = noise.normal(samples, channels).to(dtype) * self.now.deviation
        chosen = choose(noise, samples, self.now.share)
        added = (weights[..., None] * self._axes.to(dtype)).sum(dim=-2) * chosen[..., None]
        return replace(batch, inputs=batch.inputs + added[..., None, None])


def colour_axes(inputs: Tensor) -> Tensor:
    """The principal axes of the colors of (n, C, H, W), as rows (C, C) in float64, scaled by the standard deviations
    along them.
    """
    channels = inputs.shape[1]
    count, total, products = 0, torch.zeros(channels).double(), torch.zeros(channels, channels).double()
    # all pixels in float64 at once would take eight times the memory of the images
    for some in torch.split(inputs, 256):
        colours = some.double().movedim(1, -1).flatten(end_dim=-2)
        count += len(colours)
        total += colours.sum(dim=0)
        products += colours.T @ colours
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    axes: Tensor = vectors.T * values.clamp(min=0).sqrt()[:, None]
    return axes
