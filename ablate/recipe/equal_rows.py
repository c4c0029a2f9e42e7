"""Duplicates in a recipe: variants with equal settings, and a trick that is added twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ablate.recipe.changes import Own
from ablate.recipe.entries import Item
from ablate.recipe.node import show
from ablate.recipe.problems import Problems
from ablate.recipe.settings import Settings
from ablate.recipe.variant import Variant


def check_equal_rows(variants: Sequence[Variant], problems: Problems) -> None:
    """Report variants with the settings of an earlier one. Those that equal their parent have been reported already."""
    seen: dict[str, Variant] = {}
    for variant in variants:
        settings = variant.settings
        plain = {key: value for key, value in settings.dump().items() if key not in Settings.INCIDENTAL}
        plain["metrics"] = sorted(json.dumps(metric, sort_keys=True) for metric in plain["metrics"])
        first = seen.setdefault(json.dumps(plain, sort_keys=True), variant)
        if first.name in (variant.name, variant.parent):
            continue
        line = f" (line {first.position.line})" if first.position.line else ""
        text = f"Variants {show(variant.name)} and {show(first.name)}{line} have the same settings."
        problems.add(variant.position, f"{text} Change or remove one of them.")


def check_repeated_tricks(owns: Iterable[Own], problems: Problems) -> None:
    """Report a trick that one variant or bundle adds twice: the settings of one of them would be lost."""
    for own in owns:
        first: dict[str, Item] = {}
        for item in own.add:
            if first.setdefault(item.key, item) is not item:
                text = f"{own.where}.add lists {show(item.key)} twice. Remove one of them."
                problems.add(item.position, text)
