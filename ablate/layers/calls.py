"""What a network calls in its forward pass: its layers in order, and functions in the code of its modules."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from ablate.trees import Tree, children_of, rebuilt


@dataclass(frozen=True)
class Call:
    """A call of a layer with one tensor, of shape ``inputs``, that returned one."""

    layer: nn.Module
    inputs: torch.Size
    outputs: torch.Size


@dataclass
class Calls:
    """``layers`` are in the order of the calls. ``functions`` are the calls of functions that were asked for, such as
    ``relu() in Net``. ``error`` is why the network cannot be called.
    """

    layers: list[Call] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    error: str | None = None

    def first(self, layer: nn.Module | None) -> Call | None:
        """The first call of a layer."""
        return next((call for call in self.layers if call.layer is layer), None)


def calls_of(network: nn.Module, form: Tree, functions: Collection[str] = ()) -> Calls:
    """The calls in a forward pass of two samples whose values are 0. ``form`` has the shapes of a sample, and may be a
    nest. Changes neither the network's buffers nor torch's generator.
    """
    first = next((tensor for tensor in network.parameters() if tensor.is_floating_point()), torch.empty(0))
    error = ""
    for dtype in (first.dtype, torch.long):
        for positional, named in _ways(_zeros(form, dtype, first.device)):
            watch = _Watch(functions)
            buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
            try:
                with torch.no_grad(), torch.random.fork_rng(devices=[]), watch:
                    functional_call(network, buffers, positional, named)
            except Exception as failure:
                error = error or " ".join(f"{type(failure).__name__}: {failure}".split())[:120]
            else:
                return watch.calls
    return Calls(error=error)


def of_library(module: nn.Module) -> bool:
    """Whether the code of a module is not the user's."""
    return type(module).__module__.partition(".")[0] in ("torch", "ablate")


class _Watch(TorchFunctionMode):
    """Records the calls in a context. Functions that library modules call are left out."""

    def __init__(self, functions: Collection[str]) -> None:
        super().__init__()
        self.asked, self.calls, self.inside = functions, Calls(), list[nn.Module]()

    def __enter__(self) -> _Watch:
        self.handles = [
            register_module_forward_pre_hook(lambda module, _: self.inside.append(module)),
            register_module_forward_hook(self._leave, always_call=True),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self.handles:
            handle.remove()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "").rstrip("_")
        if name in self.asked and self.inside and not of_library(self.inside[-1]):
            call = f"{name}() in {type(self.inside[-1]).__name__}"
            self.calls.functions += [] if call in self.calls.functions else [call]
        return function(*args, **(kwargs or {}))

    def _leave(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.inside.pop()
        if len(inputs) == 1 and isinstance(inputs[0], torch.Tensor) and isinstance(output, torch.Tensor):
            self.calls.layers.append(Call(module, inputs[0].shape, output.shape))


def _zeros(form: Tree, dtype: torch.dtype, device: torch.device) -> Tree:
    children = children_of(form)
    if children is None:
        return torch.zeros(2, *form, dtype=dtype, device=device)
    return rebuilt(form, {key: _zeros(child, dtype, device) for key, child in children.items()})


def _ways(inputs: Tree) -> Iterator[tuple[tuple[Tree, ...], dict[str, Tree]]]:
    """A network may take a nest as one argument, or unpacked (``batch.call``)."""
    yield (inputs,), {}
    if (children := children_of(inputs)) is not None:
        yield (tuple(children.values()), {}) if isinstance(inputs, tuple | list) else ((), children)
