"""`ablate`: train a baseline and its variants with several seeds, and compare them with confidence intervals and
verdicts.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ablate.version import __version__ as __version__

if TYPE_CHECKING:
    from ablate.api import load, predict, run, table
    from ablate.recipe import Recipe
    from ablate.registry.fields import Range
    from ablate.schedules import Scheduled
    from ablate.trainers.shared.log import log
    from ablate.tricks.trick import NoEffect, Trick

__all__ = ["NoEffect", "Range", "Recipe", "Scheduled", "Trick", "__version__", "load", "log", "predict", "run", "table"]

_MODULES = {
    "NoEffect": "tricks.trick",
    "Range": "registry.fields",
    "Recipe": "recipe",
    "Scheduled": "schedules",
    "Trick": "tricks.trick",
    "load": "api",
    "log": "trainers.shared.log",
    "predict": "api",
    "run": "api",
    "table": "api",
}


def __getattr__(name: str) -> Any:
    """The public names, imported on first use."""
    if name in _MODULES:
        return getattr(import_module(f"ablate.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'ablate' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
