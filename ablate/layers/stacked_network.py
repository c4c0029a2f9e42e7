"""R networks of the same structure as one: parameters and buffers stacked to (R, …), one forward pass for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from ablate.layers.dropout import Shapes, draw_masks, handed_in, mask_shapes, noisy_layers
from ablate.layers.lent import gets_copies, lend_copies
from ablate.layers.seed_axis import hidden_axis, lent_tensors, slots_of
from ablate.layers.stacked_layers import Step, expanded, stacked_step
from ablate.trees import cloned, tensors, unbound


class StackedNetwork:
    """The networks of R seeds. ``template`` is the last of them: its code and modes are used, its parameters are not.

    ``parameters`` maps names to leaf tensors (R, …) for the optimizer. Layers in Sequentials that
    `ablate.layers.stacked_layers` supports run directly, all others as under ``torch.func.vmap``. Raises ValueError if
    the networks differ in more than values.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self.template, self.count = networks[-1], len(networks)
        self.parameters = {
            name: torch.stack([p.detach() for p in same]).requires_grad_(same[-1].requires_grad)
            for name, same in _together([dict(network.named_parameters()) for network in networks])
        }
        self.buffers = {
            name: torch.stack([b.detach() for b in same])
            for name, same in _together([dict(network.named_buffers()) for network in networks])
        }
        originals = {**dict(self.template.named_parameters()), **dict(self.template.named_buffers())}
        stacked = {**self.parameters, **self.buffers}
        self._leaves = {id(tensor): stacked[name] for name, tensor in originals.items()}
        self._state = {}
        for name, tensor in self.template.state_dict(keep_vars=True).items():
            if id(tensor) not in self._leaves:
                raise ValueError(f"its state has {name}, which is neither a parameter nor a buffer")
            self._state[name] = self._leaves[id(tensor)]
        self._steps = list(self._build(self.template))
        # any other network copies its inputs itself, under vmap
        self._copies = type(self.template) is nn.Sequential and gets_copies(self.template)

    def train(self, mode: bool = True) -> None:
        """Set training mode; also updates which parameters of the template are frozen."""
        self.template.train(mode)
        for name, parameter in self.template.named_parameters():
            self.parameters[name].requires_grad_(parameter.requires_grad)

    def __call__(self, x: Tensor, *, shared: bool = False) -> Tensor:
        """Predictions (R, N, …) from inputs (R, N, …), or from (N, …) shared by all seeds."""
        x = cloned(x) if self._copies else x
        for step in self._steps:
            x, shared = step(x, shared)
        return expanded(x, self.count, shared)

    def state(self) -> dict[str, Tensor]:
        """The current tensors (R, …) under the names of one network's ``state_dict``."""
        return {name: tensor.detach() for name, tensor in self._state.items()}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load values (R, …), in place."""
        for name, tensor in self._state.items():
            tensor.copy_(state[name])

    def _leaf(self, tensor: Tensor) -> Tensor:
        return self._leaves[id(tensor)]

    def _build(self, network: nn.Module) -> Iterator[Step]:
        unknown: list[nn.Module] = []
        for layer in _flat(network):
            step = stacked_step(layer, self.count, self._leaf)
            if step is None:
                unknown.append(layer)
                continue
            if unknown:
                yield self._mapped(unknown)
                unknown = []
            yield step
        if unknown:
            yield self._mapped(unknown)

    def _mapped(self, layers: list[nn.Module]) -> Step:
        """Consecutive layers that are not supported directly, under one vmap."""
        return mapped_step(layers[0] if len(layers) == 1 else nn.Sequential(*layers), self.count, self._leaves)


def mapped_step(network: nn.Module, count: int, leaves: Mapping[int, Tensor]) -> Step:
    """Any network for one seed as a step of a stack, as under vmap; its dropout masks are drawn outside."""
    parameters = {name: leaves[id(p)] for name, p in network.named_parameters()}
    buffers = {name: leaves[id(b)] for name, b in network.named_buffers()}
    slots = slots_of(network, leaves)
    dropout = noisy_layers(network)
    known: dict[tuple[torch.Size, ...], Shapes] = {}

    def step(x: Tensor, shared: bool) -> tuple[Tensor, bool]:
        masks: dict[str, tuple[Tensor, ...]] = {}
        # do not replace masks that were passed in
        if any(layer.training for layer in dropout.values()) and all(layer.masks is None for layer in dropout.values()):
            single = x if shared else unbound(x)[0]
            key = tuple(values.shape for values in tensors(single))
            if key not in known:
                values = {name: t[0].detach().clone() for name, t in (*parameters.items(), *buffers.items())}
                known[key] = mask_shapes(network, single, values=values)
            masks = draw_masks(network, known[key], _float_type(x, parameters))
        with hidden_axis(count) as axis, lent_tensors(slots, axis):
            x = x if shared else axis.hide(x)
            if not masks:
                return axis.show(network(x)), False
            with handed_in(network, axis.hide(masks)):
                return axis.show(network(x)), False

    return step


def _float_type(x: Tensor, parameters: Mapping[str, Tensor]) -> torch.dtype:
    floats = (values.dtype for values in (*tensors(x), *parameters.values()) if values.is_floating_point())
    return next(floats, torch.float32)


def _flat(network: nn.Module) -> Iterator[nn.Module]:
    """The layers of nested Sequentials, one after another; any other network is one layer."""
    hooks = [*network._forward_hooks.values(), *network._forward_pre_hooks.values()]
    if type(network) is nn.Sequential and all(hook is lend_copies for hook in hooks):
        for layer in network:
            yield from _flat(layer)
    else:
        yield network


def _together(networks: Sequence[Mapping[str, Tensor]]) -> Iterator[tuple[str, list[Tensor]]]:
    first = networks[0]
    for other in networks[1:]:
        if [(n, t.shape, t.dtype) for n, t in first.items()] != [(n, t.shape, t.dtype) for n, t in other.items()]:
            raise ValueError("the networks of two seeds have different parameters")
    for name in first:
        yield name, [network[name] for network in networks]
