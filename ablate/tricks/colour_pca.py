"""AlexNet's colour noise: along the directions in which the training pictures' colours vary. Targets stay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Scheduled
from ablate.tricks.shared.pictures import Share, check_pictures, choose
from ablate.tricks.standardise import as_floats
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Batch, Parts, Spec
    from ablate.rng.noise import Noise


@register(
    "trick",
    "colour_pca",
    card=Card(
        "Shifts each picture's colours along the training colours' principal axes.",
        source="Krizhevsky et al. 2012, ImageNet Classification with Deep Convolutional Neural Networks, section 4.1",
        helps="Colour pictures taken in light of unlike colour and strength.",
        costs="More epochs to converge. Wrong where colour is what is to be told.",
        interacts="With one channel it is noise in the brightness. Axes are those of the data as standardise leaves them.",
    ),
)
class ColourPca(Trick):
    """All pixels of a chosen sample get Σₖ αₖ·σₖ·pₖ added, αₖ from N(0, ``deviation``²), one draw for each sample and axis.

    pₖ and σₖ are the directions and deviations (square roots of the eigenvalues) of the training part's colours over all pixels. The paper writes the
    eigenvalues themselves; in pixels of 0 … 255 that would add hundreds of grey levels, and its implementations take the roots.
    """

    stacked = True
    shorthand = "deviation"
    order = 26

    deviation: Annotated[Scheduled[float], Range(ge=0)] = Field(
        default=0.1, description="of the draws, in the deviations of the colours"
    )
    share: Share = Field(default=1.0, description="share of each batch to change")

    _axes: Tensor | None = PrivateAttr(default=None)

    def check(self, spec: Spec) -> None:
        check_pictures("colour_pca", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where the training part is streamed."""
        if data.train.inputs is None:
            raise ValueError(
                f"trick (=colour_pca) needs data in memory; the train part (={type(data.train.dataset).__name__}) is streamed. Drop it."
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
    """The principal axes of the colours of (n, C, H, W), as rows (C, C) in float64, each as long as the deviation along it."""
    channels = inputs.shape[1]
    count, total, products = 0, torch.zeros(channels).double(), torch.zeros(channels, channels).double()
    for some in torch.split(inputs, 256):  # all pixels in float64 at once would need eight times the pictures' bytes
        colours = some.double().movedim(1, -1).flatten(end_dim=-2)
        count += len(colours)
        total += colours.sum(dim=0)
        products += colours.T @ colours
    mean = total / count
    values, vectors = torch.linalg.eigh(products / count - torch.outer(mean, mean))
    axes: Tensor = vectors.T * values.clamp(min=0).sqrt()[:, None]
    return axes
