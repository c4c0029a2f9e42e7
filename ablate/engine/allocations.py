"""The sizes of the tensors that a forward pass allocates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ablate.trees import Tree


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, ``sizes`` gets the bytes of each operation's largest output. An expanded tensor counts once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: list[int] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        outputs = [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
        self.sizes.append(max((min(one.nbytes, one.untyped_storage().nbytes()) for one in outputs), default=0))
        return found


def allocations(forward: Callable[[Tree], Tree], inputs: Tree) -> tuple[Tree, list[int]]:
    """The outputs of a forward pass, and the bytes of each operation's largest output, in their order."""
    with Allocations() as seen:
        outputs = forward(inputs)
    return outputs, seen.sizes
