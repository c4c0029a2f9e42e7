"""One interface for one network and for a stack of networks, so that the loop does not depend on their number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch
from ablate.trees import Tree, tree_map

if TYPE_CHECKING:
    from torch import Tensor, nn


class CannotStack(ValueError):
    """Seeds cannot be trained in parallel, but each of them alone can."""


class OneNetwork:
    """A plain module, for one seed."""

    count = 1
    lead = 0

    def __init__(self, network: nn.Module) -> None:
        self.template = network
        self.parameters: Mapping[str, Tensor] = dict(network.named_parameters())
        self.run_by(network)

    def run_by(self, forward: Callable[[Tensor], Tensor]) -> None:
        """Use another forward pass of the same network, such as a compiled one."""
        self.forward = self.predict = forward

    def train(self) -> None:
        """Switch to training mode."""
        self.template.train()

    def eval(self) -> None:
        """Switch to evaluation mode."""
        self.template.eval()

    def shared(self, values: Tree) -> Tree:
        """Shared values (N, …), in a stack expanded to (R, N, …)."""
        return values

    def backward(self, loss: Tensor) -> None:
        """Compute the gradients of every network's loss."""
        loss.backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Tensor]:
        """The networks' own tensors by name, in a stack (R, …)."""
        return self.template.state_dict()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Copy values into the networks' tensors."""
        self.template.load_state_dict(dict(state))

    def one(self, state: Mapping[str, Tensor], replica: int) -> dict[str, Tensor]:
        """The ``state_dict`` of one network, from a state of all."""
        return dict(state)


class Stack:
    """R networks stacked to one. Raises `CannotStack` if they differ in more than values."""

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
        """Predictions (N, …), in a stack (R, N, …), from inputs with the same leading axes."""
        return self.network(inputs)

    def predict(self, inputs: Tensor) -> Tensor:
        """Predictions (N, …), in a stack (R, N, …), from inputs (N, …) shared by all networks."""
        return self.network(inputs, shared=True)

    def shared(self, values: Tree) -> Tree:
        return tree_map(lambda one: one.expand(self.count, *one.shape), values)

    def backward(self, loss: Tensor) -> None:
        loss.sum().backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, Tensor]:
        return self.network.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.network.load(state)

    def one(self, state: Mapping[str, Tensor], replica: int) -> dict[str, Tensor]:
        return {name: tensor[replica].clone() for name, tensor in state.items()}


Replicas = OneNetwork | Stack
"""R networks. ``lead`` is the number of axes before the batch axis: 0 for one network, 1 in a stack."""


def keep(kept: dict[str, Tensor], current: Mapping[str, Tensor], which: Sequence[int], replicas: Replicas) -> None:
    """Copy the state of some networks into ``kept``, or of all if it is empty."""
    if not kept:
        kept.update({name: tensor.clone() for name, tensor in current.items()})
    elif len(which) == replicas.count:
        torch._foreach_copy_(list(kept.values()), list(current.values()))
    else:
        for i in which:
            torch._foreach_copy_([tensor[i] for tensor in kept.values()], [tensor[i] for tensor in current.values()])
