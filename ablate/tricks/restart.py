"""Back to the weights of an earlier epoch, with another rate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from ablate.optimizers.optimizer import Optimizer, Rate
from ablate.optimizers.parts import InParts
from ablate.registry import Card, register
from ablate.registry.fields import Epochs, Range
from ablate.tricks.shared.averaged import Averaged
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

    from ablate.recipe.settings import Settings


@register(
    "trick",
    "restart",
    card=Card(
        "Goes back to the weights of an earlier epoch with another rate.",
        source="what practitioners do by hand with a checkpoint; rewinding: Renda et al. 2020, Comparing Rewinding and Fine-tuning",
        helps="A rate that oscillates or stalls: the same training from epoch k on with a smaller or larger one.",
        costs="The epochs from from_epoch to at are thrown away; until then, their weights are kept twice.",
        interacts="Epochs and schedules count on. Noise and order of the second attempt are its own; swa must begin after it, an ema forgets by itself.",
    ),
    version=2,
)
class Restart(Trick):
    """After epoch ``at``, weights, buffers and (``optimizer: then``) the optimizer's state are those that epoch ``from_epoch`` ended with.

    From there on the rate is ``lr``, a number or a schedule over the whole training, or ``factor`` times what the settings say. ``from_epoch: 0`` are the
    initial values.
    """

    stacked = True
    order = 96

    at: Epochs = Field(default=Epochs(share=0.6), description="the epoch after which it goes back")
    from_epoch: Epochs = Field(
        default=Epochs(share=0.3), description="the epoch whose weights it goes back to; 0: the initial ones"
    )
    lr: Rate | None = Field(default=None, description="the rate from then on")
    factor: Annotated[float, Range(gt=0)] | None = Field(default=None, description="or: times the rate of the settings")
    optimizer: Literal["then", "fresh"] = Field(
        default="then", description="the optimizer's state (momentum): of that epoch, or as at the start"
    )

    _kept: dict[str, Tensor] = PrivateAttr(default_factory=dict)
    _moments: dict[Any, Any] = PrivateAttr(default_factory=dict)
    _restarted: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def one_rate(self) -> Self:
        if self.lr is not None and self.factor is not None:
            raise ValueError("lr and factor both say the rate. Keep one of them.")
        return self

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError where the epochs are not in order, where ``lr`` would put one rate in the place of several, and where an average would keep
        the epochs that are thrown away."""
        back, at = self.from_epoch.of(settings.epochs), self.at.of(settings.epochs)
        if not back < at < settings.epochs:
            raise ValueError(
                f"restart.at (={at}) must come after from_epoch (={back}) and before the last epoch (={settings.epochs})."
            )
        for choice in settings.tricks:
            average = choice.options
            since = average.keeps_since(settings.epochs) if isinstance(average, Averaged) else None
            if since is not None and since < at:
                raise ValueError(
                    f"trick (={choice.name}) keeps weights from before restart.at (={at}), which are thrown away there. "
                    "Start it later, or keep one of the two."
                )
        optimizer = settings.optimizer.options
        if self.lr is not None and isinstance(optimizer, Optimizer):
            rates = any(group.lr is not None for group in optimizer.groups)
            if rates or (isinstance(optimizer, InParts) and optimizer.instead):
                raise ValueError(
                    f"restart.lr (={self.dump()['lr']}) would give all parameters of optimizer (={settings.optimizer.label}) one rate. Use restart.factor."
                )
        return settings

    def on_rate(self, rate: float | Tensor) -> float | Tensor:
        if not self._restarted:
            return rate
        if self.factor is not None:
            return rate * self.factor
        lr: float | None = self.now.lr
        return rate if lr is None else lr

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: TorchOptimizer) -> None:
        if epoch == self.from_epoch.of(self.context.epochs):
            self._kept = {name: tensor.clone() for name, tensor in weights.items()}
            self._moments = copy.deepcopy(optimizer.state_dict()["state"]) if self.optimizer == "then" else {}
        elif epoch == self.at.of(self.context.epochs):
            for name, tensor in weights.items():
                tensor.copy_(self._kept[name])
            optimizer.load_state_dict({**optimizer.state_dict(), "state": self._moments})
            self._kept, self._moments, self._restarted = {}, {}, True

    def state(self) -> dict[str, Any]:
        return {"kept": dict(self._kept), "moments": self._moments, "restarted": self._restarted}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._kept = {name: tensor.to(self.context.device, copy=True) for name, tensor in state["kept"].items()}
        self._moments = copy.deepcopy(state["moments"])
        self._restarted = state["restarted"]
