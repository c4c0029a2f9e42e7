"""Builds a training from settings: data, networks, optimizer, tricks and random streams, in a fixed order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from ablate.data.batches import on_device
from ablate.data.dataset import Batch, Parts, Spec
from ablate.data.loaders import Loader, loader_for
from ablate.data.rounding import check_inputs, check_targets
from ablate.engine.broadcasting import check_pairing
from ablate.engine.compiling import compile_network
from ablate.engine.construction import build_network, seed_globals, wants_closure
from ablate.engine.contract import Assignment, Facts
from ablate.engine.data_checks import check_forms, check_input_type, check_stream, data_notes, targets_stay
from ablate.engine.data_dependent_init import adapt_to_data
from ablate.engine.device import dtype_of, place, prepare, scaler_for
from ablate.engine.dry_run import SAMPLES, dry_run, unstackable_batches
from ablate.engine.each_seed import EachSeed, one_by_one, weight_of_each
from ablate.engine.example_values import EachExample
from ablate.engine.last_batch import batches_for_norms, try_one_sample
from ablate.engine.measures import Measure, Measures, make_measures
from ablate.engine.pieces import WHOLE, Pieces, wide_batch
from ablate.engine.points import Points
from ablate.engine.replicas import CannotStack, OneNetwork, Replicas, Stack
from ablate.engine.scheduled import optimizer_and_setters
from ablate.engine.stacked_tricks import (
    changed_data,
    check_apart,
    has_hook,
    judged_by,
    make_streams,
    of_seed,
    stream_name,
    tricks_for,
)
from ablate.engine.tracked_metrics import TrackedMetrics
from ablate.losses.from_model import FromModel, WithTargets
from ablate.notes.note import Note
from ablate.recipe.settings import Settings
from ablate.registry import entries
from ablate.registry.lazy import torch
from ablate.rng.noise import Noise
from ablate.trees import Tree
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Assembly:
    """Everything that the training loop uses, for the R seeds of one stack; R can be 1.

    ``loss`` is a mean over a batch, or several (`Loss.terms`) whose sum is the loss.
    """

    settings: Settings
    seeds: tuple[int, ...]
    spec: Spec
    device: str
    replicas: Replicas
    optimizer: torch.optim.Optimizer
    loss: Measure
    loss_weight: Callable[[Tensor], Tensor | int]
    metrics: dict[str, Measure]
    each_example: EachExample
    tricks: list[Trick | EachSeed]
    train: Loader
    train_clean: Loader
    train_norms: Loader
    valid: Loader
    test: Loader | None
    streams: dict[str, Noise]
    setters: list[Callable[[int], None]]
    batches_per_step: int
    needs_positions: bool
    steps_per_epoch: int
    points: Points
    wants_closure: bool
    scaler: torch.amp.GradScaler
    judged: Trick | EachSeed | None
    computes_loss: bool
    tracked: TrackedMetrics
    facts: Facts
    pieces: Pieces
    targets: Tensor | None = None
    first_loss: Tensor | None = None
    skipped_steps: int = 0

    @property
    def last_epoch(self) -> int:
        """The number of the last epoch, which may be cut short."""
        return math.ceil(self.settings.epochs)

    def steps_left(self, step: int) -> int:
        """The number of steps from this one to the end of training."""
        return self.points.steps - step

    @property
    def network(self) -> nn.Module:
        """The network of a single seed; in a stack, the architecture without values."""
        return self.replicas.template

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """The bound methods of the tricks that have this hook, in hook order; ``on_batch`` with the trick's own noise.

        Tracked metrics see gradients before the tricks, and weights after them.
        """
        tricks = [trick for trick in self.tricks if has_hook(trick, hook)]
        if hook == "on_batch":
            return [partial(trick.on_batch, noise=self._noise(trick)) for trick in tricks]
        methods = [getattr(trick, hook) for trick in tricks]
        if hook in ("on_pass", "on_gradients"):
            return [*self.tracked.hooks(hook), *methods]
        return [*methods, *self.tracked.hooks(hook)] if hook == "on_weights" else methods

    def whole_loss(self, loss: Tensor) -> Tensor:
        """0-d or (R,): the sum of the loss's terms, if it has any."""
        return loss.sum(dim=-1) if loss.dim() > self.replicas.lead else loss

    def mean_loss(self, total: Tensor, weight: Tensor | int) -> Tensor:
        """The loss of many batches, from the sums of loss times weight and of weights; a term without targets is 0."""
        mean = total / weight
        if mean.dim() > self.replicas.lead and isinstance(weight, torch.Tensor):
            mean = torch.where((weight == 0) & weight.any(dim=-1, keepdim=True), 0.0, mean)
        return self.whole_loss(mean)

    def given(self, inputs: Tree, targets: Tree) -> Tree:
        """What the network gets: the inputs of a batch, and its targets if the network computes the loss."""
        return WithTargets(inputs, targets) if self.computes_loss else inputs

    def predict(self, inputs: Tensor, batch: int) -> Tensor:
        """Predictions in evaluation mode, (N, …), in a stack (R, N, …), for batch number ``batch``."""
        predict: Callable[[Tensor], Tensor] = partial(self.pieces.predict, self.replicas.predict)
        for hook in self.hooks("on_predict"):
            predict = partial(hook, self.replicas.template, predict, batch=batch)
        return predict(inputs)

    def between_epochs(self, epoch: int) -> None:
        """Call the hooks ``between_epochs``, which may change the weights."""
        if hooks := self.hooks("between_epochs"):
            with torch.no_grad():
                weights = {name: tensor.detach() for name, tensor in self.replicas.state().items()}
                for hook in hooks:
                    hook(epoch, weights, self.optimizer)

    def _noise(self, trick: Trick | EachSeed) -> Any:
        if isinstance(trick, EachSeed):
            return [self.streams[f"{stream_name(trick)}/{seed}"] for seed in self.seeds]
        return self.streams[stream_name(trick)]

    def begin_epoch(self, epoch: int) -> None:
        """Key all random numbers by (seed, stream, epoch), so that they do not depend on earlier epochs."""
        for noise in self.streams.values():
            noise.begin(epoch)
        self.train.begin(self.seeds, epoch)
        seed_globals(self.seeds[0], f"global/{epoch}")
        self.tracked.begin(epoch)

    def order(self, epoch: int) -> Tensor | None:
        """The order of the training samples in an epoch, in a stack (R, n); None for the order of the dataset.

        It depends on (seed, data, epoch), and on tricks with ``on_order``.
        """
        if not self.train.ordered:
            return None
        tricks = [trick for trick in self.tricks if has_hook(trick, "on_order")]
        n = len(self.train)
        if self.settings.shuffle:
            order = self._noise_of_order(epoch, "order").permutation(n)
        elif self.replicas.lead or tricks:
            order = torch.arange(n).expand(len(self.seeds), -1) if self.replicas.lead else torch.arange(n)
        else:
            return None
        for trick in tricks:
            stream = f"order/{stream_name(trick)}"
            noise: Any = self._noise_of_order(epoch, stream)
            if isinstance(trick, EachSeed):
                noise = [self._noise_of_order(epoch, stream, (seed,)) for seed in self.seeds]
            order = trick.on_order(order, self.targets, noise)
        return order

    def batches(self, epoch: int, order: Tensor | None = None) -> Iterator[Batch]:
        """The batches of an epoch, in its `order`, or in another one."""
        order = self.order(epoch) if order is None else order
        chunks: Iterable[Tensor | None] = repeat(None)
        if self.needs_positions:
            whole = torch.arange(len(self.train)) if order is None else order
            chunks = on_device(whole, torch.device(self.device)).split(self.settings.batch_size, dim=-1)
        for (inputs, targets), positions in zip(self.train.batches(order), chunks, strict=False):
            yield Batch(inputs, targets, targets, self.spec, positions=positions, epoch=epoch)

    def _noise_of_order(self, epoch: int, stream: str, seeds: tuple[int, ...] | None = None) -> Noise:
        noise = Noise(seeds or self.seeds, stream)
        noise.begin(epoch)
        return noise


