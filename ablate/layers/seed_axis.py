"""What ``torch.func.vmap`` and ``functional_call`` do, for code that runs in every step: for a small network they take
three times as long as the network itself, because they flatten, name and check all tensors each time.

It uses the same parts of torch that they are made of. A stack is compared with its networks when it is made
(`ablate.engine.dry_run`), so a torch in which these parts mean something else is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch._functorch.vmap import (  # type: ignore[attr-defined]
    _add_batch_dim,
    _remove_batch_dim,
    lazy_load_decompositions,
    vmap_increment_nesting,
)
from torch.utils._pytree import tree_map

from ablate.trees import Tree

Slots = list[tuple[MutableMapping[str, Any], str, Tensor]]
"""Where a module keeps a tensor: its dict, the name, and the stacked tensor (R, …) that takes its place."""


class SeedAxis:
    """The first axis of stacks (R, …) while it is hidden from a network. Raises RuntimeError and ValueError as
    ``torch.func.vmap`` does.
    """

    def __init__(self, level: int, count: int) -> None:
        self.level, self.count = level, count

    def hide(self, tree: Tree) -> Tree:
        """Stacked tensors (R, …) as those of one seed (…)."""
        return _changed(tree, lambda tensor: _add_batch_dim(tensor, 0, self.level))

    def show(self, tree: Tree) -> Tree:
        """The results of the network, stacked (R, …)."""
        return _changed(tree, lambda tensor: _remove_batch_dim(tensor, self.level, self.count, 0))


@contextmanager
def hidden_axis(count: int) -> Iterator[SeedAxis]:
    """Inside, a network for one seed can be applied to the stacks of ``count`` seeds."""
    lazy_load_decompositions()
    with vmap_increment_nesting(count, "error") as level:
        yield SeedAxis(level, count)


def slots_of(network: nn.Module, leaves: Mapping[int, Tensor]) -> Slots:
    """The places of the network's parameters and buffers. ``leaves`` maps the id of each to the stacked tensor."""
    return [
        (kept, name, leaves[id(tensor)])
        for module in network.modules()
        for kept in (module._parameters, module._buffers)
        for name, tensor in kept.items()
        if tensor is not None
    ]


@contextmanager
def lent_tensors(slots: Slots, axis: SeedAxis) -> Iterator[None]:
    """Inside, the network has the stacked tensors; what it assigns to their names is lost, as in `functional_call`."""
    own = [kept[name] for kept, name, _ in slots]
    try:
        for kept, name, leaf in slots:
            kept[name] = _add_batch_dim(leaf, 0, axis.level)
        yield
    finally:
        for (kept, name, _), tensor in zip(slots, own, strict=True):
            kept[name] = tensor


def _changed(tree: Tree, change: Callable[[Tensor], Tensor]) -> Tree:
    def one(leaf: Any) -> Tensor:
        if not isinstance(leaf, Tensor):
            raise ValueError(f"vmap takes and returns only tensors, not {type(leaf).__name__}")
        return change(leaf)

    return change(tree) if isinstance(tree, Tensor) else tree_map(one, tree)
