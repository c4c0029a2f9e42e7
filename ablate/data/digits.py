"""1797 real handwritten digits from scikit-learn, without a download."""

from __future__ import annotations

from typing import Any

from ablate.data.cache import cached
from ablate.data.data import Data
from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import Card, register
from ablate.registry.lazy import torch


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
