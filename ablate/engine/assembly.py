"""From settings to a training that is ready to run: data, network, optimizer, tricks and noise, put together in one order."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from ablate.data.dataset import Parts, Spec
from ablate.data.loaders import Loader, loader_for
from ablate.engine.device import dtype_of, place, prepare
from ablate.engine.trainer import Assignment
from ablate.inits.init import Init
from ablate.layers.noisy_dropout import NoisyDropout, replace_dropout
from ablate.losses.loss import Loss
from ablate.metrics.metric import Metric
from ablate.models.model import Model
from ablate.models.user import build_target
from ablate.optimizers.build import parameter_groups, value_setter
from ablate.optimizers.optimizer import Optimizer
from ablate.recipe.settings import Choice, Settings
from ablate.registry.lazy import torch
from ablate.tricks.noise import Noise, key
from ablate.tricks.trick import Context, NoEffect, Trick, overrides

if TYPE_CHECKING:
    from torch import Tensor, nn

Measure = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass
class Assembly:
    """Everything that the loop touches, for the seeds of one stack."""

    settings: Settings
    seeds: tuple[int, ...]
    spec: Spec
    device: str
    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Measure
    loss_weight: Callable[[Tensor], Tensor | int]
    metrics: dict[str, Measure]
    tricks: list[Trick]
    train: Loader
    train_clean: Loader
    valid: Loader
    test: Loader | None
    streams: dict[str, Noise]
    setters: list[Callable[[int], None]]
    facts: dict[str, Any] = field(default_factory=dict)

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """The bound methods of those tricks that have this hook, in hook order; ``on_batch`` with the trick's own noise."""
        tricks = [trick for trick in self.tricks if overrides(trick, hook)]
        if hook == "on_batch":
            return [partial(trick.on_batch, noise=self.streams[stream_name(trick)]) for trick in tricks]
        return [getattr(trick, hook) for trick in tricks]

    def begin_epoch(self, epoch: int) -> None:
        """Key all random numbers by (seed, stream, epoch): an epoch's noise does not depend on how the training got there."""
        for noise in self.streams.values():
            noise.begin(epoch)
        seed_globals(self.seeds[0], f"global/{epoch}")

    def order(self, epoch: int) -> Tensor | None:
        """The order of the training samples in an epoch: (seed, data, epoch) decide it, nothing else does. None: as they stand."""
        if not self.settings.shuffle:
            return None
        noise = Noise(self.seeds, "order")
        noise.begin(epoch)
        return noise.permutation(len(self.train))


def stream_name(trick: Trick) -> str:
    """The name of a trick's own stream of noise."""
    return f"trick/{type(trick).__name__}"


def seed_globals(seed: int, stream: str) -> None:
    """Seed what a user's own code may draw from: torch's, NumPy's and Python's global generators."""
    import numpy as np

    number = key(seed, stream)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def assemble(assignment: Assignment, data: Parts) -> Assembly:
    """Put a training together. Raises ValueError in one line where settings, data and network do not fit, `NoEffect` where a trick changes nothing."""
    settings, seeds, device = assignment.settings, assignment.seeds, assignment.device
    prepare(device, settings.precision)
    seed_globals(seeds[0], "data")

    tricks, context = make_tricks(settings, data.spec, assignment.folder, seeds, device)
    for trick in tricks:
        data = trick.on_data(data)
    spec = data.spec

    dtype = dtype_of(settings.precision)
    load = partial(loader_for, mode=settings.loader, device=device, dtype=dtype, workers=settings.workers)
    train = load(data.train, batch_size=settings.batch_size)
    wide = wide_batch(settings.batch_size, spec)
    for trick in tricks:
        trick.bind(replace(context, spec=spec, steps_per_epoch=train.steps))

    network, changed = build_network(settings, spec, assignment.folder, tricks, seeds[0])
    network = place(network, device, settings.precision)
    streams = {
        stream_name(trick): Noise(seeds, stream_name(trick), device) for trick in tricks if overrides(trick, "on_batch")
    }
    for name, layer in network.named_modules():
        if isinstance(layer, NoisyDropout):
            streams[f"dropout/{name}"] = Noise(seeds, f"dropout/{name}", device)
            layer.bind(streams[f"dropout/{name}"])

    optimizer, set_optimizer = make_optimizer(settings, network, train.steps, assignment.folder)
    loss, loss_weight = make_loss(settings.loss, spec, assignment.folder, missing=has_gaps(data))
    setters = [trick.now.set for trick in tricks if trick.now.scheduled] + ([set_optimizer] if set_optimizer else [])
    return Assembly(
        settings=settings,
        seeds=seeds,
        spec=spec,
        device=device,
        network=network,
        optimizer=optimizer,
        loss=loss,
        loss_weight=loss_weight,
        metrics={choice.label: make_metric(choice, spec, assignment.folder) for choice in settings.metrics},
        tricks=tricks,
        train=train,
        train_clean=train.with_batch_size(wide),
        valid=load(data.valid, batch_size=wide),
        test=load(data.test, batch_size=wide) if data.test is not None else None,
        streams=streams,
        setters=setters,
        facts={
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "steps_per_epoch": train.steps,
            "data": dict(data.notes),
            "surgery": changed,
            "notes": [],
        },
    )


