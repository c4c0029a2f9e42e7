"""What checks look at: the training of one seed, as a job builds it, and fixed samples of its data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ablate.data.dataset import Batch, Part, Parts, Spec
from ablate.data.iterable import Stream
from ablate.data.streamed import Generators
from ablate.engine.assembly import Assembly, assemble
from ablate.engine.contract import Assignment
from ablate.engine.dry_run import without_dropout
from ablate.engine.rehearsal import spread
from ablate.losses.from_model import prediction_of
from ablate.losses.loss import Loss
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.trees import Tree

if TYPE_CHECKING:
    from torch import Tensor, nn

Done = TypeVar("Done")

FEW = 64
"""Number of samples of a pass, at most."""

SECONDS = 3.0
"""Longest time of a short training."""


class NotJudged(Exception):
    """A check could not be completed, such as within its time; the message says why, in one line."""


@dataclass(frozen=True)
class Passed:
    """A pass over fixed samples: the whole output, the prediction in it, and the loss."""

    output: Tree
    prediction: Tree
    loss: Tensor


class Probe:
    """A training for checks to look at; ``data`` are as they are loaded, before tricks change them."""

    def __init__(self, assignment: Assignment, data: Parts, seconds: float = SECONDS) -> None:
        self.assignment, self.data, self.seconds = assignment, data, seconds
        self._done: dict[str, Any] = {}
        self.assembly = assemble(assignment, data)
        if not assignment.settings.source_rows:
            self.assembly.between_epochs(0)
            self.assembly.begin_epoch(1)

    def fresh(self) -> Assembly:
        """The same training, built again: its tricks and optimizer may be used up."""
        made = assemble(self.assignment, self.data)
        made.between_epochs(0)
        made.begin_epoch(1)
        return made

    @property
    def settings(self) -> Settings:
        """The settings of the variant."""
        return self.assignment.settings

    @property
    def spec(self) -> Spec:
        """The facts of the data as the network gets them."""
        return self.assembly.spec

    @property
    def network(self) -> nn.Module:
        """The network, with its initial values."""
        return self.assembly.network

    @property
    def loss_name(self) -> str:
        """The name of a built-in loss, empty for others."""
        return self.settings.loss.name or ""

    @property
    def trained(self) -> Mapping[str, Tensor]:
        """The parameters that are not frozen, by name."""
        return {name: one for name, one in self.assembly.replicas.parameters.items() if one.requires_grad}

    @cached_property
    def batch(self) -> Batch:
        """Fixed training samples, evenly spaced over the training set."""
        return self.samples(FEW)

    def samples(self, count: int, split: Literal["train", "valid"] = "train") -> Batch:
        """Fixed samples of a split, at most ``count``, as the network gets them, without augmentation."""
        loader = getattr(self.assembly, split).with_batch_size(min(count, len(getattr(self.assembly, split))))
        inputs, targets = next(iter(loader.batches(spread(loader, count))))
        return Batch(inputs, targets, targets, self.spec)

    def part(self, split: Literal["train", "valid"]) -> Part | None:
        """A split in memory as it was loaded; None if it is streamed."""
        part = getattr(self.data, split)
        return None if part.inputs is None or isinstance(part.dataset, Stream) else part

    def run(self, batch: Batch, *, train: bool, assembly: Assembly | None = None) -> Passed:
        """A pass without dropout and augmentation, in training or evaluation mode; the loss without penalties."""
        made = assembly or self.assembly
        made.network.train(train)
        with without_dropout([made.network]):
            output = made.replicas.forward(made.given(batch.inputs, batch.targets))
        return Passed(output, prediction_of(output), made.whole_loss(made.loss(output, batch.targets)))

    @cached_property
    def first(self) -> Passed:
        """The pass over `batch` in training mode at the initial weights; not for gradients."""
        with self.restored():
            return self.run(self.batch, train=True)

    @cached_property
    def gradients(self) -> dict[str, Tensor | None]:
        """The gradient of the loss of `batch` for each parameter that is not frozen; None: it does not depend on it."""
        names, values = list(self.trained), list(self.trained.values())
        if not values:
            return {}
        with self.restored():
            loss = self.run(self.batch, train=True).loss
            found = torch.autograd.grad(loss, values, allow_unused=True)
        return dict(zip(names, found, strict=True))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Inside, the network may be trained. Afterwards its values and mode, and all generators, are those from
        before, and it has no gradients.
        """
        network, others = self.network, Generators()
        kept = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        modes = {layer: layer.training for layer in network.modules()}
        streams = [generator for noise in self.assembly.streams.values() for generator in noise.generators]
        states = [generator.get_state() for generator in streams]
        try:
            yield
        finally:
            network.load_state_dict(kept)
            for layer, training in modes.items():
                layer.training = training
            for parameter in network.parameters():
                parameter.grad = None
            for generator, state in zip(streams, states, strict=True):
                generator.set_state(state)
            others.restore()

    def learned(
        self, batch: Batch, *, rate: float, steps: int, share: float = 0.0, below: float = math.inf
    ) -> list[float]:
        """Train on the same samples with Adam, without dropout, augmentation and penalties; the loss before each step,
        and at the end. Ends early if the loss is less than ``below`` and a ``share`` of that at the start, and if it
        is not finite.

        To be called inside `restored`. Raises `NotJudged` if it takes too long.
        """
        optimizer = torch.optim.Adam(list(self.trained.values()), lr=rate)
        begun, losses = time.process_time(), []
        for step in range(steps + 1):
            loss = self.run(batch, train=True).loss
            losses.append(float(loss.detach()))
            if step == steps or not math.isfinite(losses[-1]) or losses[-1] < min(share * losses[0], below):
                break
            if time.process_time() - begun > self.seconds:
                raise NotJudged(f"{step} of {steps} steps in {self.seconds:g} s")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return losses

    def once(self, name: str, work: Callable[[], Done]) -> Done:
        """What ``work`` returned or raised when it was asked for the first time."""
        if name not in self._done:
            try:
                self._done[name] = work()
            except NotJudged as reason:
                self._done[name] = reason
        if isinstance(found := self._done[name], NotJudged):
            raise found
        return found  # type: ignore[no-any-return]

    @property
    def loss_floor_is_zero(self) -> bool:
        """Whether the smallest possible loss is known to be 0: for built-in losses that are not the network's own."""
        return isinstance(self.settings.loss.options, Loss) and not self.assembly.computes_loss
