"""``for``: one variant written once, repeated over lists of values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import prod

from ablate.recipe.node import Node, show
from ablate.recipe.problems import Problems
from ablate.recipe.shape import Shape, did_you_mean

MOST_ROWS = 1000
"""Rows of one study."""

WHOLE = re.compile(r"\$([A-Za-z_]\w*)")
IN_TEXT = re.compile(r"\{([A-Za-z_]\w*)\}")


def repeats(node: Node, path: str, problems: Problems) -> tuple[list[Node], bool]:
    """The variant's mapping, once for each combination of values, without ``for`` and ``zip``; itself where it has no ``for``.

    And whether all of its ``$words`` have a value: where one has not, what it stands for is not known either.
    """
    if node.mapping is None or not {"for", "zip"} & node.mapping.keys():
        return [node], True
    shape = Shape(node, path, "a variant", problems)
    together = shape.flag("zip")
    bare = node.without("for", "zip")
    if shape.get("for") is None:
        problems.add(node.key_position("zip"), f"{path}.zip pairs the lists of 'for', which is not there.")
        return [bare], True
    lists: dict[str, tuple[Node, ...]] = {}
    for name, values, place in shape.pairs("for", "{p: [0.1, 0.2]}"):
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            problems.add(place, f"{path}.for.{show(name)} must be a word, to be used as $word and {{word}}.")
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
        problems.add(node.key_position("zip"), f"{path}.zip needs lists of one length: {text}.")
        return [], True
    count = lengths[0] if together else prod(lengths)
    if count > MOST_ROWS:
        problems.add(node.key_position("for"), f"{path}.for gives {count} rows; a study has at most {MOST_ROWS}.")
        return [], True
    rows = zip(*lists.values(), strict=True) if together else product(*lists.values())
    return [_fill(bare, dict(zip(lists, row, strict=True)), in_text=True) for row in rows], known


def _check_names(node: Node, path: str, lists: Mapping[str, object], problems: Problems) -> bool:
    """Every ``$name`` must be a key of ``for``, every ``{name}`` in a name or parent too, and every key must be used where it changes something.

    Returns whether the first two hold.
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
    for word in lists:
        # the misspelt word is what was meant to use it
        if word in used or wrong:
            continue
        but = " but in names and descriptions, so its rows are all the same" if word in mentioned else ""
        problems.add(node.position, f"{path}.for.{word} is never used{but}. Put ${word} where its values belong.")
    return not wrong


def _fill(node: Node, values: Mapping[str, Node], *, in_text: bool) -> Node:
    """``$p`` becomes the value; ``{p}`` becomes its text in the row's name, parent and description."""
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
