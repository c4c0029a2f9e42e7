"""``for``: one entry under ``variants`` that generates a variant for each value of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import prod

from ablate.recipe.node import Node, show
from ablate.recipe.problems import Problems
from ablate.recipe.shape import Shape, did_you_mean

MOST_ROWS = 1000
"""Maximum number of variants of a study."""

WHOLE = re.compile(r"\$([A-Za-z_]\w*)")
IN_TEXT = re.compile(r"\{([A-Za-z_]\w*)\}")


def repeats(node: Node, path: str, problems: Problems) -> tuple[list[Node], bool]:
    """The entry's mapping once per combination of values, without ``for`` and ``zip``; unchanged if it has no ``for``.

    The second value is False if the names in ``for`` and those used elsewhere do not match.
    """
    if node.mapping is None or not {"for", "zip"} & node.mapping.keys():
        return [node], True
    shape = Shape(node, path, "a variant", problems)
    together = shape.flag("zip")
    bare = node.without("for", "zip")
    if shape.get("for") is None:
        problems.add(node.key_position("zip"), f"{path}.zip requires 'for'.")
        return [bare], True
    lists: dict[str, tuple[Node, ...]] = {}
    for name, values, place in shape.pairs("for", "{p: [0.1, 0.2]}"):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            rule = "must be an identifier, because it is used as $name and {name}."
            problems.add(place, f"{path}.for.{show(name)} {rule}")
        elif not values.items:
            problems.add(
                values.position, f"{path}.for.{name} (={show(values)}) must be a list of values, such as [0.1, 0.2]."
            )
        else:
            lists[name] = values.items
    if not lists:
        return [], True
    known = _check_names(bare, path, lists, problems)
    lengths = [len(values) for values in lists.values()]
    if together and len(set(lengths)) > 1:
        text = ", ".join(f"{name} has {len(values)}" for name, values in lists.items())
        problems.add(node.key_position("zip"), f"{path}.zip requires lists of equal length, but {text}.")
        return [], True
    count = lengths[0] if together else prod(lengths)
    if count > MOST_ROWS:
        text = f"{path}.for (={count} variants) must generate at most {MOST_ROWS} variants."
        problems.add(node.key_position("for"), text)
        return [], True
    rows = zip(*lists.values(), strict=True) if together else product(*lists.values())
    return [_fill(bare, dict(zip(lists, row, strict=True)), in_text=True) for row in rows], known


def _check_names(node: Node, path: str, lists: Mapping[str, object], problems: Problems) -> bool:
    """Whether every ``$name``, and every ``{name}`` in a name or parent, is a key of ``for``, and every key is used.

    A key that is only used in names and descriptions counts as unused.
    """
    used: set[str] = set()
    mentioned: set[str] = set()
    wrong: dict[str, tuple[Node, str]] = {}

    def look(below: Node, key: str) -> None:
        if below.text is not None:
            whole = WHOLE.fullmatch(below.text)
            inside = IN_TEXT.findall(below.text) if key in ("name", "from", "description") else []
            words = [whole[1]] if whole else inside
            (mentioned if key in ("name", "description", "published") else used).update(words)
            for word in words:
                if word not in lists and key != "description":
                    wrong.setdefault(word, (below, key))
        for item in below.items or ():
            look(item, key)
        for item in (below.mapping or {}).values():
            look(item, key)

    for key, below in (node.mapping or {}).items():
        look(below, key)
    for word, (below, key) in wrong.items():
        hint = did_you_mean(word, list(lists))
        problems.add(below.position, f"{path}.{key} (={show(below)}): '{word}' is not a key of 'for'.{hint}")
    if wrong:  # a key that seems unused is probably the misspelt one
        return False
    unused = [word for word in lists if word not in used]
    for word in unused:
        where = "only used in names and descriptions" if word in mentioned else "not used"
        problems.add(node.position, f"{path}.for.{word} is {where}. Use ${word} in 'set', 'add' or 'remove'.")
    return not unused


def _fill(node: Node, values: Mapping[str, Node], *, in_text: bool) -> Node:
    """Replace ``$p`` by the value, and ``{p}`` by its text in the variant's name, parent and description."""
    if node.text is not None:
        whole = WHOLE.fullmatch(node.text)
        if whole and whole[1] in values:
            return values[whole[1]]
        if in_text:
            return Node(
                IN_TEXT.sub(lambda m: _text(values[m[1]]) if m[1] in values else m[0], node.text), node.position
            )
    if node.items is not None:
        return Node(tuple(_fill(item, values, in_text=False) for item in node.items), node.position)
    if node.mapping is not None:
        filled = {
            key: _fill(below, values, in_text=in_text and key in ("name", "from", "description"))
            for key, below in node.mapping.items()
        }
        return Node(filled, node.position, node.keys)
    return node


def _text(node: Node) -> str:
    return node.text if node.text is not None else show(node)
