"""From settings to a training that is ready to run: data, networks, optimizer, tricks and noise, put together in one order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Parts, Spec
from ablate.data.loaders import Loader, loader_for
from ablate.engine.compiling import compiled
from ablate.engine.construction import build_network as build_network
from ablate.engine.construction import make_optimizer, seed_globals, wants_closure
from ablate.engine.construction import make_tricks as make_tricks
from ablate.engine.contract import Assignment
from ablate.engine.data_dependent_init import adapt_to_data
from ablate.engine.device import autocast, dtype_of, place, prepare
from ablate.engine.dry_run import SAMPLES, dry_run, try_one_sample
from ablate.engine.each_seed import EachSeed, one_by_one, weight_of_each
from ablate.engine.measures import Measure, has_gaps, make_loss, make_metric, not_finite_inputs
from ablate.engine.replicas import OneNetwork, Replicas, Stack
from ablate.engine.stacked_tricks import changed_data, has_hook, make_streams, of_seed, stream_name, tricks_for
from ablate.engine.tracked_metrics import Watching
from ablate.layers.noisy_dropout import noisy_layers
from ablate.notes.note import Note
from ablate.optimizers.build import rate_setter
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.rng.noise import Noise, key
from ablate.tricks.trick import Trick

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass
class Assembly:
    """Everything that the loop touches, for the seeds of one stack: what is said of R seeds holds for one as well."""

    settings: Settings
    seeds: tuple[int, ...]
    spec: Spec
    device: str
    replicas: Replicas
    optimizer: torch.optim.Optimizer
    loss: Measure
    loss_weight: Callable[[Tensor], Tensor | int]
    metrics: dict[str, Measure]
    tricks: list[Trick | EachSeed]
    train: Loader
    train_clean: Loader
    valid: Loader
    test: Loader | None
    streams: dict[str, Noise]
    setters: list[Callable[[int], None]]
    batches_per_step: int
    steps_per_epoch: int
    wants_closure: bool
    judged: Trick | EachSeed | None
    watching: Watching
    targets: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    first_loss: Tensor | None = None

    @property
    def network(self) -> nn.Module:
        """The network of the one seed; in a stack, that of the last seed without its values."""
        return self.replicas.template

    def hooks(self, hook: str) -> list[Callable[..., Any]]:
        """The bound methods of those tricks that have this hook, in hook order; ``on_batch`` with the trick's own noise.

        What is watched sees gradients before the tricks, and weights after them.
        """
        tricks = [trick for trick in self.tricks if has_hook(trick, hook)]
        if hook == "on_batch":
            return [partial(trick.on_batch, noise=self._noise(trick)) for trick in tricks]
        methods = [getattr(trick, hook) for trick in tricks]
        if hook in ("on_pass", "on_gradients"):
            return [*self.watching.hooks(hook), *methods]
        return [*methods, *self.watching.hooks(hook)] if hook == "on_weights" else methods

    def predict(self, inputs: Tensor, batch: int) -> Tensor:
        """Predictions in evaluation, (N, …), in a stack (R, N, …), of batch number ``batch`` of a part."""
        predict = self.replicas.predict
        for hook in self.hooks("on_predict"):
            predict = partial(hook, self.replicas.template, predict, batch=batch)
        return predict(inputs)

    def between_epochs(self, epoch: int) -> None:
        """Let tricks see and change what the next epoch begins with."""
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
        """Key all random numbers by (seed, stream, epoch): an epoch's noise does not depend on how the training got there."""
        for noise in self.streams.values():
            noise.begin(epoch)
        self.train.begin([key(seed, f"data/{epoch}") for seed in self.seeds])
        seed_globals(self.seeds[0], f"global/{epoch}")
        self.watching.begin(epoch)

    def order(self, epoch: int) -> Tensor | None:
        """The order of the training samples in an epoch, in a stack (R, n): (seed, data, epoch) decide it, and tricks that say so. None: as they stand."""
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

    def _noise_of_order(self, epoch: int, stream: str, seeds: tuple[int, ...] | None = None) -> Noise:
        noise = Noise(seeds or self.seeds, stream)
        noise.begin(epoch)
        return noise


