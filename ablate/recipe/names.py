"""Rules for the names of studies and variants, which become folders, files and MLflow keys; errors for unknown ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from ablate.recipe.shape import available

LONGEST = 100
MOST_BYTES = 255
"""Maximum length of a folder's name on common file systems."""


def name_rule(name: str) -> str | None:
    """The rule that a name breaks, as the end of a sentence; None for a valid name."""
    if not name.strip():
        return "must not be empty."
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters, but has {len(name)}."
    if name != name.strip():
        return "must not begin or end with a space."
    for character in "/\\":
        if character in name:
            return f"must not contain '{character}', because it is used as a folder name. Use '-' instead."
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not contain control characters or line breaks."
    if name.startswith("."):
        return "must not begin with a dot."
    if ".." in name:
        return "must not contain '..'."
    return None


def study_rule(name: str) -> str | None:
    """The rule that a study's name breaks. The name ``store`` is that of the folder of all runs."""
    if name.casefold() == "store":
        return "is reserved. Choose another name."
    if (rule := name_rule(name)) is not None:
        return rule
    size = len(name.encode())
    return f"must have at most {MOST_BYTES} bytes in UTF-8, but has {size}." if size > MOST_BYTES else None


def unknown_variant(name: str, known: Collection[str]) -> str:
    """The error message for the name of a variant that does not exist, as the end of a sentence."""
    return f"is not a variant of this recipe.{available(name, known)}"
