"""What tricks have in common that judge a network by averaged weights, while the live ones go on training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, PrivateAttr

from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.recipe.settings import Settings

Norms = Literal["recompute", "live"]
"""Batch norm's statistics for averaged weights: measured anew on the training part, or those of the live network."""


class Averaged(Trick):
    """Base: averaged weights by name, those of a stack (R, …), that validation, best and last weights use once there are any.

    ``norms: recompute`` costs a forward pass over the training part each epoch where there is batch norm, and nothing elsewhere.
    """

    stacked = True
    order = 95

    norms: Norms = Field(
        default="recompute",
        description="batch norm's statistics for the averaged weights: measured anew after every epoch, or the live network's",
    )

    _average: dict[str, Tensor] = PrivateAttr(default_factory=dict)
    _count: int = PrivateAttr(default=0)
    _step: int = PrivateAttr(default=0)

    def keeps_since(self, epochs: int) -> int | None:
        """The epochs after which weights stay in the average for good; None where they fade."""
        return 0

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError beside another average, as a row can be judged by one of them only."""
        names = [str(choice.name) for choice in settings.tricks if isinstance(choice.options, Averaged)]
        if len(names) > 1:
            raise ValueError(f"tricks (={', '.join(names)}) all say which weights are validated. Keep one of them.")
        return settings

    def evaluation_weights(self) -> Mapping[str, Tensor] | None:
        return self._average if self._count else None

    @property
    def fresh_norms(self) -> bool:
        return self.norms == "recompute"

    def state(self) -> dict[str, Any]:
        return {"average": dict(self._average), "count": self._count, "step": self._step}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._average = {name: tensor.to(self.context.device, copy=True) for name, tensor in state["average"].items()}
        self._count, self._step = state["count"], state["step"]