def assemble(assignment: Assignment, data: Parts) -> Assembly:
    """Put a training together: one seed as it is, several as a stack.

    Raises ValueError in one line where settings, data and network do not fit, `NoEffect` where a trick changes nothing, `CannotStack` where several seeds
    cannot train together.
    """
    settings, seeds, device, folder = assignment.settings, assignment.seeds, assignment.device, assignment.folder
    prepare(device, settings.precision)

    tricks, context = tricks_for(settings, data.spec, folder, seeds, device)
    context = replace(context, weights=assignment.weights)
    data = changed_data(tricks, data, seeds)
    spec = data.spec

    dtype = dtype_of(settings.precision)
    load = partial(loader_for, mode=settings.loader, device=device, dtype=dtype, workers=settings.workers)
    train = load(data.train, batch_size=settings.batch_size)
    together = math.prod(trick.batches_per_step() for trick in tricks)
    steps = -(-train.steps // together)
    wide = wide_batch(settings.batch_size, spec)
    for trick in tricks:
        trick.bind(replace(context, spec=spec, steps_per_epoch=steps))

    networks: list[nn.Module] = []
    changed: dict[str, list[str]] = {}
    for i, seed in enumerate(seeds):
        network, changed = build_network(settings, spec, folder, of_seed(tricks, i), seed)
        adapt_to_data(network, settings, seed, train, data)
        networks.append(place(network, device, settings.precision))
    try_one_sample(networks[0], train, settings.batch_size)
    gaps = has_gaps(data)
    loss, loss_weight = make_loss(settings.loss, spec, folder, missing=gaps, targets=data.train.targets)
    metrics = {choice.label: make_metric(choice, spec, folder) for choice in settings.metrics}
    notes: list[Note] = []
    replicas: Replicas = OneNetwork(networks[0])
    if len(seeds) > 1:
        replicas = stack = Stack(networks)
        few = torch.arange(min(SAMPLES, settings.batch_size, len(train)))
        loss, notes = dry_run(stack, networks, *next(iter(train.batches(few))), loss)
        loss_weight = weight_of_each(loss_weight)
        metrics = {name: one_by_one(measure) for name, measure in metrics.items()}

    streams = make_streams(tricks, seeds, device)
    for name, layer in noisy_layers(replicas.template).items():
        streams[f"dropout/{name}"] = Noise(seeds, f"dropout/{name}", device)
        layer.bind(streams[f"dropout/{name}"])
    if settings.compile:
        notes += compile_network(replicas, settings, train, device)
    changes = [trick.on_rate for trick in tricks if has_hook(trick, "on_rate")]
    optimizer, set_optimizer = make_optimizer(
        settings, replicas.parameters, steps, folder, stacked=replicas.lead > 0, moved=bool(changes)
    )
    closure = wants_closure(optimizer)
    again = [stream_name(trick) for trick in tricks if has_hook(trick, "on_pass")]
    # an optimizer that asks for closures itself, such as vsgd, takes gradients only
    if closure and again and not hasattr(optimizer, "wants_closure"):
        raise ValueError(
            f"trick (={again[0].rpartition(':')[2].lower()}) takes gradients elsewhere than the loss that optimizer (={settings.optimizer.label}) searches by. "
            "Use another optimizer, or drop the trick."
        )
    scheduled = [trick.now for i in range(len(seeds)) for trick in of_seed(tricks, i) if trick.now.scheduled]
    setters = [now.set for now in dict.fromkeys(scheduled)]
    if changes:
        set_optimizer = rate_setter(optimizer, set_optimizer, changes)
    return Assembly(
        settings=settings,
        seeds=seeds,
        spec=spec,
        device=device,
        replicas=replicas,
        optimizer=optimizer,
        loss=loss,
        loss_weight=loss_weight,
        metrics=metrics,
        tricks=tricks,
        train=train,
        train_clean=train.with_batch_size(wide),
        valid=load(data.valid, batch_size=wide),
        test=load(data.test, batch_size=wide) if data.test is not None else None,
        streams=streams,
        setters=setters + ([set_optimizer] if set_optimizer else []),
        batches_per_step=together,
        steps_per_epoch=steps,
        wants_closure=closure,
        judged=judged_by(tricks),
        targets=data.train.targets,
        watching=Watching(settings, replace(context, spec=spec, steps_per_epoch=steps), len(train)),
        facts={
            "parameters": sum(parameter.numel() for parameter in replicas.template.parameters()),
            "steps_per_epoch": steps,
            "target_scaling": None if spec.target_scaling is None else asdict(spec.target_scaling),
            "data": dict(data.notes),
            "watch": [choice.label for choice in settings.watch],
            "surgery": changed,
            "notes": notes
            + ([Note("missing_targets")] if gaps and settings.loss.target is not None else [])
            # the library's own data hold none
            + (not_finite_inputs(data) if settings.data.target is not None else []),
        },
    )


def judged_by(tricks: Sequence[Trick | EachSeed]) -> Trick | EachSeed | None:
    """The trick that may have weights of its own to be judged by. Raises ValueError where several do."""
    found = [trick for trick in tricks if has_hook(trick, "evaluation_weights")]
    if len(found) > 1:
        names = ", ".join(stream_name(trick).rpartition(":")[2] for trick in found)
        raise ValueError(f"tricks (={names}) all have weights of their own to be judged by. Keep one of them.")
    return found[0] if found else None


def compile_network(replicas: Replicas, settings: Settings, train: Loader, device: str) -> list[Note]:
    """Compile the network of one seed for full batches and the last one. Returns a note if it is not compiled."""
    if not isinstance(replicas, OneNetwork):
        return [Note("stack_not_compiled")]
    sizes = dict.fromkeys(
        (min(settings.batch_size, len(train)), len(train) % settings.batch_size or settings.batch_size)
    )
    batches = (next(iter(train.with_batch_size(n).batches(torch.arange(n))))[0] for n in sizes if n <= len(train))
    forward, reason = compiled(replicas.template, batches, autocast(device, settings.precision))
    replicas.run_by(forward)
    return [] if reason is None else [Note("not_compiled", values={"reason": reason})]


def wide_batch(batch_size: int, spec: Spec) -> int:
    """Samples per batch where no gradient is kept: more than in training, as long as the inputs stay below about 16 MB."""
    elements = 1
    for side in spec.input_shape:
        elements *= side
    return max(batch_size, min(1024, 2**22 // max(elements, 1)))
