"""Weights that stay as they are, for a time or for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Epochs
from ablate.tricks.from_weights import Patterns, matches
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


@register(
    "trick",
    "freeze",
    card=Card(
        "Keeps some layers as they are until an epoch, or throughout.",
        source="Yosinski et al. 2014, How transferable are features in deep neural networks?; Howard and Ruder 2018, ULMFiT, section 3.3",
        helps="Few samples on top of transferred layers: a new output layer does not spoil them while it is still random.",
        costs="What is frozen cannot adapt. An epoch is quicker, as nothing below the lowest free layer needs gradients.",
        interacts="Of use with from_weights; on random layers it shows what they are worth. No decay and no momentum touches frozen weights, "
        "only max_norm does. A norm's running statistics go on.",
    ),
)
class Freeze(Trick):
    """The parameters that ``layers`` match, and ``but`` does not, have no gradient until epoch ``until`` has ended: the optimizer leaves them out.

    ``{layers: "*", but: [conv1.*, output.*]}`` trains the first and the last layer only.
    """

    stacked = True
    shows_at_once = False
    shorthand = "layers"
    order = 85

    layers: Patterns = Field(description="names of the parameters to keep, as shell patterns: conv*")
    but: Patterns = Field(default=(), description="names that are trained all the same, such as output.*")
    until: Epochs = Field(default=Epochs(share=1.0), description="epochs for which they are kept; 100%: throughout")

    _epoch: int = PrivateAttr(default=0)
    _networks: tuple[nn.Module, ...] = PrivateAttr(default=())

    @property
    def _thaws(self) -> int:
        return self.until.of(self.context.epochs)

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` where no parameter matches or no epoch is left, ValueError where nothing would be trained."""
        names = [name for name, _ in model.named_parameters()]
        frozen = [name for name in names if self._keeps(name)]
        if not frozen or not self._thaws:
            why = f"'until' (={self.until.dump()}) is no epoch" if frozen else f"no parameter matches {self.layers!r}"
            raise NoEffect(f"freeze changes nothing: {why}. The network has {', '.join(names[:6]) or 'none'}.")
        if len(frozen) == len(names):
            raise ValueError(
                f"freeze.layers (={self.layers}) leaves nothing to train. Name layers to train under 'but'."
            )
        self._networks = (*self._networks, model)
        self._hold()
        return model, list(dict.fromkeys(name.rpartition(".")[0] for name in frozen))

    def on_epoch(self, epoch: int, metrics: Mapping[str, NDArray[np.float64]]) -> None:
        self._epoch = epoch
        self._hold()

    def state(self) -> dict[str, Any]:
        return {"epoch": self._epoch}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._epoch = state["epoch"]
        self._hold()

    def _hold(self) -> None:
        """Freeze or thaw; a stack takes it over from its networks at the beginning of an epoch."""
        for network in self._networks:
            for name, parameter in network.named_parameters():
                if self._keeps(name):
                    parameter.requires_grad_(self._epoch >= self._thaws)

    def _keeps(self, name: str) -> bool:
        return matches(name, self.layers) and not matches(name, self.but)
