"""Entries as plain values, for the catalog: name, card and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from ablate.registry import Entry


def described(entry: Entry) -> dict[str, Any]:
    """An entry as plain JSON values."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "provider": entry.provider,
        "card": asdict(entry.card),
        "settings": settings_of(entry),
    }


def settings_of(entry: Entry) -> list[dict[str, Any]]:
    """The settings of an entry: name, default (or ``required``), description, and the choices, if any.

    A setting that is a list of mappings, such as ``groups``, is followed by their keys: ``groups[].match``.
    """
    return list(_fields(entry.settings, ""))


def _fields(settings: type[BaseModel], before: str) -> Iterator[dict[str, Any]]:
    for name, field in settings.model_fields.items():
        default = "required" if field.is_required() else plain(field.get_default(call_default_factory=True))
        choices = list(dict.fromkeys(words_of(field.annotation)))
        where = f"{before}{name}"
        yield {"name": where, "default": default, "description": field.description or "", "choices": choices}
        if get_origin(field.annotation) is tuple:
            inner = get_args(field.annotation)[0]
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _fields(inner, f"{where}[].")


def words_of(annotation: Any) -> Iterator[str]:
    """The strings in an annotation's literals: ``tuple[Literal["max", "average"], ...] | None`` has two."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        yield from (word for word in inner if isinstance(word, str))
    else:
        for part in inner:
            yield from words_of(part)


def meaning(setting: Mapping[str, Any]) -> str:
    """A setting's description, with its choices if the description does not mention all of them."""
    text, choices = str(setting["description"]), setting["choices"]
    untold = [word for word in choices if not re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
    if not untold:
        return text
    return "; ".join(part for part in (text, f"choices: {', '.join(choices)}") if part)


def plain(value: Any) -> Any:
    """A default value as in a recipe."""
    if hasattr(value, "dump"):
        return value.dump()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def type_of(value: Any) -> str:
    """A value's type for a message: ``an int``, ``a list``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in tuple('aeiou') else 'a'} {name}"
