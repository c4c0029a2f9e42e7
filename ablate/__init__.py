"""`ablate`: write down the baseline and the tricks; get the table, with the evidence."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Trick": "ablate.tricks.trick",
    "Scheduled": "ablate.schedules",
    "Range": "ablate.registry.fields",
    "NoEffect": "ablate.tricks.trick",
    "Recipe": "ablate.recipe",
    "run": "ablate.api",
    "table": "ablate.api",
    "load": "ablate.api",
    "predict": "ablate.api",
}


def __getattr__(name: str) -> Any:
    """The few names that users import, loaded when asked for."""
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'ablate' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*_EXPORTS, "__version__"]
