"""The base class of optimizers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field

from ablate.registry import Named
from ablate.registry.fields import Range
from ablate.schedules import Scheduled

if TYPE_CHECKING:
    import torch

Rate = Annotated[Scheduled[float], Range(gt=0)]
Share = Annotated[Scheduled[float], Range(ge=0, lt=1)]
Decay = Annotated[Scheduled[float], Range(ge=0)]


class Group(Named):
    """Other values for some of the parameters.

    A parameter belongs to the first group whose pattern matches its name.
    """

    match: str = Field(
        description=(
            "shell pattern of parameter names, such as '*.bias' or 'conv1.*'; '1d' matches all biases and the "
            "parameters of norms, '2d' all others"
        )
    )
    lr: Rate | None = Field(default=None, description="learning rate of the group; null: that of the optimizer")
    weight_decay: Decay | None = Field(
        default=None, description="weight decay of the group; null: that of the optimizer"
    )

    def values(self) -> dict[str, Any]:
        """The values of this group that replace the optimizer's: numbers and schedules."""
        own = {"lr": self.lr, "weight_decay": self.weight_decay}
        return {name: value for name, value in own.items() if value is not None}


class Optimizer(Named):
    """Base of all optimizers: schedules become values of torch's parameter groups."""

    stacks: ClassVar[bool | str] = True
    """Whether each parameter is updated elementwise, so that a stack of seeds is like one larger network; otherwise the
    reason, such as 'takes norms'.
    """

    lr: Rate = Field(default=0.01, description="learning rate")
    groups: tuple[Group, ...] = Field(
        default=(), description="parameter groups with their own learning rate and weight decay"
    )

    def under_tricks(self) -> Self:
        """The same settings, given that tricks such as plateau change the learning rate during training."""
        return self

    def fields(self) -> dict[str, Any]:
        """The settings: numbers and schedules."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @abstractmethod
    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a torch parameter group, from the current values of this class's fields (``now``: field name →
        number).
        """

    @abstractmethod
    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer for parameter groups that already have their values."""

    def build_stacked(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The same for the parameters (R, …) of a stack."""
        return self.build(groups)
