"""Cross-validation: every seed trains once for each fold, with that fold as its validation part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ablate.recipe.problems import Problems
from ablate.recipe.shape import Shape

MOST = 100
"""Folds of a study."""

EXAMPLE = "folds: 5, or folds: {k: 5, stratified: false}"


@dataclass(frozen=True)
class Folds:
    """``k`` folds, numbered from 0. ``stratified``: each has the same share of every class; None: where targets are classes.

    Groups (``data.group``) are kept together whatever it says.
    """

    k: int
    stratified: bool | None = None

    def dump(self) -> dict[str, Any]:
        """In plain JSON values."""
        return {"k": self.k, "stratified": self.stratified}


def read_folds(top: Shape, problems: Problems) -> Folds | None:
    """``folds: 5`` or ``folds: {k: 5, stratified: false}``; None where there are none, or, with a problem, where they are not right."""
    node = top.get("folds")
    if node is None:
        return None
    if node.mapping is None:
        k = node.value
        if not isinstance(k, int) or isinstance(k, bool) or not 2 <= k <= MOST:
            top.wrong("folds", f"must be a number of folds from 2 to {MOST}, such as {EXAMPLE}.")
            return None
        return Folds(k)
    shape = Shape(node, "folds", "folds", problems)
    shape.only(
        ("k", "stratified"),
        {"grouped": "is not needed: 'group' of the data names the column, and its groups stay together."},
    )
    number = shape.get("k")
    k = number.value if number is not None else None
    if number is None:
        problems.add(node.position, f"folds.k is missing: the number of folds, such as {EXAMPLE}.")
        return None
    if not isinstance(k, int) or isinstance(k, bool) or not 2 <= k <= MOST:
        shape.wrong("k", f"must be a whole number from 2 to {MOST}.")
        return None
    return Folds(k, shape.flag("stratified") if shape.get("stratified") is not None else None)
