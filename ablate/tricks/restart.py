"""Go back to the weights of an earlier epoch with a different learning rate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from ablate.optimizers.optimizer import Optimizer, Rate
from ablate.optimizers.parts import InParts
from ablate.optimizers.several import Several
from ablate.recipe.settings import groups_of_target
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
        "Goes back to an earlier epoch's weights and changes the learning rate.",
        source="common practice with checkpoints; rewinding: Renda et al. 2020, Comparing Rewinding and Fine-tuning",
        helps=(
            "When a learning rate oscillates or stalls: the same training continues from epoch k with a different one."
        ),
        costs="Epochs after from_epoch are discarded; until then, a second copy of the weights is kept.",
        interacts=(
            "The count of epochs and the schedules continue. Noise and sample order differ from those of the "
            "discarded epochs. swa must start later; ema needs no change, because it forgets them."
        ),
    ),
    version=2,
)
class Restart(Trick):
    """After epoch ``at``, restores the weights and buffers of epoch ``from_epoch`` and, with ``optimizer: then``, the
    state of the optimizer.

    From then on, the learning rate is ``lr``, a number or a schedule over the whole training, or ``factor`` times that
    of the settings. ``from_epoch: 0`` is the initial weights.
    """

    stacked = True
    order = 96
    examples = (
        {"at": 2, "from_epoch": 1, "factor": 0.1},
        {"at": 2, "from_epoch": 0, "lr": 0.001, "optimizer": "fresh"},
    )
    example_needs = "epochs"

    at: Epochs = Field(default=Epochs(share=0.6), description="epoch after which to go back")
    from_epoch: Epochs = Field(default=Epochs(share=0.3), description="epoch to go back to; 0: the initial weights")
    lr: Rate | None = Field(default=None, description="learning rate from then on")
    factor: Annotated[float, Range(gt=0)] | None = Field(
        default=None, description="instead of lr: a factor for the learning rate of the settings"
    )
    optimizer: Literal["then", "fresh"] = Field(
        default="then", description="state of the optimizer, such as momentum. then: as at from_epoch; fresh: reset"
    )

    _kept: dict[str, Tensor] = PrivateAttr(default_factory=dict)
    _moments: dict[Any, Any] = PrivateAttr(default_factory=dict)
    _restarted: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def one_rate(self) -> Self:
        if self.lr is not None and self.factor is not None:
            raise ValueError("lr cannot be combined with factor. Remove one of them.")
        return self

    def on_settings(self, settings: Settings) -> Settings:
        """Raises ValueError if the epochs are not in order, ``lr`` would replace several learning rates, or an average
        would keep discarded weights.
        """
        if settings.steps is not None:
            raise ValueError(f"restart requires epochs, but steps (={settings.steps}) is set. Set epochs instead.")
        back, at = self.from_epoch.of(settings.epochs), self.at.of(settings.epochs)
        if not back < at < settings.epochs:
            raise ValueError(
                f"restart.at (={at}) must be greater than restart.from_epoch (={back}) and less than epochs "
                f"(={settings.epochs})."
            )
        for choice in settings.tricks:
            average = choice.options
            since = average.keeps_since(settings.epochs) if isinstance(average, Averaged) else None
            if since is not None and since < at:
                raise ValueError(
                    f"trick (={choice.name}) averages weights that restart.at (={at}) discards. Start it later, "
                    "or remove one of them."
                )
        optimizer = settings.optimizer.options
        if self.lr is not None:
            groups = (
                [group.values() for group in optimizer.groups]
                if isinstance(optimizer, Optimizer)
                else groups_of_target(optimizer)
            )
            rates = any("lr" in group for group in groups)
            if rates or isinstance(optimizer, Several) or (isinstance(optimizer, InParts) and optimizer.instead):
                raise ValueError(
                    f"restart.lr (={self.dump()['lr']}) would replace several learning rates of optimizer "
                    f"(={settings.optimizer.label}). Use restart.factor."
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
