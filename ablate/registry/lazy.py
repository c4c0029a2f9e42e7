"""Heavy modules that load at their first use, so that reading a recipe never pays for torch.

A file of the library says ``from ablate.registry.lazy import torch`` and uses ``torch.where`` as always; the module is
imported when the first attribute is asked for. Classes that must subclass ``nn.Module`` live in files of their own, which are imported inside methods.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class LazyModule(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

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
