"""Inputs on another scale: centered, standardized, whitened."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tricks.shared.measurements import as_floats, check_measurements
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from ablate.data.dataset import Parts, Spec


Per = Literal["feature", "channel", "all"]


@register(
    "trick",
    "zero_center",
    card=Card(
        "Shifts inputs to mean 0 and keeps their scale.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="For inputs with a common unit, such as pixels, which need no scaling.",
        costs="Images stored as bytes become floats: four times the memory.",
        interacts="standardise includes this: use one of the two.",
    ),
)
class ZeroCenter(Trick):
    """input − mean for all splits, with the mean of the *training* set."""

    stacked = True
    shorthand = "per"
    order = 19
    examples = ({}, {"per": "channel"})

    per: Per = Field(
        default="feature",
        description="feature: a separate mean for each input value; channel: per channel; all: one mean",
    )

    def check(self, spec: Spec) -> None:
        check_measurements("zero_center", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if data are streamed or inputs are tokens."""
        check_in_memory("zero_center", data)
        mean, _ = moments(as_floats(data.train.inputs, "zero_center"), self.per)
        return with_inputs(data, lambda inputs: as_floats(inputs, "zero_center") - mean)


@register(
    "trick",
    "standardise",
    card=Card(
        "Standardizes inputs to mean 0 and standard deviation 1.",
        source="LeCun et al. 1998, Efficient BackProp, section 4.3",
        helps="For tables whose columns have different units, and for inputs far from 0.",
        costs="Images stored as bytes become floats: four times the memory.",
        interacts="Applied before augmentation, so padded or erased pixels (0) have the mean value.",
    ),
)
class Standardise(Trick):
    """(input − mean)/standard deviation for all splits, computed from the *training* set.

    Constant inputs are divided by 1.
    """

    stacked = True
    shorthand = "per"
    order = 20
    examples = ({}, {"per": "channel"})

    per: Per = Field(
        default="feature",
        description=(
            "feature: separate statistics for each input value; channel: per channel; all: one mean and standard "
            "deviation"
        ),
    )

    def check(self, spec: Spec) -> None:
        check_measurements("standardise", spec)

    def on_data(self, data: Parts) -> Parts:
        """Raises ValueError if data are streamed or inputs are tokens."""
        check_in_memory("standardise", data)
        train = as_floats(data.train.inputs, "standardise")
        mean, deviation = moments(train, self.per)

        return with_inputs(data, lambda inputs: (as_floats(inputs, "standardise") - mean) / deviation)


def check_in_memory(trick: str, data: Parts) -> None:
    """Raise ValueError (one line) if a split is streamed."""
    for name, part in {"train": data.train, "valid": data.valid, "test": data.test}.items():
        if part is not None and part.inputs is None:
            raise ValueError(
                f"trick (={trick}) requires data in memory, but the {name} split (={type(part.dataset).__name__}) "
                "is streamed. Transform the samples in __getitem__ instead."
            )


def with_inputs(data: Parts, change: Callable[[Tensor | None], Tensor]) -> Parts:
    """All splits with changed inputs."""
    train, valid = (replace(part, inputs=change(part.inputs)) for part in (data.train, data.valid))
    test = None if data.test is None else replace(data.test, inputs=change(data.test.inputs))
    return replace(data, train=train, valid=valid, test=test)


def moments(inputs: Tensor, per: Per) -> tuple[Tensor, Tensor]:
    """Mean and (population) standard deviation of (n, C, …), in shapes that broadcast; 1 if all values are equal."""
    axes = {"feature": [0], "channel": [0, *range(2, inputs.dim())], "all": list(range(inputs.dim()))}[per]
    variance, mean = torch.var_mean(inputs, dim=axes, correction=0, keepdim=True)
    constant = inputs.amax(dim=axes, keepdim=True) == inputs.amin(dim=axes, keepdim=True)
    # rounding gives a constant a standard deviation of about 1e-9; dividing by it would amplify noise
    return mean, torch.where(constant, 1.0, variance.sqrt())


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
