"""What a forward pass does: the sizes of the tensors that it allocates, and its multiplications."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ablate.trees import Tree


class Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, `see` gets each operation with its arguments and outputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled inside: to say so to torch's compiler would import it, which takes longer than a pass."""
        return False

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        self.see(func, args, kwargs or {}, found)
        return found

    @abstractmethod
    def see(self, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Any) -> None:
        """Take note of an operation."""


class Allocations(Watching):  # type: ignore[no-untyped-call]
    """``sizes`` gets the bytes of each operation's largest output. An expanded tensor counts once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def see(self, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Any) -> None:
        outputs = [one for one in tree_leaves(found) if isinstance(one, torch.Tensor)]
        self.sizes.append(max((min(one.nbytes, one.untyped_storage().nbytes()) for one in outputs), default=0))


class Multiplications(Watching):  # type: ignore[no-untyped-call]
    """``count`` is the number of multiplications in matrix products, convolutions and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0.0

    def see(self, operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any], found: Any) -> None:
        if (operations := flop_registry.get(operation.overloadpacket)) is not None:
            self.count += operations(*args, **kwargs, out_val=found) / 2


def allocations(forward: Callable[[Tree], Tree], inputs: Tree) -> tuple[Tree, list[int]]:
    """The outputs of a forward pass, and the bytes of each operation's largest output, in their order."""
    with Allocations() as seen:
        outputs = forward(inputs)
    return outputs, seen.sizes
