"""Two numbers of unlike magnitude to predict from the same inputs."""

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
        "Two targets of unlike magnitude that rest on the same features.",
        source="generated with NumPy: a random network of one hidden layer; Caruana 1997, Multitask Learning",
        helps="Seeing the small task starve, and what the loss multi_task or normalise_targets do about it.",
        interacts="Under mse the large target's loss is ratio² times the small one's. Compare metrics of one magnitude, such as r2.",
    ),
)
class MultiTask(Data):
    """Inputs float32 (n, features), normal; targets float32 (n, 2): ``large``, of deviation ``ratio``, and ``small``, of deviation 1.

    Both are weighted sums of the same tanh units, plus noise.
    """

    group_names = ()

    count: int = Field(default=1000, ge=10, description="samples; more of them keep those of fewer")
    features: int = Field(default=8, ge=1, description="columns")
    shared: int = Field(default=12, ge=2, description="hidden units that both targets rest on")
    ratio: Annotated[float, Range(gt=0)] = Field(
        default=1000.0, description="the large target's size against the small one's"
    )
    noise: Annotated[float, Range(ge=0)] = Field(
        default=0.1, description="deviation of the noise, as a share of the target's"
    )
    seed: int = Field(default=42, ge=0, description="decides what is made, for all runs alike")

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
        # of the distribution, not of these points: so more of them keep the values of fewer
        many = np.tanh(weights.standard_normal((10_000, self.features)) @ into) @ out
        y = (y / many.std(0) + self.noise * noise.standard_normal(y.shape)) * np.array([self.ratio, 1.0])
        return x.astype(np.float32), y.astype(np.float32)
