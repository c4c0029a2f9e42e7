"""Text that controls no terminal and fits into a line."""

from __future__ import annotations

import re

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, except tabs and line breaks, and characters that change the direction of text."""


def visible(text: str) -> str:
    """Text that controls no terminal: names and messages may contain anything."""
    return UNSEEN.sub("", text)


def shortened(text: object, limit: int = 60) -> str:
    """The beginning of a long text: at most ``limit`` characters."""
    text = str(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
