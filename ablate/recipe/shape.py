"""Reads mappings of a recipe: known keys, types of values, valid names, one line per error."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import TypeVar

from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.registry import suggestion


def did_you_mean(word: str, known: Collection[str]) -> str:
    """`` Did you mean 'x'?``, starting with a space, or an empty string."""
    near = suggestion(word, known)
    return f" Did you mean '{near}'?" if near else ""


def available(name: str, known: Collection[str], most: int = 20) -> str:
    """A hint for an unknown name, starting with a space: the most similar known name, or a list of known names."""
    return did_you_mean(name, known) or listed(known, most)


def listed(known: Collection[str], most: int = 20) -> str:
    """The known names as a hint, starting with a space; an empty string if there are none."""
    if not known:
        return ""
    more = ", …" if len(known) > most else ""
    return f" Available: {', '.join(list(dict.fromkeys(known))[:most])}{more}."


MOST_HINTS = 50
"""Unknown keys of a mapping that get a hint; finding one takes a millisecond."""

T = TypeVar("T")


class Shape:
    """One mapping of a recipe, at ``path``; ``what`` describes it in messages.

    A value of the wrong type is reported and then ignored.
    """

    def __init__(self, node: Node, path: str, what: str, problems: Problems) -> None:
        self.node, self.path, self.what, self.problems = node, path, what, problems
        self.entries = dict(node.mapping or {})
        if node.mapping is None:
            problems.wrong(node, path or "recipe", "must be a mapping.")

    def where(self, key: str) -> str:
        """A key's full path."""
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, rule: str) -> None:
        """Report an invalid value: its path, the value, the rule."""
        node = self.entries[key]
        self.problems.wrong(node, self.where(key), rule)

    def get(self, key: str) -> Node | None:
        """The value of a key; None if it is missing or empty."""
        node = self.entries.get(key)
        return None if node is None or node.value is None else node

    def _typed(self, key: str, pick: Callable[[Node], T | None], rule: str) -> T | None:
        if (node := self.get(key)) is None:
            return None
        if (value := pick(node)) is None:
            self.wrong(key, rule)
        return value

    def text(self, key: str, default: str = "") -> str:
        """A string; ``default`` if it is missing."""
        return self._typed(key, lambda node: node.text, "must be a string. Quote it.") or default

    def items(self, key: str, example: str) -> tuple[Node, ...]:
        """A list; ``example`` is used in the message."""
        return self._typed(key, lambda node: node.items, f"must be a list, such as {example}.") or ()

    def flag(self, key: str) -> bool:
        """A boolean; False if it is missing."""
        found = self._typed(key, lambda n: n.value if isinstance(n.value, bool) else None, "must be true or false.")
        return bool(found)

    def pairs(self, key: str, example: str) -> list[tuple[str, Node, Position]]:
        """A mapping as (key, value, position of the key)."""
        if (node := self.get(key)) is None:
            return []
        if node.mapping is None:
            self.wrong(key, f"must be a mapping, such as {example}.")
            return []
        return [(name, value, node.key_position(name)) for name, value in node.mapping.items()]

    def only(self, known: Collection[str], hints: dict[str, str] | None = None) -> None:
        """Report unknown keys; ``hints`` has the messages for some of them."""
        for i, key in enumerate(key for key in self.entries if key not in known):
            hint = (hints or {}).get(key)
            near = available(key, known, 50) if i < MOST_HINTS else ""
            text = f"{self.where(show(key))} {hint if hint is not None else f'is not a key of {self.what}.{near}'}"
            self.problems.add(self.node.key_position(key), text)


LONGEST = 100
MOST_BYTES = 255
"""Maximum length of a folder's name on common file systems."""


RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u2800\u3164\uffa0"
"""Characters that are shown as nothing or as a space, although their category is that of letters, marks or symbols."""


def invisible(character: str) -> bool:
    """Whether it is not seen (zero-width characters, marks of direction) or looks like a space but is another one."""
    category = unicodedata.category(character)
    return category in ("Cf", "Cn", "Co") or character in BLANK or (category == "Zs" and character != " ")


def unseen_rule(name: str) -> str | None:
    """The rule that a name with characters that are not seen breaks; None for other names."""
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "must not contain control characters or line breaks."
    if (unseen := next(filter(invisible, name), None)) is None:
        return None
    title = unicodedata.name(unseen, "a character without a name")
    return f"must not contain the invisible character U+{ord(unseen):04X} ({title}). Remove it."


def composed(name: str) -> str:
    """A name with each letter and its marks as one code point, if there is one: é has two forms that look the same."""
    return unicodedata.normalize("NFC", name)


def same_name(name: str) -> str:
    """What names that look the same have in common, ignoring case as some file systems do."""
    return composed(composed(name).casefold())


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
    if (rule := unseen_rule(name)) is not None:
        return rule
    if name.startswith("."):
        return "must not begin with a dot."
    if ".." in name:
        return "must not contain '..'."
    return None


def study_rule(name: str) -> str | None:
    """The rule that a study's name breaks. The name ``store`` is that of the folder of all runs; some systems reserve
    the names of devices and remove a dot at the end.
    """
    if name.casefold() == "store" or RESERVED.fullmatch(name):
        return "is reserved. Choose another name."
    if (rule := name_rule(name)) is not None:
        return rule
    if name.endswith("."):
        return "must not end with a dot, because it is used as a folder name."
    size = len(name.encode())
    return f"must have at most {MOST_BYTES} bytes in UTF-8, but has {size}." if size > MOST_BYTES else None


def unknown_variant(known: Collection[str]) -> str:
    """The error message for the name of a variant that does not exist, as the end of a sentence: a list of all, because
    names such as net1 and net2 are always similar.
    """
    return f"is not a variant of this recipe.{listed(known)}"
