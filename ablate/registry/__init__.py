"""What a recipe can name: every kind, every name, its settings class, version and card.

The library's files register themselves with a decorator when they are imported; none of them imports torch at its top, so that
reading the whole catalogue takes a fraction of a second. Plugins do the same: an entry point in the group ``ablate.entries``
names a module whose import registers its classes.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar

from ablate.registry.named import Named

__all__ = ["KINDS", "Card", "Entry", "Named", "UnknownName", "entries", "lookup", "register", "suggestion"]

KINDS = {
    "trick": "ablate.tricks",
    "schedule": "ablate.schedules",
    "optimizer": "ablate.optimizers",
    "model": "ablate.models",
    "init": "ablate.inits",
    "loss": "ablate.losses",
    "metric": "ablate.metrics",
    "watch": "ablate.tracked",
    "data": "ablate.data",
}
"""The kinds of things that can be named, each with the room that holds the library's own."""


@dataclass(frozen=True)
class Card:
    """What a user should know before switching something on.

    ``summary`` has about ten words; the others are a sentence each, empty where there is nothing to say.
    """

    summary: str
    source: str = ""
    helps: str = ""
    costs: str = ""
    interacts: str = ""


@dataclass(frozen=True)
class Entry:
    """One name of one kind. ``version`` is raised when its behaviour changes: runs made with the old one become stale."""

    kind: str
    name: str
    settings: type[Named]
    card: Card
    version: int = 1
    provider: str = field(default="ablate", compare=False)

    @property
    def target(self) -> str:
        """Where the class lives, as ``module:attribute``."""
        return f"{self.settings.__module__}:{self.settings.__qualname__}"


class UnknownName(KeyError):
    """A name that the registry does not have; ``suggestion`` is the nearest one that it has, or None."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(name)
        self.kind, self.name = kind, name
        self.suggestion = suggestion(name, (entry.name for entry in entries(kind)))

    def __str__(self) -> str:
        hint = (
            f" Did you mean '{self.suggestion}'?"
            if self.suggestion
            else f" 'ablate catalog {self.kind}' lists what there is."
        )
        return f"is not a known {self.kind}.{hint}"


_entries: dict[tuple[str, str], Entry] = {}
_provider = "ablate"

T = TypeVar("T", bound=Named)


def register(kind: str, name: str, *, card: Card, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Class decorator: make a settings class known under ``name``.

    Raises ValueError for an unknown kind and for a name that is taken: nothing is ever silently replaced.
    """

    def decorate(settings: type[T]) -> type[T]:
        if kind not in KINDS:
            raise ValueError(f"kind (={kind}) must be one of {', '.join(KINDS)}.")
        entry = Entry(kind, name, settings, card, version, _provider)
        known = _entries.get((kind, name))
        if known is not None and known.target != entry.target:
            raise ValueError(
                f"{kind} (={name}) is registered twice: by {known.target} and by {entry.target}. Rename one of them."
            )
        _entries[kind, name] = entry
        return settings

    return decorate


@cache
def _load_library() -> None:
    for package in KINDS.values():
        room = importlib.import_module(package)
        for module in pkgutil.iter_modules(room.__path__, package + "."):
            importlib.import_module(module.name)
    _load_plugins(importlib.metadata.entry_points(group="ablate.entries"))


def _load_plugins(points: Iterable[importlib.metadata.EntryPoint]) -> None:
    global _provider
    for point in points:
        _provider = point.dist.name if point.dist else point.value
        try:
            point.load()
        finally:
            _provider = "ablate"


def entries(kind: str | None = None) -> list[Entry]:
    """All entries, or those of one kind, sorted by kind (in the order of ``KINDS``) and name."""
    _load_library()
    order = list(KINDS)
    return sorted((e for e in _entries.values() if kind in (None, e.kind)), key=lambda e: (order.index(e.kind), e.name))


def lookup(kind: str, name: str) -> Entry:
    """The entry of that kind and name. Raises `UnknownName`, which carries the nearest known name."""
    _load_library()
    try:
        return _entries[kind, name]
    except KeyError:
        raise UnknownName(kind, name) from None


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` is most likely a misspelling of, or None."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return near[0] if near else None
