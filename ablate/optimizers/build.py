"""From an optimizer's settings to torch's parameter groups, and the numbers in time that are set in them."""

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
    epochs: int = 1,
    steps_per_epoch: int = 1,
    stacked: bool = False,
) -> list[dict[str, Any]]:
    """Parameter groups for ``optimizer.build``, each with its values of step 0 and, under ``match``, the pattern that made it (None: the rest).

    A parameter belongs to the first of ``optimizer.groups`` whose pattern it matches. ``stacked``: parameters have a leading R axis, which '1d' does not
    count. Frozen parameters are in, for they may thaw. An optimizer `InParts` gets a group for each of its parts, named under ``part``. Raises ValueError
    where a pattern takes no parameter.
    """
    named = dict(named_parameters)
    parts: Mapping[str, str] = {}
    if isinstance(optimizer, InParts):
        parts = optimizer.part({name: tuple(parameter.shape[stacked:]) for name, parameter in named.items()})
    members: dict[int | None, dict[str, list[Tensor]]] = {i: {} for i in (*range(len(optimizer.groups)), None)}
    for name, parameter in named.items():
        place = _group_of(name, parameter.dim() - stacked, optimizer.groups)
        members[place].setdefault(parts.get(name, ""), []).append(parameter)
    for index, group in enumerate(optimizer.groups):
        if not members[index]:
            raise ValueError(
                f"optimizer.groups.{index}.match (={group.match}) takes no parameter that an earlier group has not taken. "
                "Correct the pattern, or drop the group."
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
    torch_optimizer: TorchOptimizer, optimizer: Optimizer, epochs: int, steps_per_epoch: int
) -> Callable[[int], None] | None:
    """A function that sets the values of a step (counted from 0 over the whole training) in every parameter group; None where nothing is scheduled.

    What has no schedule is left alone, so that a trick may change it (a plateau's rate). The groups must be those of `parameter_groups`.
    """
    by_match = {group.match: group for group in reversed(optimizer.groups)}
    work = []
    for place, target in enumerate(torch_optimizer.param_groups):
        group, part = by_match.get(target["match"]), target.get("part", "")
        scheduled = {name for name, value in _fields(optimizer, group, part).items() if isinstance(value, Schedule)}
        # a key that is no field (betas) is made of several; a field without a schedule is left alone
        fixed = set(type(optimizer).model_fields) - scheduled
        if scheduled:
            work.append((place, group, part, fixed))
    if not work:
        return None

    def set_values(step: int) -> None:
        for place, group, part, fixed in work:
            target = torch_optimizer.param_groups[place]  # loading a state puts new groups in their place
            for key, value in _values(optimizer, group, part, step, epochs, steps_per_epoch).items():
                if key not in fixed:
                    target[key] = value

    return set_values


def rate_setter(
    torch_optimizer: TorchOptimizer,
    set_values: Callable[[int], None] | None,
    changes: Sequence[Callable[[float | Tensor], float | Tensor]],
) -> Callable[[int], None]:
    """A function that sets a step's values (``set_values``) and then has each group's rate changed, one change after another.

    The changes begin with what the settings or their schedule say at every step, so they need no memory of the rate. A rate may become (R,): see
    `ablate.optimizers.steps.rate_per_seed`. Raises ValueError for an optimizer without a rate.
    """
    from ablate.registry.lazy import torch

    if any("lr" not in group for group in torch_optimizer.param_groups):
        raise ValueError(f"optimizer (={type(torch_optimizer).__name__}) has no lr that a trick could change.")
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
    """What to pass as torch's ``fused``: True where its kernels exist (floats on CPU and CUDA), None elsewhere (torch decides).

    Measured on one CPU thread: a step of a small network takes 0.6 (SGD) and 0.4 (Adam) of the time, of a larger one less.
    """
    parameters = [parameter for group in groups for parameter in group["params"]]
    fits = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in parameters)
    return True if fits else None


def _group_of(name: str, dimensions: int, groups: tuple[Group, ...]) -> int | None:
    for index, group in enumerate(groups):
        if dimensions <= 1 if group.match == "1d" else fnmatchcase(name, group.match):
            return index
    return None


def _fields(optimizer: Optimizer, group: Group | None, part: str) -> dict[str, Any]:
    """The optimizer's fields as they hold for a part of a group: numbers and schedules."""
    fields = {name: getattr(optimizer, name) for name in type(optimizer).model_fields}
    if isinstance(optimizer, InParts):
        fields |= {name: fields[other] for name, other in optimizer.instead.get(part, {}).items()}
    for name in ("lr", "weight_decay"):
        if group is not None and getattr(group, name) is not None:
            fields[name] = getattr(group, name)
    return fields


def _values(
    optimizer: Optimizer, group: Group | None, part: str, step: int, epochs: int, steps_per_epoch: int
) -> dict[str, Any]:
    now = {
        name: value.at_step(step, epochs, steps_per_epoch) if isinstance(value, Schedule) else value
        for name, value in _fields(optimizer, group, part).items()
    }
    return optimizer.group_values(now)
