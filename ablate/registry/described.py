"""Entries in plain values: what a catalogue tells of a name, its card and its settings."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ablate.registry import Entry


def described(entry: Entry) -> dict[str, Any]:
    """An entry in plain JSON values."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "provider": entry.provider,
        "card": asdict(entry.card),
        "settings": settings_of(entry),
    }


def settings_of(entry: Entry) -> list[dict[str, Any]]:
    """The settings of an entry: name, default (``required`` where there is none), meaning."""
    rows = []
    for name, field in entry.settings.model_fields.items():
        default = "required" if field.is_required() else plain(field.get_default(call_default_factory=True))
        rows.append({"name": name, "default": default, "description": field.description or ""})
    return rows


def plain(value: Any) -> Any:
    """A default as a recipe would write it."""
    if hasattr(value, "dump"):
        return value.dump()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
