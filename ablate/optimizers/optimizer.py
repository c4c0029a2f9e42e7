"""The contract of an optimizer that recipes name."""

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
    """Other values for some of the parameters: the first group whose pattern matches a parameter's name takes it."""

    match: str = Field(
        description="shell pattern over parameter names, such as '*.bias' or 'conv1.*'; '1d' matches all biases and norms"
    )
    lr: Rate | None = Field(default=None, description="learning rate of these parameters; none: the optimizer's")
    weight_decay: Decay | None = Field(
        default=None, description="weight decay of these parameters; none: the optimizer's"
    )


class Optimizer(Named):
    """Base of all optimizers: numbers in time become torch's parameter-group values."""

    stacks: ClassVar[bool | str] = True
    """Whether it treats every weight by itself, so that a stack of seeds is one larger network to it; otherwise what it does, such as 'takes norms'."""

    lr: Rate = Field(default=0.01, description="learning rate")
    groups: tuple[Group, ...] = Field(default=(), description="other rates and decays for some parameters")

    def under_tricks(self) -> Self:
        """The same, told that tricks change the rate while it trains, such as a plateau."""
        return self

    @abstractmethod
    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """The keys of a torch parameter group, from the present values of this class's fields (``now``: field name → number)."""

    @abstractmethod
    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The torch optimizer over parameter groups that already hold their values."""

    def build_stacked(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """The same over the parameters (R, …) of a stack."""
        return self.build(groups)
