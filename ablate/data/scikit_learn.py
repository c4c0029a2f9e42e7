"""Small real datasets of scikit-learn."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from ablate.data.cache import cached
from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SmallTable(Data):
    """Base: inputs float32 (n, columns) in their original units; targets int64 (n,) classes, or float32 (n, 1)."""

    group_names = ()

    source: ClassVar[str]
    """The name of the dataset in ``sklearn.datasets.load_…``."""

    @abstractmethod
    def spec(self) -> Spec:
        """The facts, known without reading: the tables do not change."""

    def load(self) -> Parts:
        spec = self.spec()
        # importing scikit-learn takes a second
        arrays = cached(
            f"table-{self.source}", f"scikit-learn's {self.source}, in its units", lambda: read(self.source)
        )
        inputs = torch.from_numpy(arrays["inputs"].astype(self.float_type))
        kind = "int64" if spec.task == "classification" else self.float_type
        targets = torch.from_numpy(arrays["targets"].astype(kind))
        targets = targets if spec.task == "classification" else targets[:, None]
        return self.parts(Part(inputs, targets, rows=torch.arange(len(inputs))), spec, source="scikit-learn")


def read(source: str) -> dict[str, NDArray[Any]]:
    """``inputs`` (n, columns) and ``targets`` (n,) of a table of scikit-learn, not scaled."""
    from sklearn import datasets

    how = {"scaled": False} if source == "diabetes" else {}
    inputs, targets = getattr(datasets, f"load_{source}")(return_X_y=True, **how)
    return {"inputs": inputs, "targets": targets}


@register(
    "data",
    "wine",
    card=Card(
        "178 wines of three growers, described by 13 chemical measurements.",
        source="scikit-learn's load_wine; Forina et al. 1991, UCI",
        helps="A small table of three classes whose columns have different units.",
        interacts="Columns range from 0.1 to 1700: use standardise.",
    ),
)
class Wine(SmallTable):
    """Inputs float32 (178, 13) in their original units; targets int64 (178,): the grower, 0 … 2."""

    source = "wine"

    def spec(self) -> Spec:
        return Spec((13,), 3, "classification", ("class_0", "class_1", "class_2"))


@register(
    "data",
    "breast_cancer",
    card=Card(
        "569 tumors, malignant or benign, described by 30 measurements of cell nuclei.",
        source="scikit-learn's load_breast_cancer; Wolberg, Street and Mangasarian 1995, UCI",
        helps="A small table of two classes, 37% of them malignant.",
        interacts="Columns range from 0.001 to 4000: use standardise.",
    ),
)
class BreastCancer(SmallTable):
    """Inputs float32 (569, 30) in their original units; targets int64 (569,): 0 malignant, 1 benign."""

    source = "breast_cancer"

    def spec(self) -> Spec:
        return Spec((30,), 2, "classification", ("malignant", "benign"))


@register(
    "data",
    "diabetes",
    card=Card(
        "442 patients, described by 10 measurements; the target is the progression of diabetes.",
        source=(
            "scikit-learn's load_diabetes(scaled=False); Efron, Hastie, Johnstone and Tibshirani 2004, Least Angle "
            "Regression"
        ),
        helps="A small regression with targets far from 0: 25 to 346.",
        interacts=(
            "Use standardise for the inputs and normalise_targets for the targets; compare a metric in the original "
            "unit, such as rmse."
        ),
    ),
)
class Diabetes(SmallTable):
    """Inputs float32 (442, 10) in their original units, such as years and mm Hg; targets float32 (442, 1): the
    progression score.
    """

    source = "diabetes"

    def spec(self) -> Spec:
        return Spec((10,), 1, "regression", target_names=("progression",))


@register(
    "data",
    "digits",
    card=Card(
        "1797 real handwritten digits of 8×8 pixels, ten classes.",
        source="scikit-learn's load_digits; Alpaydin and Kaynak 1998, UCI",
        helps="For experiments that train in seconds, without a download.",
    ),
)
class Digits(Data):
    """Inputs float32 (n, 1, 8, 8) in [0, 1], 17 gray levels divided by 16; targets int64 0 … 9."""

    group_names = ()

    def load(self) -> Parts:
        arrays = cached("digits", "scikit-learn's 1797 digits", read_digits)
        inputs = torch.from_numpy(arrays["pixels"]).float().div_(16).view(-1, 1, 8, 8)
        targets = torch.from_numpy(arrays["digits"]).long()
        return self.parts(Part(inputs, targets, rows=torch.arange(len(targets))), self.spec())

    def spec(self) -> Spec:
        return Spec((1, 8, 8), outputs=10, task="classification", classes=tuple("0123456789"))


def read_digits() -> dict[str, Any]:
    """``pixels`` uint8 (1797, 64) and ``digits`` int64 (1797,).

    Cached, because importing scikit-learn takes a second.
    """
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    return {"pixels": pixels.astype("uint8"), "digits": digits}
