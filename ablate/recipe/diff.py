"""Differences between the settings of two variants."""

from __future__ import annotations

from typing import Any

from ablate.recipe.settings import Settings


def differences(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """(dotted path, value in ``a``, value in ``b``) of every setting that differs, those in ``a`` first.

    Values are plain, None if a setting is missing. A trick or metric that only one of the two has is one entry, such as
    ``tricks.flip``.
    """
    left, right = _tree(a), _tree(b)
    found: list[tuple[str, Any, Any]] = []
    for path in dict.fromkeys((*left, *right)):
        one, other = left.get(path), right.get(path)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            for key in dict.fromkeys((*one, *other)):
                if one.get(key) != other.get(key):
                    found.append((f"{path}.{key}", one.get(key), other.get(key)))
        else:
            found.append((path, one, other))
    return found


def _tree(settings: Settings) -> dict[str, Any]:
    """The dump with tricks and metrics keyed by name or target instead of by index."""
    tree = settings.dump()
    for key in settings.LISTS:
        for choice, plain in zip(getattr(settings, key), tree.pop(key), strict=True):
            tree[f"{key}.{choice.name or choice.target}"] = {
                name: value for name, value in plain.items() if name != "name"
            }
    return tree
