"""Generated data: a noisy sine, a table with a rare class, two targets of different scale."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.data.cache import cached
from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")


@register(
    "data",
    "curve",
    card=Card(
        "A few noisy samples of a sine wave; the validation targets have no noise.",
        source="generated with NumPy; Bishop 2006, Pattern Recognition and Machine Learning, section 1.1",
        helps="To see a large network fit noise, and what dropout, weight decay or early stopping change, in seconds.",
        interacts=(
            "A training loss below the variance of the noise means overfitting. The validation loss contains no noise."
        ),
    ),
    version=2,
)
class Curve(Data):
    """Inputs x float32 (n, 1), uniform in −1 … 1; targets float32 (n, 1): sin(π·waves·x), plus Gaussian noise in the
    training set.

    By default, 20 samples are for training and 80 for validation: an mlp with hidden: [200, 200] memorizes the noise.
    """

    group_names = ()

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.8, description="fraction of the samples for validation"
    )
    points: int = Field(
        default=100,
        ge=4,
        description="number of samples in all splits; a larger number keeps these samples and adds others",
    )
    waves: Annotated[float, Range(gt=0)] = Field(
        default=0.5, description="number of waves between -1 and 1; 0.5: from minimum to maximum"
    )
    noise: Annotated[float, Range(ge=0)] = Field(
        default=0.3, description="standard deviation of the noise; that of the curve is 0.7"
    )
    noisy_valid: bool = Field(default=False, description="add noise to the validation and test targets too")
    seed: int = Field(default=42, ge=0, description="seed of the samples and the noise, the same in all runs")

    def load(self) -> Parts:
        # one stream for each, so that larger datasets contain smaller ones
        x = np.random.default_rng((self.seed, 0)).uniform(-1, 1, self.points)
        noise = self.noise * np.random.default_rng((self.seed, 1)).standard_normal(self.points)
        curve = np.sin(np.pi * self.waves * x)
        inputs, clean, noisy = (
            torch.from_numpy(values.astype(self.float_type))[:, None] for values in (x, curve, curve + noise)
        )
        parts = self.parts(Part(inputs, noisy, rows=torch.arange(self.points)), self.spec(), source="generated")
        if self.noisy_valid:
            return parts

        def cleaned(part: Part) -> Part:
            return replace(part, targets=clean[part.rows])

        test = None if parts.test is None else cleaned(parts.test)
        return replace(parts, valid=cleaned(parts.valid), test=test)

    def spec(self) -> Spec:
        return Spec((1,), 1, "regression", target_names=("y",))


@register(
    "data",
    "imbalanced",
    card=Card(
        "Synthetic binary classification data, with one rare class.",
        source=(
            "sklearn.datasets.make_classification; Guyon 2003, Design of experiments for the NIPS 2003 variable "
            "selection benchmark"
        ),
        helps="To measure the effect of class weights, balanced sampling and focal loss.",
        interacts="Always predicting 'common' has an accuracy of 1 − share: compare f1, ece or the loss.",
    ),
)
class Imbalanced(Data):
    """Inputs float32 (n, features); targets int64 (n,): 0 common, 1 rare.

    Each class is two Gaussian clusters at the corners of a cube.

    ``share · count`` of all samples are rare (±1 from rounding), and about this fraction of each split.
    """

    group_names = ()

    count: int = Field(default=2000, ge=10, description="number of samples of both classes")
    share: Annotated[float, Range(gt=0, le=0.5)] = Field(default=0.05, description="fraction of the rare class")
    features: int = Field(default=10, ge=3, description="number of columns; half of them (at least 3) are informative")
    separation: Annotated[float, Range(gt=0)] = Field(
        default=1.0, description="half the distance between clusters, in their standard deviations: smaller is harder"
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="seed of the data, the same in all runs")

    def load(self) -> Parts:
        """Raises ValueError if fewer than two samples would be rare."""
        if self.share * self.count < 2:
            raise ValueError(
                f"data.share (={self.share:g}) of data.count (={self.count}) must give at least two rare samples. "
                "Increase share or count."
            )
        key = f"{self.count} {self.share!r} {self.features} {self.separation!r} {self.seed}"
        arrays = cached("imbalanced", key, self._made)
        inputs = torch.from_numpy(arrays["inputs"].astype(self.float_type))
        targets = torch.from_numpy(arrays["targets"]).long()
        return self.parts(Part(inputs, targets, rows=torch.arange(len(inputs))), self.spec(), source="generated")

    def spec(self) -> Spec:
        return Spec((self.features,), 2, "classification", ("common", "rare"))

    def _made(self) -> dict[str, NDArray[Any]]:
        from sklearn.datasets import make_classification

        inputs, targets = make_classification(
            n_samples=self.count,
            n_features=self.features,
            n_informative=max(self.features // 2, 3),
            n_redundant=0,
            weights=(1 - self.share,),
            flip_y=0,
            class_sep=self.separation,
            random_state=self.seed,
        )
        return {"inputs": inputs, "targets": targets}


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy")


@register(
    "data",
    "multi_task",
    card=Card(
        "Two targets of different magnitude based on the same features.",
        source="generated with NumPy: a random network of one hidden layer; Caruana 1997, Multitask Learning",
        helps="To see the small target being neglected, and the effect of the loss multi_task or of normalise_targets.",
        interacts=(
            "With mse, the loss of the large target is ratio² times that of the small one. Compare metrics of equal "
            "scale, such as r2."
        ),
    ),
)
class MultiTask(Data):
    """Inputs float32 (n, features), normal; targets float32 (n, 2): ``large``, of standard deviation ``ratio``, and
    ``small``, of standard deviation 1.

    Both are weighted sums of the same tanh units, plus noise.
    """

    group_names = ()

    count: int = Field(
        default=1000, ge=10, description="number of samples; a larger number keeps these samples and adds others"
    )
    features: int = Field(default=8, ge=1, description="columns")
    shared: int = Field(default=12, ge=2, description="number of hidden units of the generating network")
    ratio: Annotated[float, Range(gt=0)] = Field(
        default=1000.0, description="standard deviation of the large target relative to the small one"
    )
    noise: Annotated[float, Range(ge=0)] = Field(
        default=0.1, description="standard deviation of the noise, relative to that of the target"
    )
    seed: int = Field(default=42, ge=0, description="seed of the data, the same in all runs")

    def load(self) -> Parts:
        inputs, targets = self._made()
        samples = Part(torch.from_numpy(inputs), torch.from_numpy(targets), rows=torch.arange(self.count))
        return self.parts(samples, self.spec(), source="generated")

    def spec(self) -> Spec:
        return Spec((self.features,), 2, "regression", target_names=("large", "small"))

    def _made(self) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        weights, points, noise = (np.random.default_rng((self.seed, stream)) for stream in range(3))
        into = weights.standard_normal((self.features, self.shared)) * 2 / np.sqrt(self.features)
        # orthogonal, so that neither target is a multiple of the other
        out = np.linalg.qr(weights.standard_normal((self.shared, 2)))[0]
        x = points.standard_normal((self.count, self.features))
        y = np.tanh(x @ into) @ out
        # of the distribution, not of these samples, so that larger datasets contain smaller ones
        many = np.tanh(weights.standard_normal((10_000, self.features)) @ into) @ out
        y = (y / many.std(0) + self.noise * noise.standard_normal(y.shape)) * np.array([self.ratio, 1.0])
        return x.astype(self.float_type), y.astype(self.float_type)
