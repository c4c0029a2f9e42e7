"""Modules that are imported at their first use, so that reading a recipe does not import torch.

After ``from ablate.registry.lazy import torch``, ``torch`` is imported when its first attribute is accessed. Classes
that subclass ``nn.Module`` are in separate files, which are imported inside methods.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """Placeholder for a module until one of its attributes is accessed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__version__":
            raise AttributeError(name)
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return getattr(module, name)


if TYPE_CHECKING:
    import torch as torch
else:
    torch = LazyModule("torch")
