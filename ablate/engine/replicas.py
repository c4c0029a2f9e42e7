"""The networks of a stack's seeds behind one face, so that the loop need not know how many they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn


class CannotStack(ValueError):
    """Why several seeds cannot train together; each of them alone can."""


class Replicas(Protocol):
    """R networks with their values. ``lead`` is the number of axes before a batch's own: 0 for one network, 1 in a stack."""

    template: nn.Module
    count: int
    lead: int

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """What the optimizer steps and hooks see: by name, in a stack (R, …)."""

    def train(self) -> None:
        """Training mode from here on."""

    def eval(self) -> None:
        """Evaluation mode from here on."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Predictions (N, …), in a stack (R, N, …), from inputs of the same lead."""

    def predict(self, inputs: Tensor) -> Tensor:
        """Predictions, in a stack (R, N, …), from inputs (N, …) that all share."""

    def shared(self, values: Tensor) -> Tensor:
        """Values (N, …) that all share with the lead of predictions."""

    def backward(self, loss: Tensor) -> None:
        """Gradients of every replica's loss."""

    def state(self) -> dict[str, Tensor]:
        """The live tensors of the networks' state, in a stack (R, …)."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over values, in place."""

    def one(self, state: Mapping[str, Tensor], replica: int) -> dict[str, Tensor]:
        """The ``state_dict`` of one replica's network, out of a state of all."""


class OneNetwork:
    """A plain module: one seed passes by all that stacks need."""

    count = 1
    lead = 0

    def __init__(self, network: nn.Module) -> None:
        self.template = network
        self.parameters: Mapping[str, Tensor] = dict(network.named_parameters())
        self.run_by(network)

    def run_by(self, forward: Callable[[Tensor], Tensor]) -> None:
        """Take another way through the same network, such as a compiled one."""
        self.forward = self.predict = forward

    def train(self) -> None:
        self.template.train()

    def eval(self) -> None:
        self.template.eval()

    def shared(self, values: Tensor) -> Tensor:
        return values

    def backward(self, loss: Tensor) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Tensor]:
        return self.template.state_dict()

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.template.load_state_dict(dict(state))

    def one(self, state: Mapping[str, Tensor], replica: int) -> dict[str, Tensor]:
        return dict(state)


class Stack:
    """R networks stacked to one. Raises `CannotStack` where they differ in more than values."""

    lead = 1

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        from ablate.layers.stacked_network import StackedNetwork

        try:
            self.network = StackedNetwork(networks)
        except ValueError as error:
            raise CannotStack(f"model: {error}.") from None
        self.template, self.count = self.network.template, len(networks)
        self.parameters: Mapping[str, Tensor] = self.network.parameters

    def train(self) -> None:
        self.network.train()

    def eval(self) -> None:
        self.network.train(False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.network(inputs)

    def predict(self, inputs: Tensor) -> Tensor:
        return self.network(inputs, shared=True)

    def shared(self, values: Tensor) -> Tensor:
        return values.expand(self.count, *values.shape)

    def backward(self, loss: Tensor) -> None:
        loss.sum().backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Tensor]:
        return self.network.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.network.load(state)

    def one(self, state: Mapping[str, Tensor], replica: int) -> dict[str, Tensor]:
        return {name: tensor[replica].clone() for name, tensor in state.items()}


def keep(kept: dict[str, Tensor], current: Mapping[str, Tensor], which: Sequence[int], replicas: Replicas) -> None:
    """Copy the state of some replicas into ``kept``, which is filled where it is empty."""
    if not kept:
        kept.update({name: tensor.clone() for name, tensor in current.items()})
    elif len(which) == replicas.count:
        torch._foreach_copy_(list(kept.values()), list(current.values()))
    else:
        for i in which:
            torch._foreach_copy_([tensor[i] for tensor in kept.values()], [tensor[i] for tensor in current.values()])
