"""A synthetic table with a rare class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ablate.data.cache import cached
from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


@register(
    "data",
    "imbalanced",
    card=Card(
        "A synthetic table of two classes, one of them rare.",
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
        inputs, targets = torch.from_numpy(arrays["inputs"]).float(), torch.from_numpy(arrays["targets"]).long()
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
