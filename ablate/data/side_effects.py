"""Whether calling a data function changes anything that other custom code could read, such as a global vocabulary: then
its result does not stand for the call.
"""

from __future__ import annotations

import logging
import os
import sys
import zlib
from collections import deque
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from ablate.recipe.targets import is_own
from ablate.registry.lazy import LazyModule, torch

if TYPE_CHECKING:
    import numpy as np
else:
    np = LazyModule("numpy")

DEEP = 4
"""Levels of values within a module that are looked at."""

MANY = 10_000
"""Number of values up to which those of a container are looked at; of longer ones, only the length."""

MOST = 100_000
"""Maximum number of values that are looked at, those of few levels first."""

LARGE = 2**26
"""Bytes up to which the contents of arrays are compared."""


class Surroundings:
    """What custom code can read at a moment: the globals of the user's modules with the attributes of their functions,
    classes and objects, and the values in containers; environment, module path and torch's defaults.
    """

    def __init__(self) -> None:
        self.process = of_process()
        modules = {name: module for name, module in list(sys.modules.items()) if _is_users_module(module)}
        self.modules = modules.keys()
        # by identity, with the values themselves: an object that is kept alive shares its identity with no other
        self.states: dict[int, tuple[Any, Any, list[Any]]] = {}
        waiting = deque((module, 0) for module in modules.values())
        while waiting and len(self.states) < MOST:
            value, level = waiting.popleft()
            if id(value) in self.states or (state := _state(value)) is None:
                continue
            self.states[id(value)] = value, *state
            if level < DEEP:
                waiting.extend((child, level + 1) for child in state[1])

    def are_as_now(self) -> bool:
        """Whether nothing has changed since, and no other module of the user's was imported."""
        now = Surroundings()
        if self.process != now.process or self.modules != now.modules:
            return False
        return all(
            known in now.states and fact == now.states[known][1] and _same(children, now.states[known][2])
            for known, (_, fact, children) in self.states.items()
        )


def of_process() -> tuple[Any, ...]:
    """Environment, module path, working folder and torch's defaults."""
    return (
        {name: value for name, value in os.environ.items() if not name.startswith("KMP_")},  # set by importing sklearn
        list(sys.path),
        Path.cwd(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_grad_enabled(),
    )


def _is_users_module(value: Any) -> bool:
    if not isinstance(value, ModuleType) or value.__name__.partition(".")[0] in ("__main__", "ablate"):
        return False
    return isinstance(path := vars(value).get("__file__"), str) and is_own(Path(path))


def _state(value: Any) -> tuple[Any, list[Any]] | None:
    """A fact that changes if a value does, and the values in it; None for what cannot change, and for libraries."""
    if isinstance(value, str | bytes | int | float | complex | logging.Logger | None):
        return None
    if isinstance(value, torch.Tensor):
        return (value._version, value.data_ptr() if value.device.type == "cpu" else 0), []
    if isinstance(value, np.ndarray):
        small = value.dtype != object and value.nbytes <= LARGE
        return zlib.crc32(value.tobytes()) if small else value.size, []
    if isinstance(value, dict):
        return len(value), [*value.keys(), *value.values()] if len(value) <= MANY else []
    if isinstance(value, list | tuple | set | frozenset | deque):
        return len(value), list(value) if len(value) <= MANY else []
    if isinstance(value, ModuleType) and not _is_users_module(value):
        return None
    if isinstance(value, type | FunctionType) and not _is_users_module(sys.modules.get(value.__module__)):
        return None
    try:
        inside = vars(value)
    except TypeError:
        return None
    children = [child for name, child in inside.items() if not (name.startswith("__") and name.endswith("__"))]
    return len(children), children


def _same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(one is other for one, other in zip(before, now, strict=True))
