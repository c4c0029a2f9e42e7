"""The registry: everything that a recipe can use, by kind and name, with its settings class, version and card.

The package's files register their classes with a decorator when they are imported. None of them imports torch at its
top level, so that reading the whole catalog takes a fraction of a second. Plugins do the same: an entry point in the
group ``ablate.entries`` names a module whose import registers its classes.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from ablate.registry.synonyms import synonym

__all__ = ["KINDS", "Card", "Entry", "Named", "UnknownName", "entries", "inside", "lookup", "register", "suggestion"]

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
    "trainer": "ablate.trainers",
    "check": "ablate.checks",
}
"""The kinds of entries, each with the package of the built-in ones."""

CALLED = {"watch": "known entry for watch", "data": "known dataset"}
"""Names of kinds in messages, if they differ from ``known <kind>``."""


class Named(BaseModel):
    """Typed, frozen, range-checked settings of an entry; subclasses add the methods of their kind.

    Fields are the keys allowed below the name in a recipe. Unknown keys, NaN and infinity are errors.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        defer_build=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        validate_default=True,
    )

    shorthand: ClassVar[str | None] = None
    """The field that a bare value sets: for ``rate``, ``{weight_decay: 0.1}`` is ``{weight_decay: {rate: 0.1}}``."""

    def dump(self) -> dict[str, Any]:
        """The settings as plain JSON values, defaults included."""
        return self.model_dump(mode="json")


def inside(value: Any, keys: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value in settings, at any depth, with the keys that lead to it; first the settings themselves."""
    yield keys, value
    parts: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, BaseModel):
        parts = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif hasattr(value, "options"):  # a choice within settings, which is written without this key
        yield from inside(value.options, keys)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, tuple | list):
        parts = enumerate(value)
    for key, part in parts:
        yield from inside(part, (*keys, key))


@dataclass(frozen=True)
class Card:
    """An entry's description. ``summary`` has about ten words; the other fields one sentence each, or none."""

    summary: str
    source: str = ""
    helps: str = ""
    costs: str = ""
    interacts: str = ""


@dataclass(frozen=True)
class Entry:
    """One name of one kind. Increase ``version`` when its behavior changes: runs of older versions become outdated."""

    kind: str
    name: str
    settings: type[Named]
    card: Card
    version: int = 1
    provider: str = field(default="ablate", compare=False)

    @property
    def target(self) -> str:
        """The class as ``module:attribute``."""
        return f"{self.settings.__module__}:{self.settings.__qualname__}"


class UnknownName(KeyError):
    """An unknown name; ``suggestion`` is the most similar known one, or None."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(name)
        self.kind, self.name = kind, name
        self.suggestion = suggestion(name, (entry.name for entry in entries(kind)))

    def __str__(self) -> str:
        hint = f"Did you mean '{self.suggestion}'?"
        if self.suggestion is None:
            hint = f"Run 'ablate catalog {self.kind}' for a list."
        return f"is not a {CALLED.get(self.kind, f'known {self.kind}')}. {hint}"


_entries: dict[tuple[str, str], Entry] = {}
_provider = "ablate"

T = TypeVar("T", bound=Named)


def register(kind: str, name: str, *, card: Card, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Class decorator: register a settings class under ``name``.

    Raises ValueError for an unknown kind, and if the name is already registered.
    """

    def decorate(settings: type[T]) -> type[T]:
        if kind not in KINDS:
            raise ValueError(f"kind (={kind}) must be one of {', '.join(KINDS)}.")
        entry = Entry(kind, name, settings, card, version, _provider)
        known = _entries.get((kind, name))
        if known is not None and known.target != entry.target:
            both = f"{known.target} and {entry.target}"
            raise ValueError(f"{kind} (={name}) must be unique, but {both} register it. Rename one of them.")
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
    """All entries, or those of one kind, sorted by kind (in the order of `KINDS`) and name."""
    _load_library()
    order = list(KINDS)
    return sorted((e for e in _entries.values() if kind in (None, e.kind)), key=lambda e: (order.index(e.kind), e.name))


def lookup(kind: str, name: str) -> Entry:
    """The entry with this kind and name. Raises `UnknownName`."""
    _load_library()
    try:
        return _entries[kind, name]
    except KeyError:
        raise UnknownName(kind, name) from None


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that ``word`` most likely means: by another library's name for it, or misspelled; or None."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return synonym(word, known) or (near[0] if near else None)
