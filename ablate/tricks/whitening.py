"""Inputs whose numbers are uncorrelated, each with variance 1: PCA and ZCA whitening."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tricks.shared.measurements import check_measurements
from ablate.tricks.standardise import as_floats, check_in_memory, with_inputs
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Parts, Spec

Kind = Literal["pca", "zca"]

LARGEST = 16384
"""Numbers in an input above which the matrix alone would need more than 2 GB."""


@register(
    "trick",
    "whitening",
    card=Card(
        "Rotates and scales inputs until they are uncorrelated with variance 1.",
        source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, appendix A (ZCA); LeCun et al. 1998, Efficient BackProp (PCA)",
        helps="Linear models and shallow networks on strongly correlated inputs.",
        costs="A matrix of (numbers in an input)²; noise is blown up to the size of the signal. For networks zero_center is mostly enough.",
        interacts="After pca a picture's places mean nothing: for fully connected networks only. Instead of standardise, or after it.",
    ),
)
class Whitening(Trick):
    """(input − mean) · W on flattened inputs, with mean and W of the *training* part, for the valid and test parts too. Shapes stay.

    With the eigenvectors U (columns, by falling eigenvalue λ) of the covariance: pca W = U·diag(1/√(λ + ε)); zca W = U·diag(1/√(λ + ε))·Uᵀ.
    An eigenvector's sign is such that its largest entry is positive.
    """

    stacked = True
    shorthand = "kind"
    order = 20

    kind: Kind = Field(
        default="zca",
        description="pca: numbers become principal components; zca: as near to the input as whitening allows",
    )
    epsilon: Annotated[float, Range(gt=0)] = Field(
        default=0.01,
        description="added to the variances; raise it where samples are fewer than the numbers in an input, whose unseen directions are divided by its root",
    )

    def check(self, spec: Spec) -> None:
        check_measurements("whitening", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError where data are streamed, hold no measurements, or inputs are too large."""
        check_in_memory("whitening", data)
        train = as_floats(data.train.inputs, "whitening").flatten(1)
        if train.shape[1] > LARGEST:
            raise ValueError(
                f"trick (=whitening) needs inputs of at most {LARGEST} numbers; they have {train.shape[1]}. Use zero_center or smaller pictures."
            )
        mean, matrix = fit(train, self.kind, self.epsilon)

        def whitened(inputs: Tensor | None) -> Tensor:
            values = as_floats(inputs, "whitening")
            flat = [(some.flatten(1).double() - mean) @ matrix for some in torch.split(values, 1024)]
            return torch.cat(flat).to(values.dtype).view_as(values)

        return with_inputs(data, whitened)


def fit(inputs: Tensor, kind: Kind, epsilon: float) -> tuple[Tensor, Tensor]:
    """The mean (d,) and the whitening matrix (d, d) of (n, d), in float64."""
    values = inputs.double()
    mean = values.mean(dim=0)
    values = values - mean
    eigenvalues, vectors = torch.linalg.eigh(values.T @ values / len(values))
    eigenvalues, vectors = eigenvalues.flip(0).clamp(min=0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    vectors = vectors * largest.sign()
    scaled = vectors / (eigenvalues + epsilon).sqrt()
    return mean, scaled if kind == "pca" else scaled @ vectors.T
