"""Custom optimizers with the schedules and parameter groups of a recipe, for any ``torch.optim.Optimizer``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, PrivateAttr

from ablate.optimizers.build import is_scheduled, value_at
from ablate.optimizers.optimizer import Group, Optimizer
from ablate.recipe.settings import Choice, groups_of_target

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class OwnGroup(Group):
    """Other values for some of the parameters: any that the optimizer keeps in its parameter groups."""

    model_config = ConfigDict(extra="allow")

    def values(self) -> dict[str, Any]:
        return super().values() | (self.model_extra or {})


class OwnOptimizer(Optimizer):
    """A custom class or function, called as torch's optimizers are: with parameters, or groups of them, and arguments.

    Scheduled values are set in the parameter groups before each step.
    """

    target: str | None
    arguments: Mapping[str, Any]

    _make: Callable[..., TorchOptimizer] = PrivateAttr()
    _first: dict[str, Any] = PrivateAttr()

    @classmethod
    def of(
        cls, choice: Choice, make: Callable[..., TorchOptimizer], epochs: float, steps_per_epoch: int
    ) -> OwnOptimizer:
        """From the recipe, whose target is ``make``."""
        options: Mapping[str, Any] = choice.options  # type: ignore[assignment]
        groups = groups_of_target(options)
        arguments = {name: value for name, value in options.items() if name != "groups" or not groups}
        # the values are for the target to check
        own: OwnOptimizer = cls.model_construct(
            target=choice.target,
            arguments=arguments,
            groups=tuple(OwnGroup.model_construct(None, **group) for group in groups),
        )
        own._make = make
        own._first = {name: value_at(value, 0, epochs, steps_per_epoch) for name, value in arguments.items()}
        return own

    def fields(self) -> dict[str, Any]:
        return dict(self.arguments)

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return dict(now)

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        """Raises ValueError if the optimizer does not accept groups, or does not keep a group's or scheduled value."""
        changed: dict[str | None, dict[str, Any]] = {group.match: group.values() for group in reversed(self.groups)}
        if not self.groups:
            made = self._make([parameter for group in groups for parameter in group["params"]], **self._first)
        else:
            given = [
                {key: group[key] for key in ("params", "match", *changed.get(group["match"], ()))} for group in groups
            ]
            try:
                made = self._make(given, **self._first)
            except Exception as error:
                text = f"{type(error).__name__}: {' '.join(str(error).split())}"
                raise ValueError(
                    f"optimizer (={self.target}) does not accept optimizer.groups: {text.rstrip('.')}. Remove them."
                ) from error
        by_match = {group["match"]: group for group in groups}
        if {group.get("match") for group in made.param_groups} != by_match.keys() and self.groups:
            raise ValueError(f"optimizer (={self.target}) does not keep parameter groups. Remove optimizer.groups.")
        moving = {name for name, value in self.arguments.items() if is_scheduled(value)}
        for group in made.param_groups:
            match = group.get("match")
            for name in dict.fromkeys((*moving, *changed.get(match, ()))):
                if name not in getattr(made, "defaults", group) or not _same(group.get(name), by_match[match][name]):
                    what = "have a schedule" if name in moving else "differ between groups"
                    raise ValueError(
                        f"optimizer.{name} cannot {what}, because optimizer (={self.target}) does not keep this value "
                        "in its parameter groups. Use a constant."
                    )
        return made


def _same(kept: Any, given: Any) -> bool:
    return bool(list(kept) == given if isinstance(kept, tuple) else kept == given)
