"""The contract of a network that recipes name."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from ablate.registry import Named

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.dataset import Spec


class Model(Named):
    """Base of all networks. Layers carry telling, stable names (``conv1``, ``pool1``, ``hidden1``, ``output``): initial values are keyed by them."""

    places: ClassVar[bool] = False
    """Whether it answers for each place of a sample, (N, outputs, …), as segmentation wants it, rather than for the sample, (N, outputs)."""

    @property
    def answers_places(self) -> bool:
        """Whether these settings make a network that answers for each place."""
        return self.places

    @property
    def takes_tokens(self) -> bool:
        """Whether samples may be token numbers."""
        return False

    def for_data(self, name: str, spec: Spec) -> Self:
        """The same network, told what it needs of the data's facts; ``name`` is the recipe's. Asked as soon as these are known.

        Raises ValueError with one line where it answers for places and targets are for samples, or the other way, and where it takes no tokens.
        """
        if spec.vocabulary and not self.takes_tokens:
            raise ValueError(
                f"model (={name}) needs samples that are measurements; the data's are tokens. Use rnn, lstm or gru with 'embedding'."
            )
        if spec.task == "classification" and self.answers_places != bool(spec.places):
            asked = f"each of {'×'.join(map(str, spec.places))} places" if spec.places else "the whole sample"
            raise ValueError(
                f"model (={name}) answers for {'each place' if self.answers_places else 'the whole sample'}; the data's targets are classes for {asked}. "
                + self.other_answer(bool(spec.places))
            )
        return self

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError with one line where it does not suit data whose facts are known without reading them: `for_data`, and what the shape decides."""
        self.for_data(name, spec)
        self.check_shape(spec.input_shape, spec.outputs)

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        """Raise ValueError where samples of this shape are none for it, as `build` does, but without torch."""

    def other_answer(self, places: bool) -> str:
        """The way out where this network does not answer for what targets are for."""
        return "Use unet or fcn, or rnn, lstm or gru with 'predict: each'." if places else "Use mlp, convnet or resnet."

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The network for samples of ``input_shape`` (C, H, W or any), giving (N, ``outputs``), or (N, ``outputs``, …) where `places`.

        Must also work on torch's meta device.

        Raises ValueError with one line (field, value, rule, way out) where the sizes do not fit.
        """
