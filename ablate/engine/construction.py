"""Builds the parts of a training from settings: tricks, one seed's initialized network, the optimizer."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ablate.data.dataset import Spec
from ablate.engine.calling import add_hooks
from ablate.engine.replicas import CannotStack
from ablate.inits.init import Init
from ablate.layers.dropout import replace_dropout
from ablate.layers.lent import lend_copies
from ablate.models.model import Model
from ablate.models.user import build_target
from ablate.optimizers.build import parameter_groups, shapes_of, value_setter
from ablate.optimizers.optimizer import Optimizer
from ablate.optimizers.own import OwnOptimizer
from ablate.optimizers.several import Several
from ablate.printable import shortened
from ablate.recipe.settings import Choice, Settings
from ablate.registry import suggestion
from ablate.registry.lazy import torch
from ablate.rng.noise import key
from ablate.tricks.trick import Context, NoEffect, Trick, overrides

if TYPE_CHECKING:
    from torch import Tensor, nn


def seed_globals(seed: int, stream: str) -> None:
    """Seed the global generators that the user's code may use: those of torch, NumPy and Python."""
    import numpy as np

    number = key(seed, stream)
    # without a device to seed, torch.manual_seed still keeps a stack trace for it: 1 to 2 ms in every epoch
    (torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed)(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def make_tricks(
    settings: Settings, spec: Spec, folder: Path, seeds: tuple[int, ...] = (0,), device: str = "cpu"
) -> tuple[list[Trick], Context]:
    """The tricks of a training, bound to a context before the data are loaded; and the context."""
    context = Context(spec, seeds, settings.length(1), 1, device, settings.monitor.metric, settings.monitor.better)
    tricks = [make_trick(choice, folder) for choice in settings.tricks]
    for trick in tricks:
        trick.bind(context)
    return tricks, context


def make_trick(choice: Choice, folder: Path) -> Trick:
    """A new trick: a copy of the recipe's, or an instance of the user's class, validated."""
    if choice.name is not None:
        return choice.built_in(Trick).model_copy()
    target = choice.resolve(folder)
    if not (isinstance(target, type) and issubclass(target, Trick)):
        raise ValueError(f"tricks.target (={choice.target}) must be a subclass of ablate.Trick.")
    try:
        return target.model_validate(dict(choice.options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = suggestion(where, target.model_fields)
            hint = f"Did you mean '{near}'?" if near else f"Available: {', '.join(target.model_fields) or 'none'}."
            raise ValueError(f"tricks.{choice.target}.{where} is not a setting of {choice.label}. {hint}") from None
        raise ValueError(
            f"tricks.{choice.target}.{where} (={shortened(repr(first['input']))}): {first['msg']}."
        ) from None


def build_network(
    settings: Settings, spec: Spec, folder: Path, tricks: Sequence[Trick], seed: int | None
) -> tuple[nn.Module, dict[str, list[str]]]:
    """One seed's initialized network after all changes by tricks; and the layers that each trick changed.

    Tricks must be bound. Without a seed, the network is not initialized (for loading weights, and on the meta device).
    """
    if seed is not None:
        seed_globals(seed, "model")
    if settings.model.name is not None:
        model = settings.model.built_in(Model).for_data(settings.model.name, spec)
        network = model.build(spec.input_shape, spec.outputs)
    else:
        network = build_target(settings.model, folder, spec.input_form or spec.input_shape, spec.outputs)
    if seed is not None:
        initialise(network, settings, seed, folder)
    replace_dropout(network)
    changed: dict[str, list[str]] = {}
    for trick in tricks:
        if overrides(trick, "on_model"):
            network, layers = trick.on_model(network)
            if not layers:
                name = type(trick).__name__.lower()
                raise NoEffect(f"{name} has no effect: it does not apply to any layer of the network.")
            changed[type(trick).__name__] = list(layers)
    if settings.custom("model", "tricks"):
        network.register_forward_pre_hook(lend_copies)
    add_hooks(network, settings)
    return network, changed


def initialise(network: nn.Module, settings: Settings, seed: int, folder: Path) -> None:
    """Initialize a network with the recipe's ``init``. A custom network keeps its own initialization by default."""
    if settings.init.target is not None:
        settings.init.resolve(folder)(network, **settings.init.options)  # type: ignore[arg-type]
    elif settings.model.name is not None or settings.init.name != "default":
        settings.init.built_in(Init).apply(network, seed)


def make_optimizer(
    settings: Settings,
    parameters: Mapping[str, Tensor],
    steps_per_epoch: int,
    folder: Path,
    *,
    stacked: bool = False,
    moved: bool = False,
) -> tuple[torch.optim.Optimizer, Callable[[int], None] | None]:
    """The torch optimizer, and the function that sets its scheduled values for a step (None if there are none).

    ``stacked``: parameters are (R, …). ``moved``: tricks change the learning rate. Raises `CannotStack` if the
    optimizer would couple the seeds of a stack.
    """
    several, shapes = settings.optimizer.options, shapes_of(parameters, stacked=stacked)
    epochs = settings.length(steps_per_epoch)
    make = partial(_make, epochs, steps_per_epoch, folder, shapes, stacked=stacked, moved=moved)
    if not isinstance(several, Several):
        return make(settings.optimizer, parameters)

    from ablate.optimizers.steps.several import SeveralOptimizers

    optimizers, setters = [], []
    for path, part, own in several.split(parameters, stacked=stacked):
        try:
            optimizer, setter = make(part.use, own)
            if wants_closure(optimizer):
                label = part.use.target or part.use.name
                raise ValueError(f"optimizer (={label}) requires a closure, so it cannot be a part. Use another one.")
        except ValueError as error:
            raise type(error)(str(error).replace("optimizer", path, 1)) from error
        for group in optimizer.param_groups:
            group["match"] = group.get("match") or part.match
        optimizers.append(optimizer)
        setters += [setter] if setter is not None else []
    return SeveralOptimizers(optimizers), partial(_set_all, setters) if setters else None


def _set_all(setters: Sequence[Callable[[int], None]], step: int) -> None:
    for setter in setters:
        setter(step)


def _make(
    epochs: float,
    steps_per_epoch: int,
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    choice: Choice,
    parameters: Mapping[str, Tensor],
    *,
    stacked: bool,
    moved: bool,
) -> tuple[torch.optim.Optimizer, Callable[[int], None] | None]:
    """`make_optimizer` for a single optimizer, of some or all parameters of a network with these ``shapes``."""
    from ablate.optimizers.steps.rate_per_seed import take_rates

    named = (
        OwnOptimizer.of(choice, choice.resolve(folder), epochs, steps_per_epoch)
        if choice.target is not None
        else choice.built_in(Optimizer)
    )
    if moved:
        named = named.under_tricks()
    if stacked and named.stacks is not True:
        raise CannotStack(f"optimizer (={choice.name}) {named.stacks}.")
    groups = parameter_groups(
        named, parameters.items(), epochs=epochs, steps_per_epoch=steps_per_epoch, stacked=stacked, shapes=shapes
    )
    if stacked:
        optimizer = named.build_stacked(groups)
        if choice.target is not None and type(optimizer) not in elementwise_optimizers():
            raise CannotStack(
                f"optimizer (={choice.target}) may couple parameters, so seeds cannot be trained in parallel."
            )
        take_rates(optimizer)
    else:
        optimizer = named.build(groups)
    return optimizer, value_setter(optimizer, named, epochs, steps_per_epoch)


def wants_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer's step requires a closure: ``wants_closure`` is true, or it is not optional (LBFGS)."""
    if hasattr(optimizer, "wants_closure"):
        return bool(optimizer.wants_closure)
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def elementwise_optimizers() -> tuple[type[torch.optim.Optimizer], ...]:
    """torch's elementwise optimizers, for which a stack of seeds is one larger network."""
    o = torch.optim
    return (o.SGD, o.ASGD, o.Adagrad, o.Adadelta, o.RMSprop, o.Rprop, o.Adam, o.AdamW, o.Adamax, o.NAdam, o.RAdam)