def wide_batch(batch_size: int, spec: Spec) -> int:
    """Samples per batch where no gradient is kept: more than in training, as long as the inputs stay below about 16 MB."""
    elements = 1
    for side in spec.input_shape:
        elements *= side
    return max(batch_size, min(1024, 2**22 // max(elements, 1)))


def make_tricks(
    settings: Settings, spec: Spec, folder: Path, seeds: tuple[int, ...] = (0,), device: str = "cpu"
) -> tuple[list[Trick], Context]:
    """The tricks of a training, bound to what is known before its data are loaded, and that context."""
    context = Context(spec, seeds, settings.epochs, 1, device, settings.monitor.metric, settings.monitor.better)
    tricks = [make_trick(choice, folder) for choice in settings.tricks]
    for trick in tricks:
        trick.bind(context)
    return tricks, context


def make_trick(choice: Choice, folder: Path) -> Trick:
    """A trick of this training's own: a fresh copy of the recipe's, or the user's class with its settings checked."""
    if choice.name is not None:
        trick = choice.named.model_copy()
        assert isinstance(trick, Trick)
        return trick
    target = choice.resolve(folder)
    if not (isinstance(target, type) and issubclass(target, Trick)):
        raise ValueError(f"tricks.target (={choice.target}) must be a subclass of ablate.Trick.")
    try:
        return target.model_validate(dict(choice.options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{choice.label}.{where} (={first['input']!r}): {first['msg']}.") from None


def build_network(
    settings: Settings, spec: Spec, folder: Path, tricks: Sequence[Trick], seed: int | None
) -> tuple[nn.Module, dict[str, list[str]]]:
    """One seed's network with its initial values, after all surgery; and what each trick changed in it. Tricks must be bound.

    Without a seed, the network keeps whatever values its construction gave it (for weights from a file, and on the meta device).
    """
    if seed is not None:
        seed_globals(seed, "model")
    if settings.model.name is not None:
        model = settings.model.named
        assert isinstance(model, Model)
        network = model.build(spec.input_shape, spec.outputs)
    else:
        network = build_target(settings.model, folder, spec.input_shape, spec.outputs)
    if seed is not None:
        initialise(network, settings, seed, folder)
    replace_dropout(network)
    changed: dict[str, list[str]] = {}
    for trick in tricks:
        if overrides(trick, "on_model"):
            network, layers = trick.on_model(network)
            if not layers:
                raise NoEffect(
                    f"{type(trick).__name__.lower()} changes nothing: the network has no layer that it applies to."
                )
            changed[type(trick).__name__] = list(layers)
    return network, changed


def initialise(network: nn.Module, settings: Settings, seed: int, folder: Path) -> None:
    """Give a network the initial values that the recipe asks for.

    A network of the user's own keeps what its constructor gave it, unless the recipe names an initialisation.
    """
    if settings.init.target is not None:
        settings.init.resolve(folder)(network, **settings.init.options)  # type: ignore[arg-type]
    elif settings.model.name is not None or settings.init.name != "default":
        init = settings.init.named
        assert isinstance(init, Init)
        init.apply(network, seed)


def make_optimizer(
    settings: Settings, network: nn.Module, steps_per_epoch: int, folder: Path
) -> tuple[torch.optim.Optimizer, Callable[[int], None] | None]:
    """The torch optimizer, and what sets its values for a step (None where nothing is scheduled)."""
    choice = settings.optimizer
    if choice.target is not None:
        return choice.resolve(folder)(network.parameters(), **choice.options), None  # type: ignore[arg-type]
    named = choice.named
    assert isinstance(named, Optimizer)
    optimizer = named.build(
        parameter_groups(named, network.named_parameters(), epochs=settings.epochs, steps_per_epoch=steps_per_epoch)
    )
    return optimizer, value_setter(optimizer, named, settings.epochs, steps_per_epoch)


def has_gaps(data: Parts) -> bool:
    """Whether any target may be missing (NaN); asked once, so that no batch has to be. Data that are not in memory may have gaps."""
    parts = [part for part in (data.train, data.valid, data.test) if part is not None]
    return any(
        part.targets is None or (part.targets.is_floating_point() and bool(part.targets.isnan().any()))
        for part in parts
    )


def make_loss(
    choice: Choice, spec: Spec, folder: Path, *, missing: bool
) -> tuple[Measure, Callable[[Tensor], Tensor | int]]:
    """The loss, and what each batch counts for in an epoch's mean. ``missing`` says whether targets may be NaN."""
    if choice.target is not None:
        return with_arguments(choice, folder), len
    loss = choice.named
    assert isinstance(loss, Loss)
    if loss.task is not None and spec.task not in (loss.task, "other"):
        kinds = {"classification": "class numbers", "regression": "numbers"}
        raise ValueError(
            f"loss (={choice.name}) needs targets that are {kinds[loss.task]}; the data's are {kinds[spec.task]}."
        )
    told = loss.for_targets(missing=missing)
    return told, told.weight


def make_metric(choice: Choice, spec: Spec, folder: Path) -> Measure:
    """A metric as a function of all predictions and targets of a part."""
    if choice.target is not None:
        return with_arguments(choice, folder)
    metric = choice.named
    assert isinstance(metric, Metric)
    return lambda prediction, target: metric.measure(prediction, target, spec)


def with_arguments(choice: Choice, folder: Path) -> Measure:
    """The user's function with the recipe's arguments; a class is made into an object first."""
    target = choice.resolve(folder)
    options: Mapping[str, Any] = choice.options  # type: ignore[assignment]
    made: Any = target(**options) if inspect.isclass(target) else partial(target, **options)
    return cast("Measure", made)
