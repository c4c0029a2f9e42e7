"""What seeds cannot have apart in a stack, which trains copies of the networks: tricks that hold a network, and hooks
with memory.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dis import get_instructions
from enum import Enum
from functools import partial
from itertools import chain
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ablate.registry.lazy import torch
from ablate.tricks.trick import Context, Now, Trick

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("ablate", "numpy", "pydantic", "torch")
"""Packages whose functions hold nothing of a training."""

OPAQUE = (type, ModuleType, CodeType, Enum, Context, Now)
"""Objects that are not followed. A layer may read the current values of a trick's fields from its `Now`."""


def reason_against_stack(trick: Trick, networks: Sequence[nn.Module]) -> str | None:
    """Why a trick cannot be stacked after its ``on_model``, or None: it holds one of the live ``networks``, or they
    hold it.

    Copies of a network are allowed. References are followed through attributes, containers, closures, global variables
    that functions use, and weak references.
    """
    kinds = [kind for kind in type(trick).__mro__ if issubclass(kind, Trick) and kind is not Trick]
    held = reachable(trick, *chain.from_iterable(vars(kind).values() for kind in kinds))
    live = {id(module) for network in networks for module in network.modules()}
    tensors = chain.from_iterable(chain(network.parameters(), network.buffers()) for network in networks)
    memory = {address for tensor in tensors if (address := _address(tensor))}
    if any(key in live or _address(one) in memory for key, one in held.items()):
        return "keeps the network given to on_model, but seeds that are trained in parallel use a copy of it"
    shared = held.keys() & reachable(*networks).keys()
    if any(_is_state(held[key]) for key in shared):
        return "shares state with the network's layers or hooks, which all seeds that are trained in parallel would use"
    return None


def hooks_keep_state(network: nn.Module) -> bool:
    """Whether custom hooks of the network keep state outside its layers, which all seeds of a stack would share."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooks = [hook for module in network.modules() for kind in kinds for hook in getattr(module, kind).values()]
    own = [hook for hook in hooks if not _of_library(hook if isinstance(hook, FunctionType) else type(hook))]
    found = reachable(*own, opaque=(torch.nn.Module, CellType)).values()
    return any(_assigns_outside(one) if type(one) is FunctionType else _is_state(one) for one in found)


def reachable(*roots: object, opaque: tuple[type, ...] = ()) -> dict[int, object]:
    """All objects that the roots refer to, directly or through others, by their ``id``."""
    found: dict[int, object] = {}
    pending: list[object] = list(roots)
    while pending:
        one = pending.pop()
        # the type itself, because a weak proxy answers for its object
        if id(one) not in found and not issubclass(type(one), OPAQUE + opaque):
            found[id(one)] = one
            pending.extend(_referents(one))
    return found


def _referents(one: Any) -> Iterable[object]:
    if type(one) in weakref.ProxyTypes:
        try:
            return (one.__repr__.__self__,)
        except ReferenceError:
            return ()
    if isinstance(one, weakref.ref):
        return (one(), *gc.get_referents(one))
    if isinstance(one, FunctionType):
        return _used_by(one)
    if isinstance(one, partial):
        return (one.func, *one.args, *one.keywords.values())
    if isinstance(one, np.ndarray):
        return (one.base, *(one.flat if one.dtype == object else ()))
    return gc.get_referents(one)


def _used_by(function: FunctionType) -> Iterator[object]:
    """The values that a function of the user's refers to."""
    if _of_library(function):
        return
    for cell in function.__closure__ or ():
        yield from (cell, *gc.get_referents(cell))
    yield from (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *vars(function).values())
    codes = [function.__code__]
    for code in codes:
        codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        yield from (function.__globals__[name] for name in code.co_names if name in function.__globals__)


def _of_library(one: FunctionType | type) -> bool:
    return (one.__module__ or "").partition(".")[0] in LIBRARIES


def _assigns_outside(function: FunctionType) -> bool:
    """Whether a function assigns to variables that are ``nonlocal`` or ``global``."""
    free = function.__code__.co_freevars
    steps = [] if _of_library(function) else get_instructions(function)
    return any(
        step.opname == "STORE_GLOBAL" or (step.opname == "STORE_DEREF" and step.argval in free) for step in steps
    )


def _is_state(one: object) -> bool:
    """Whether an object can change. Python's garbage collector does not track numbers, strings and such."""
    if issubclass(type(one), tuple | frozenset | partial | FunctionType | MethodType | BuiltinFunctionType):
        return False
    return gc.is_tracked(one) or issubclass(type(one), dict | bytearray | np.ndarray)


def _address(one: Any) -> int | None:
    """Where a tensor is stored; 0 if it is empty."""
    is_tensor = issubclass(type(one), torch.Tensor) and one.layout == torch.strided
    return one.untyped_storage().data_ptr() if is_tensor else None
