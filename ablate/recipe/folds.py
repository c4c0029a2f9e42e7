"""Cross-validation: every seed trains once per fold, with that fold as its validation set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ablate.recipe.node import Problems
from ablate.recipe.shape import Shape

MOST = 100
"""Maximum number of folds."""

EXAMPLE = "'folds: 5' or 'folds: {k: 5, stratified: false}'"


@dataclass(frozen=True)
class Folds:
    """``k`` folds, numbered from 0. ``stratified``: each has the same fraction of every class.

    None stratifies if the targets are classes. Groups (``data.group``) are always kept together.
    """

    k: int
    stratified: bool | None = None

    def dump(self) -> dict[str, Any]:
        """The folds as plain JSON values."""
        return {"k": self.k, "stratified": self.stratified}


def read_folds(top: Shape, problems: Problems) -> Folds | None:
    """``folds: 5`` or ``folds: {k: 5, stratified: false}``; None if there are none, or if they are invalid."""
    node = top.get("folds")
    if node is None:
        return None
    if node.mapping is None:
        k = node.value
        if not isinstance(k, int) or isinstance(k, bool) or not 2 <= k <= MOST:
            top.wrong("folds", f"must be between 2 and {MOST}. Write {EXAMPLE}.")
            return None
        return Folds(k)
    shape = Shape(node, "folds", "folds", problems)
    shape.only(
        ("k", "stratified"),
        {"grouped": "is not supported. Set data.group, the column of groups that stay together, instead."},
    )
    number = shape.get("k")
    k = number.value if number is not None else None
    if number is None:
        problems.add(node.position, f"folds.k, the number of folds, is required. Write {EXAMPLE}.")
        return None
    if not isinstance(k, int) or isinstance(k, bool) or not 2 <= k <= MOST:
        shape.wrong("k", f"must be an integer between 2 and {MOST}.")
        return None
    return Folds(k, shape.flag("stratified") if shape.get("stratified") is not None else None)
