"""Two targets of different magnitude to predict from the same inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import LazyModule, torch

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

    count: int = Field(default=1000, ge=10, description="number of samples; larger data sets contain smaller ones")
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

    def _made(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        weights, points, noise = (np.random.default_rng((self.seed, stream)) for stream in range(3))
        into = weights.standard_normal((self.features, self.shared)) * 2 / np.sqrt(self.features)
        # orthogonal, so that neither target is a multiple of the other
        out = np.linalg.qr(weights.standard_normal((self.shared, 2)))[0]
        x = points.standard_normal((self.count, self.features))
        y = np.tanh(x @ into) @ out
        # of the distribution, not of these samples, so that larger data sets contain smaller ones
        many = np.tanh(weights.standard_normal((10_000, self.features)) @ into) @ out
        y = (y / many.std(0) + self.noise * noise.standard_normal(y.shape)) * np.array([self.ratio, 1.0])
        return x.astype(np.float32), y.astype(np.float32)
