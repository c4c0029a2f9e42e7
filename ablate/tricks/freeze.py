"""Freeze layers for some epochs or throughout training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from ablate.recipe.node import show
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
        "Freezes some layers until an epoch, or throughout training.",
        source=(
            "Yosinski et al. 2014, How transferable are features in deep neural networks?; Howard and Ruder 2018, "
            "ULMFiT, section 3.3"
        ),
        helps=(
            "When fine-tuning on few samples: transferred layers are not damaged while the new output layer is still "
            "random."
        ),
        costs=(
            "Frozen layers cannot adapt. Epochs are faster, because layers below the lowest trained layer need no "
            "gradients."
        ),
        interacts=(
            "Usually combined with from_weights; with random layers, it shows how much training them contributes. "
            "Weight decay and momentum do not change frozen weights, only max_norm does. Running statistics of norms "
            "are still updated."
        ),
    ),
)
class Freeze(Trick):
    """Parameters that match ``layers`` but not ``but`` have no gradient until epoch ``until`` has ended, and the
    optimizer skips them.

    ``{layers: "*", but: [conv1.*, output.*]}`` trains the first and the last layer only.
    """

    stacked = True
    shows_at_once = False
    shorthand = "layers"
    order = 85
    examples = ({"layers": "conv*"}, {"layers": ["*"], "but": "output.*", "until": 1})

    layers: Patterns = Field(description="names of the parameters to freeze, as shell patterns: conv*")
    but: Patterns = Field(default=(), description="exceptions: names to train nevertheless, such as output.*")
    until: Epochs = Field(
        default=Epochs(share=1.0), description="number of epochs to freeze them for; 100%: throughout training"
    )

    _epoch: int = PrivateAttr(default=0)
    _networks: tuple[nn.Module, ...] = PrivateAttr(default=())

    @property
    def _thaws(self) -> int:
        return self.until.of(self.context.epochs)

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises `NoEffect` if no parameter matches or ``until`` is 0 epochs, ValueError if no parameter would be
        trained.
        """
        names = [name for name, _ in model.named_parameters()]
        frozen = [name for name in names if self._keeps(name)]
        if not frozen or not self._thaws:
            why = (
                f"'until' (={self.until.dump()}) is less than one epoch"
                if frozen
                else f"no parameter matches {show(self.layers)}"
            )
            raise NoEffect(f"freeze has no effect: {why}. The network has {', '.join(names[:6]) or 'none'}.")
        if len(frozen) == len(names):
            raise ValueError(
                f"freeze.layers (={show(self.layers)}) freezes all parameters. List parameters to train in freeze.but."
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
        """Freeze or unfreeze; a stack follows its networks at the beginning of an epoch."""
        for network in self._networks:
            for name, parameter in network.named_parameters():
                if self._keeps(name):
                    parameter.requires_grad_(self._epoch >= self._thaws)

    def _keeps(self, name: str) -> bool:
        return matches(name, self.layers) and not matches(name, self.but)
