"""Create torch's parameter groups from an optimizer's settings, and set scheduled values in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ablate.optimizers.parts import InParts
from ablate.schedules import Schedule

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

    from ablate.optimizers.optimizer import Group, Optimizer


def parameter_groups(
    optimizer: Optimizer,
    named_parameters: Iterable[tuple[str, Tensor]],
    *,
    epochs: float = 1,
    steps_per_epoch: int = 1,
    stacked: bool = False,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[dict[str, Any]]:
    """Parameter groups for ``optimizer.build``, each with its values at step 0 and, under ``match``, its pattern (None:
    the rest).

    A parameter belongs to the first of ``optimizer.groups`` whose pattern it matches. ``stacked``: parameters have a
    leading R axis, which '1d' and '2d' ignore. ``shapes``: of all of the network's parameters, if these are not all.
    Frozen parameters are included, because they may be unfrozen later. An optimizer
    `InParts` has one group per part, named under ``part``. Raises ValueError if a pattern matches no parameter.
    """
    named = dict(named_parameters)
    parts: Mapping[str, str] = {}
    if isinstance(optimizer, InParts):
        parts = optimizer.part(shapes or shapes_of(named, stacked=stacked), named.keys())
    members: dict[int | None, dict[str, list[Tensor]]] = {i: {} for i in (*range(len(optimizer.groups)), None)}
    for name, parameter in named.items():
        place = first_match([group.match for group in optimizer.groups], name, parameter.dim() - stacked)
        members[place].setdefault(parts.get(name, ""), []).append(parameter)
    for index, group in enumerate(optimizer.groups):
        if not members[index]:
            raise ValueError(
                f"optimizer.groups.{index}.match (={group.match}) matches no remaining parameters. Correct the "
                "pattern, or remove the group."
            )
    result = []
    for place, by_part in members.items():
        group_of_place = None if place is None else optimizer.groups[place]
        match = None if group_of_place is None else group_of_place.match
        for part, parameters in by_part.items():
            values = _values(optimizer, group_of_place, part, 0, epochs, steps_per_epoch)
            result.append({"params": parameters, "match": match, **({"part": part} if part else {}), **values})
    return result


def value_setter(
    torch_optimizer: TorchOptimizer, optimizer: Optimizer, epochs: float, steps_per_epoch: int
) -> Callable[[int], None] | None:
    """A function that sets the values of a step (counted from 0 over the whole training) in every parameter group; None
    if nothing is scheduled.

    Values without a schedule are not set, so that a trick may change them, such as plateau the learning rate. The
    groups must be those of `parameter_groups`.
    """
    by_match: dict[str | None, Group] = {group.match: group for group in reversed(optimizer.groups)}
    work = []
    for place, target in enumerate(torch_optimizer.param_groups):
        group, part = by_match.get(target.get("match")), target.get("part", "")
        fields = _fields(optimizer, group, part)
        scheduled = {name for name, value in fields.items() if is_scheduled(value)}
        # a key that is not a field (betas) combines several; a field without a schedule is not set
        fixed = fields.keys() - scheduled
        if scheduled:
            work.append((place, group, part, fixed))
    if not work:
        return None

    def set_values(step: int) -> None:
        for place, group, part, fixed in work:
            target = torch_optimizer.param_groups[place]  # loading a state replaces the groups
            for key, value in _values(optimizer, group, part, step, epochs, steps_per_epoch).items():
                if key not in fixed:
                    target[key] = value

    return set_values


def rate_setter(
    torch_optimizer: TorchOptimizer,
    set_values: Callable[[int], None] | None,
    changes: Sequence[Callable[[float | Tensor], float | Tensor]],
) -> Callable[[int], None]:
    """A function that sets a step's values (``set_values``) and then applies the changes to each group's learning rate,
    in order.

    The changes start from the settings or their schedule in every step, so they need no state. A learning rate may
    become (R,): see `ablate.optimizers.steps.rate_per_seed`. Raises ValueError for an optimizer without a learning
    rate.
    """
    from ablate.registry.lazy import torch

    if any("lr" not in group for group in torch_optimizer.param_groups):
        raise ValueError(f"optimizer (={type(torch_optimizer).__name__}) must have an lr, because a trick changes it.")
    written = [group["lr"] for group in torch_optimizer.param_groups]

    def set_rates(step: int) -> None:
        for group, rate in zip(torch_optimizer.param_groups, written, strict=True):
            group["lr"] = rate
        if set_values is not None:
            set_values(step)
        for group in torch_optimizer.param_groups:
            for change in changes:
                group["lr"] = change(group["lr"])
            if isinstance(group["lr"], torch.Tensor):
                group["lr"] = group["lr"].to(group["params"][0].dtype)

    return set_rates


def fused(groups: Iterable[dict[str, Any]]) -> bool | None:
    """The value of torch's ``fused``: True if its kernels exist (floats on CPU and CUDA), otherwise None (torch
    decides).

    On one CPU thread, a fused step of a small network takes 0.6 (SGD) and 0.4 (Adam) times as long; the gain is smaller
    for a large network.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    fits = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    return True if fits else None


def alike_on_cpu(groups: Iterable[dict[str, Any]]) -> bool:
    """Whether all parameters are floats of one dtype on the CPU: see `ablate.optimizers.steps.fused`."""
    parameters = [parameter for group in groups for parameter in group["params"]]
    kinds = {(p.device.type, p.dtype) for p in parameters}
    return len(kinds) == 1 and kinds.pop()[0] == "cpu" and parameters[0].is_floating_point()


def shapes_of(named: Mapping[str, Tensor], *, stacked: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of one network's parameters."""
    return {name: tuple(parameter.shape[stacked:]) for name, parameter in named.items()}


def first_match(patterns: Sequence[str | None], name: str, dimensions: int) -> int | None:
    """The number of the first pattern that a parameter matches. None as a pattern matches all parameters."""
    for index, pattern in enumerate(patterns):
        if pattern in ("1d", "2d"):
            found = (dimensions >= 2) == (pattern == "2d")
        else:
            found = pattern is None or fnmatchcase(name, pattern)
        if found:
            return index
    return None


def _fields(optimizer: Optimizer, group: Group | None, part: str) -> dict[str, Any]:
    """The optimizer's fields for one part of a group: numbers and schedules."""
    fields = optimizer.fields()
    if isinstance(optimizer, InParts):
        fields |= {name: fields[other] for name, other in optimizer.instead.get(part, {}).items()}
    return fields if group is None else fields | group.values()


def _values(
    optimizer: Optimizer, group: Group | None, part: str, step: int, epochs: float, steps_per_epoch: int
) -> dict[str, Any]:
    fields = _fields(optimizer, group, part)
    return optimizer.group_values({k: value_at(v, step, epochs, steps_per_epoch) for k, v in fields.items()})


def is_scheduled(value: Any) -> bool:
    """Whether a value is a schedule, or a list with one."""
    return isinstance(value, Schedule) or (isinstance(value, list) and any(map(is_scheduled, value)))


def value_at(value: Any, step: int, epochs: float, steps_per_epoch: int) -> Any:
    """A schedule's value at a step, also within a list; anything else as it is."""
    if isinstance(value, Schedule):
        return value.at_step(step, epochs, steps_per_epoch)
    return [value_at(item, step, epochs, steps_per_epoch) for item in value] if is_scheduled(value) else value
