"""The base class of networks."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

from ablate.registry import Named

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.dataset import Spec


class Model(Named):
    """Base of all networks.

    Layers have descriptive, stable names (``conv1``, ``pool1``, ``hidden1``, ``output``), which key the initial
    weights.
    """

    places: ClassVar[bool] = False
    """Whether the network predicts per position, (N, outputs, …), as for segmentation, or per sample, (N, outputs)."""

    @property
    def answers_places(self) -> bool:
        """Whether a network with these settings predicts per position."""
        return self.places

    @property
    def takes_tokens(self) -> bool:
        """Whether samples may be token indices."""
        return False

    def for_data(self, name: str, spec: Spec) -> Self:
        """The same network, given the facts of the data; ``name`` is its name in the recipe.

        Called as soon as the facts are known.

        Raises ValueError (one line) if one of network and targets is per position and the other per sample, or if the
        network does not support tokens.
        """
        if spec.vocabulary and not self.takes_tokens:
            raise ValueError(
                f"model (={name}) expects floating-point inputs, but the inputs are tokens. Use rnn, lstm or gru "
                "with 'embedding'."
            )
        if spec.task == "classification" and self.answers_places != bool(spec.places):
            asked = f"each of {'×'.join(map(str, spec.places))} positions" if spec.places else "the whole sample"
            raise ValueError(
                f"model (={name}) predicts classes for "
                f"{'each position' if self.answers_places else 'the whole sample'}, but the targets are classes for "
                f"{asked}. " + self.other_answer(bool(spec.places))
            )
        return self

    def check(self, name: str, spec: Spec) -> None:
        """Raise ValueError (one line) for data whose facts are known without reading them: `for_data`, and errors of
        the shape.
        """
        self.for_data(name, spec)
        self.check_shape(spec.input_shape, spec.outputs)

    def check_shape(self, input_shape: tuple[int, ...], outputs: int) -> None:
        """Raise ValueError if samples of this shape are not supported, like `build` but without torch."""

    def other_answer(self, places: bool) -> str:
        """How to fix a network that does not predict what the targets require."""
        return "Use unet or fcn, or rnn, lstm or gru with 'predict: each'." if places else "Use mlp, convnet or resnet."

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
        """The network for samples of ``input_shape`` (C, H, W or any), with outputs (N, ``outputs``), or (N,
        ``outputs``, …) if `places`.

        Must also work on torch's meta device.

        Raises ValueError (one line) if the sizes do not match.
        """
