"""What a recipe says twice: rows that train the same would both be judged and count twice among what was tried; a trick would lose settings."""

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
    """Name every row that has the settings of one above it, and that one. A row that equals its parent has been named as such already."""
    seen: dict[str, Variant] = {}
    for variant in variants:
        settings = variant.settings
        plain = {key: value for key, value in settings.dump().items() if key not in Settings.INCIDENTAL}
        plain["metrics"] = sorted(json.dumps(metric, sort_keys=True) for metric in plain["metrics"])
        first = seen.setdefault(json.dumps(plain, sort_keys=True), variant)
        if first is variant or first.name == variant.parent:
            continue
        line = f" in line {first.position.line}" if first.position.line else ""
        problems.add(
            variant.position,
            f"{show(variant.name)} has the settings of {show(first.name)}{line}. Change something, or remove one of the rows.",
        )


def check_repeated_tricks(owns: Iterable[Own], problems: Problems) -> None:
    """A row, or a bundle, switches a trick on once: of two settings for it one would be lost without a word."""
    for own in owns:
        first: dict[str, Item] = {}
        for item in own.add:
            if first.setdefault(item.key, item) is not item:
                text = f"{own.where}.add has {show(item.key)} twice. Keep one of them."
                problems.add(item.position, text)
