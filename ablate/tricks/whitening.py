"""PCA and ZCA whitening: uncorrelated inputs of variance 1."""

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
"""Largest number of values per input; beyond it, the matrix alone needs more than 2 GB."""


@register(
    "trick",
    "whitening",
    card=Card(
        "Whitens inputs (PCA or ZCA): uncorrelated, with variance 1.",
        source=(
            "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, appendix A (ZCA); LeCun et al. "
            "1998, Efficient BackProp (PCA)"
        ),
        helps="For linear models and shallow networks with strongly correlated inputs.",
        costs=(
            "A matrix of (values per input)²; noise is amplified to the size of the signal. For networks, "
            "zero_center is usually enough."
        ),
        interacts=(
            "After pca, images have no spatial structure: use fully connected networks only. Replaces standardise, "
            "or follows it."
        ),
    ),
)
class Whitening(Trick):
    """(input − mean) · W on flattened inputs, for all splits, with mean and W of the *training* set.

    Shapes do not change.

    U are the eigenvectors of the covariance (columns, by decreasing eigenvalue λ). pca: W = U·diag(1/√(λ + ε)). zca: W
    = U·diag(1/√(λ + ε))·Uᵀ. The sign of an eigenvector makes its largest entry positive.
    """

    stacked = True
    shorthand = "kind"
    order = 20
    examples = ({}, {"kind": "pca", "epsilon": 0.1})

    kind: Kind = Field(
        default="zca",
        description="pca: principal components; zca: the whitened inputs closest to the originals",
    )
    epsilon: Annotated[float, Range(gt=0)] = Field(
        default=0.01,
        description=(
            "added to the variances; increase it if there are fewer samples than values per input, because unseen "
            "directions are divided by its square root"
        ),
    )

    def check(self, spec: Spec) -> None:
        check_measurements("whitening", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if data are streamed, inputs are tokens, or inputs are too large."""
        check_in_memory("whitening", data)
        train = as_floats(data.train.inputs, "whitening").flatten(1)
        if train.shape[1] > LARGEST:
            raise ValueError(
                f"trick (=whitening) requires at most {LARGEST} values per input, but the inputs have "
                f"{train.shape[1]}. Use zero_center or smaller images."
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