def assemble(assignment: Assignment, data: Parts) -> Assembly:
    """Build a training of one seed, or of several seeds as a stack.

    Raises ValueError with one line if settings, data and network do not match, `NoEffect` if a trick has no effect, and
    `CannotStack` if several seeds cannot be trained in parallel.
    """
    settings, seeds, device, folder = assignment.settings, assignment.seeds, assignment.device, assignment.folder
    prepare(device, settings.precision)
    if settings.precision == "fp16" and len(seeds) > 1:
        raise CannotStack("precision (=fp16) skips steps whose gradients overflow, of each seed on its own.")

    # data
    check_forms(settings, data.spec)
    check_stream(settings, data)
    tricks, context = tricks_for(settings, data.spec, folder, seeds, device)
    copies = settings.custom("tricks")
    dtype = dtype_of(settings.precision)
    check_targets(data, dtype)
    data = changed_data(tricks, data, seeds, copies=copies)
    check_inputs(data, dtype)
    wide = wide_batch(settings.batch_size, data.spec)
    load = partial(
        loader_for, mode=settings.loader, device=device, dtype=dtype, workers=settings.workers, copies=copies
    )
    train = load(data.train, batch_size=settings.batch_size)
    train_clean = train.with_batch_size(wide)
    batches_per_step = math.prod(trick.batches_per_step() for trick in tricks)
    steps = -(-train.steps // batches_per_step)
    settings = settings.replace(epochs=settings.length(steps))
    context = replace(
        context,
        spec=data.spec,
        epochs=settings.epochs,
        steps_per_epoch=steps,
        samples=len(train),
        weights=assignment.weights,
    )
    for trick in tricks:
        trick.bind(context)

    # networks, loss and metrics
    check_input_type(settings, data)
    networks, surgery = build_networks(assignment, tricks, train, data)
    measures = make_measures(assignment, data, networks)
    if settings.custom("loss", "metrics"):
        own = {f"metric (={one.target})": measures.metrics[one.label] for one in settings.metrics if one.target}
        own |= {f"loss (={settings.loss.target})": measures.loss} if settings.custom("loss") else {}
        check_pairing(networks[0], own, train, settings.batch_size)
    replicas, measures, notes = make_replicas(networks, measures, train, settings.batch_size)

    # random streams, compilation, optimizer
    streams = make_streams(tricks, replicas.template, seeds, device)
    if settings.compile:
        notes += compile_network(replicas, settings, train, device)
    notes += data_notes(settings, data) + targets_stay(settings, of_seed(tricks, 0), data.spec)
    optimizer, setters = optimizer_and_setters(assignment, tricks, replicas, steps)
    assembly = Assembly(
        settings=settings,
        seeds=seeds,
        spec=data.spec,
        device=device,
        replicas=replicas,
        optimizer=optimizer,
        loss=measures.loss,
        loss_weight=measures.loss_weight,
        metrics=measures.metrics,
        each_example=measures.each_example,
        tricks=tricks,
        train=train,
        train_clean=train_clean,
        train_norms=batches_for_norms(networks[0], train, wide),
        valid=load(data.valid, batch_size=wide),
        test=load(data.test, batch_size=wide) if data.test is not None else None,
        streams=streams,
        setters=setters,
        batches_per_step=batches_per_step,
        needs_positions=any(trick.needs_positions() for trick in tricks),
        steps_per_epoch=steps,
        points=Points.of(settings, steps),
        wants_closure=wants_closure(optimizer),
        scaler=scaler_for(device, settings.precision),
        judged=judged_by(tricks),
        computes_loss=isinstance(settings.loss.options, FromModel),
        targets=data.train.targets,
        tracked=TrackedMetrics(settings, context, replicas, train_clean),
        facts=facts_of(settings, data, replicas, steps, surgery, notes),
        pieces=Pieces(settings.batch_size, device, replicas.lead),
    )
    if assembly.computes_loss or settings.compile or assembly.hooks("on_predict"):
        # a loss of the batch, compiled for its size, or random numbers drawn for it
        assembly.pieces.size = WHOLE
    if settings.precision == "fp16" and (assembly.wants_closure or assembly.hooks("on_pass")):
        raise ValueError(
            "precision (=fp16) cannot be combined with what computes gradients several times in a step, such as sam, "
            "noise_scale or an optimizer with a closure. Use bf16."
        )
    if assembly.computes_loss and (predicting := [trick for trick in tricks if has_hook(trick, "on_predict")]):
        kind = stream_name(predicting[0]).rpartition(":")[2]
        name = next((entry.name for entry in entries("trick") if entry.settings.__name__ == kind), kind)
        raise ValueError(
            f"trick (={name}) cannot be combined with loss (=from_model), because it changes predictions after the "
            "loss. Remove it."
        )
    return assembly


def build_networks(
    assignment: Assignment, tricks: Sequence[Trick | EachSeed], train: Loader, data: Parts
) -> tuple[list[nn.Module], dict[str, list[str]]]:
    """Each seed's network with its initial values, on its device; and the layers that each trick changed.

    Raises `CannotStack` if a custom trick holds one of several networks.
    """
    settings = assignment.settings
    networks: list[nn.Module] = []
    surgery: dict[str, list[str]] = {}
    for i, seed in enumerate(assignment.seeds):
        network, surgery = build_network(settings, data.spec, assignment.folder, of_seed(tricks, i), seed)
        adapt_to_data(network, settings, seed, train, data)
        networks.append(place(network, assignment.device, settings.precision))
    if len(networks) > 1:
        check_apart(tricks, settings, networks)
        if (reason := unstackable_batches(settings)) is not None:
            raise CannotStack(reason)
    try_one_sample(networks[0], train, settings.batch_size)
    return networks, surgery


def make_replicas(
    networks: list[nn.Module], measures: Measures, train: Loader, batch_size: int
) -> tuple[Replicas, Measures, list[Note]]:
    """The networks as one, with loss and metrics for them, and notes. Raises `CannotStack`."""
    if len(networks) == 1:
        return OneNetwork(networks[0]), measures, []
    stack = Stack(networks)
    few = torch.arange(min(SAMPLES, batch_size, len(train)))
    inputs, targets = next(iter(train.batches(few)))
    given: Tree = WithTargets(inputs, targets) if isinstance(measures.loss, FromModel) else inputs
    loss, notes = dry_run(stack, networks, given, targets, measures.loss)
    metrics = {name: one_by_one(measure) for name, measure in measures.metrics.items()}
    return stack, Measures(loss, weight_of_each(measures.loss_weight), metrics, measures.each_example), notes


def facts_of(
    settings: Settings,
    data: Parts,
    replicas: Replicas,
    steps_per_epoch: int,
    surgery: dict[str, list[str]],
    notes: list[Note],
) -> Facts:
    """What is known of a training before its first epoch."""
    return Facts(
        parameters=sum(parameter.numel() for parameter in replicas.template.parameters()),
        steps_per_epoch=steps_per_epoch,
        target_scaling=data.spec.target_scaling,
        data=data.notes,
        watch=[choice.label for choice in settings.watch],
        surgery=surgery,
        notes=notes,
    )
