"""A step of training: the loss and gradients of its batches, repeatable for tricks and optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from ablate.data.dataset import Batch, copied, mapped
from ablate.data.streamed import Generators
from ablate.engine.device import autocast
from ablate.losses.from_model import prediction_of
from ablate.registry.lazy import torch
from ablate.trees import length

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.optim import Optimizer

    from ablate.engine.assembly import Assembly


class StepClosure:
    """Takes the steps of an epoch. A closure computes the gradients of its batches, after the hooks of tricks.

    ``loss`` is that of the step's first pass, 0-d or (R,); ``terms`` are the loss or its terms, and ``weight`` what
    they are divided by. Further passes in the same step (calls, see
    `ablate.tricks.trick.Gradients`) use the same batches and random numbers, and change neither the generators nor the
    network's buffers.
    """

    loss: Tensor
    terms: Tensor
    weight: Tensor | int

    def __init__(self, assembly: Assembly) -> None:
        self.assembly, self.replicas = assembly, assembly.replicas
        self.on_batch, self.on_weights = map(assembly.hooks, ("on_batch", "on_weights"))
        self.on_loss, self.on_pass, self.on_gradients = map(assembly.hooks, ("on_loss", "on_pass", "on_gradients"))
        self.repeats = bool(self.on_pass) or assembly.wants_closure
        self.mixed = autocast(assembly.device, assembly.settings.precision)
        self.copies = assembly.settings.custom("tricks")
        self.clear = clearing(assembly.optimizer)
        self.batches: list[Batch] = []
        self.first = True

    def take(self, batches: list[Batch], step: int) -> None:
        """Take a step, counted from 0, on some batches."""
        assembly, optimizer = self.assembly, self.assembly.optimizer
        for setter in assembly.setters:
            setter(step)
        for on_batch in self.on_batch:
            batches = [on_batch(batch) for batch in batches]
        self.begin(batches)
        if assembly.wants_closure:
            optimizer.step(self.closure)  # type: ignore[arg-type]
        else:
            self.closure()
            self._step()
        for on_weights in self.on_weights:
            on_weights(self.replicas.parameters)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the networks may be evaluated. Afterwards, training continues as if they had not been."""
        others, own = Generators(), self._random()
        try:
            yield
        finally:
            others.restore()
            _set_random(self._generators(), own)
            self.replicas.train()

    def _step(self) -> None:
        """The optimizer's step, which is skipped if gradients have overflowed in fp16."""
        scaler, optimizer = self.assembly.scaler, self.assembly.optimizer
        if not scaler.is_enabled():
            optimizer.step()
            return
        scale = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        self.assembly.skipped_steps += scaler.get_scale() < scale

    def begin(self, batches: list[Batch]) -> None:
        """Begin a step with its batches."""
        self.batches, self.first = batches, True

    def closure(self) -> Tensor:
        """Compute the gradients for the optimizer's step at the current weights; returns the loss."""
        if self.first:
            self.first = False
            self.random = self._random() if self.repeats else []
            self.terms, self.weight = self._gradients(self.batches)
            loss = self.loss = self.assembly.whole_loss(self.terms)
            self.assembly.scaler.unscale_(self.assembly.optimizer)
        else:
            loss = self()
        for hook in self.on_pass:
            hook(self, self.replicas.parameters)
        for hook in self.on_gradients:
            hook(self.replicas.parameters)
        return loss

    def __call__(self, part: slice | None = None) -> Tensor:
        """Gradients at the current weights, of all or some samples of the step."""
        generators, now = self._generators(), self._random()
        buffers = [tensor for name, tensor in self.replicas.state().items() if name not in self.replicas.parameters]
        kept = [tensor.clone() for tensor in buffers]
        _set_random(generators, self.random)
        try:
            terms, _ = self._gradients(self.batches if part is None else list(self._cut(part)))
        finally:
            _set_random(generators, now)
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)
        return self.assembly.whole_loss(terms)

    @property
    def samples(self) -> int:
        """Number of samples of the step, of one seed."""
        return sum(length(batch.inputs, self.replicas.lead) for batch in self.batches)

    def _gradients(self, batches: list[Batch]) -> tuple[Tensor, Tensor | int]:
        """Compute the gradients of the loss of all samples; returns the loss or its terms, and the weight in a mean."""
        assembly = self.assembly
        weights = [self._weight(batch) for batch in batches]
        whole = weights[0] if len(weights) == 1 else _not_zero(sum(weights[1:], weights[0]))
        losses: list[Tensor] = []
        self.clear()
        for batch, weight in zip(batches, weights, strict=True):
            with self.mixed:
                output = self.replicas.forward(assembly.given(batch.inputs, batch.targets))
                terms = assembly.loss(output, batch.targets)
            if self.on_loss:
                terms = self._changed(terms, prediction_of(output), batch)
            if len(batches) > 1:
                terms = terms * weight / whole  # weight / whole alone would be float32
            self.replicas.backward(assembly.scaler.scale(assembly.whole_loss(terms)))
            losses.append(terms.detach())
        return sum(losses[1:], losses[0]), whole

    def _weight(self, batch: Batch) -> Tensor | int:
        """What the loss of a batch is divided by, 0-d or (R,); of its terms, (K,) or (R, K)."""
        weight = self.assembly.loss_weight(batch.targets)
        if batch.weight is None:
            return weight
        terms = isinstance(weight, torch.Tensor) and weight.dim() > self.replicas.lead
        return weight * (batch.weight.unsqueeze(-1) if terms else batch.weight)

    def _changed(self, terms: Tensor, prediction: Tensor, batch: Batch) -> Tensor:
        """The loss after the tricks; a change of a loss with terms is spread over them."""
        loss = before = self.assembly.whole_loss(terms)
        for hook in self.on_loss:
            loss = hook(loss, prediction, copied(batch) if self.copies else batch)
        return loss if before is terms else terms + ((loss - before) / terms.shape[-1]).unsqueeze(-1)

    def _cut(self, part: slice) -> Iterator[Batch]:
        """The batches with a slice of the step's samples, which are numbered across its batches."""
        axis, begin = self.replicas.lead, 0
        start, stop, _ = part.indices(self.samples)
        for batch in self.batches:
            end = begin + length(batch.inputs, axis)
            low, high = max(start, begin) - begin, min(stop, end) - begin
            if low < high:

                def cut(values: Tensor, low: int = low, high: int = high) -> Tensor:
                    return values.narrow(axis, low, high - low) if values.dim() > axis else values

                yield mapped(cut, batch)
            begin = end

    def _generators(self) -> list[Generator]:
        """The generators of all streams, and torch's own, which the user's network may use."""
        device = torch.device(self.assembly.device)
        own = [torch.default_generator]
        if device.type == "cuda":
            own.append(torch.cuda.default_generators[device.index or 0])
        return own + [generator for noise in self.assembly.streams.values() for generator in noise.generators]

    def _random(self) -> list[Tensor]:
        return [generator.get_state() for generator in self._generators()]


def clearing(optimizer: Optimizer) -> Callable[[], None]:
    """What clears the gradients before a step: the optimizer's own method, if it has one. That of torch also tells the
    profiler, which takes a tenth of a small network's step.
    """
    if type(optimizer).zero_grad is not torch.optim.Optimizer.zero_grad:
        return optimizer.zero_grad

    def clear() -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    return clear


def grouped(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """Batches in groups of ``size``; the last group may be smaller."""
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group


def _set_random(generators: list[Generator], states: list[Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _not_zero(weight: Tensor | int) -> Tensor | int:
    """Avoids division by 0 if all targets of a step are missing; its loss is then 0."""
    return torch.where(weight == 0, 1, weight) if isinstance(weight, torch.Tensor) else weight
