"""Base of tricks that evaluate averaged weights while training continues with the current weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr

from ablate.registry.lazy import torch
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.recipe.settings import Settings

Norms = Literal["recompute", "live"]
"""Batch norm statistics for averaged weights: recomputed on the training set, or those of the current network."""


class Averaged(Trick):
    """Averaged weights by name, in a stack (R, …). Once they exist, validation and the reported weights use them.

    If the network has batch norm, ``norms: recompute`` costs a forward pass over the training set in each epoch.
    """

    stacked = True
    order = 95

    norms: Norms = Field(
        default="recompute",
        description=(
            "batch norm statistics for the averaged weights. recompute: recomputed after every epoch; live: those of "
            "the training network"
        ),
    )

    _average: dict[str, Tensor] = PrivateAttr(default_factory=dict)
    _count: int = PrivateAttr(default=0)
    _step: int = PrivateAttr(default=0)

    def keeps_since(self, epochs: float) -> int | None:
        """The epoch from which weights stay in the average permanently; None if they fade."""
        return 0

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if there is another average, because only one can be evaluated."""
        names = [str(choice.name) for choice in settings.tricks if isinstance(choice.options, Averaged)]
        if len(names) > 1:
            raise ValueError(
                f"tricks (={', '.join(names)}) cannot be combined, because each evaluates its own averaged weights. "
                "Keep one of them."
            )
        return settings

    def evaluation_weights(self) -> Mapping[str, Tensor] | None:
        return self._average if self._count else None

    @property
    def fresh_norms(self) -> bool:
        return self.norms == "recompute"

    def include(
        self, parameters: Mapping[str, Tensor], average: Callable[[list[Tensor], list[Tensor], int], None]
    ) -> None:
        """Add weights to the average by a function of `torch.optim.swa_utils`; the first ones are copied."""
        with torch.no_grad():
            if self._count:
                average(list(self._average.values()), list(parameters.values()), self._count)
            else:
                self._average = {name: weight.detach().clone() for name, weight in parameters.items()}
        self._count += 1

    def state(self) -> dict[str, Any]:
        return {"average": dict(self._average), "count": self._count, "step": self._step}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._average = {name: tensor.to(self.context.device, copy=True) for name, tensor in state["average"].items()}
        self._count, self._step = state["count"], state["step"]
