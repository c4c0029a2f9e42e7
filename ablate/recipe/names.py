"""What studies and variants may be called: names become folders, files and MLflow keys."""

from __future__ import annotations

import unicodedata

LONGEST = 100
MOST_BYTES = 255
"""Of a folder's name, on any usual file system."""


def name_rule(name: str) -> str | None:
    """The rule that a name breaks, as the end of a sentence; None for a good name."""
    if not name.strip():
        return "must not be empty."
    if len(name) > LONGEST:
        return f"must have at most {LONGEST} characters; it has {len(name)}."
    if name != name.strip():
        return "must not begin or end with a space."
    for character in "/\\":
        if character in name:
            return f"must not contain '{character}': it names a folder. Use '-'."
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not contain control characters or line breaks."
    if name.startswith("."):
        return "must not begin with a dot."
    if ".." in name:
        return "must not contain '..'."
    return None


def study_rule(name: str) -> str | None:
    """The same for a study's name, which is that of a folder beside the one of all runs."""
    if name.casefold() == "store":
        return "is the folder that holds all runs. Choose another name."
    if (rule := name_rule(name)) is not None:
        return rule
    size = len(name.encode())
    return f"must have at most {MOST_BYTES} bytes in UTF-8; it has {size}." if size > MOST_BYTES else None
