"""The contract of a network that recipes name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from ablate.registry import Named

if TYPE_CHECKING:
    from torch import nn


class Model(Named):
    """Base of all networks. Layers carry telling, stable names (``conv1``, ``pool1``, ``hidden1``, ``output``): initial values are keyed by them."""

    places: ClassVar[bool] = False
    """Whether it answers for each place of a sample, (N, outputs, …), as segmentation wants it, rather than for the sample, (N, outputs)."""

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The network for samples of ``input_shape`` (C, H, W or any), giving (N, ``outputs``), or (N, ``outputs``, …) where `places`.

        Must also work on torch's meta device.

        Raises ValueError with one line (field, value, rule, way out) where the sizes do not fit.
        """
