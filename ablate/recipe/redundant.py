"""Redundant parts of a recipe: equal variants, tricks that are added twice, and bundles that no variant uses."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from ablate.recipe.changes import Bundle, Own
from ablate.recipe.entries import Item
from ablate.recipe.node import Problems, show
from ablate.recipe.replay import SECTIONS
from ablate.recipe.settings import Settings
from ablate.recipe.shape import did_you_mean
from ablate.recipe.variant import Variant
from ablate.registry import UnknownName, lookup


def check_equal_rows(variants: Sequence[Variant], problems: Problems) -> None:
    """Report variants with the settings of an earlier one. Those that equal their parent have been reported already."""
    seen: dict[str, Variant] = {}
    for variant in variants:
        plain = {key: value for key, value in variant.settings.dump().items() if key not in Settings.INCIDENTAL}
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
                problems.add(item.position, f"{own.where}.add lists {show(item.key)} twice. Remove one of them.")


def check_unused_bundles(bundles: Mapping[str, Bundle], owns: Iterable[Own], problems: Problems) -> None:
    """Report unknown tricks and settings, and bundles that contain themselves, among those that ``owns`` do not use."""
    used = _reached(bundles, [item.key for own in owns for item in own.add])
    for name, bundle in bundles.items():
        if name in used:
            continue
        for item in bundle.own.add:
            if item.name is None:
                continue
            if item.name in bundles:
                if name in _reached(bundles, [item.name]):
                    problems.add(item.position, f"tricks.{show(name)} must not contain itself.")
                continue
            try:
                lookup("trick", item.name)
            except UnknownName as unknown:
                problems.add(item.position, f"trick (={show(item.name)}) {unknown}")
        for line in bundle.own.set:
            head = line.path.partition(".")[0]
            if head not in (*SECTIONS, "tricks"):
                hint = did_you_mean(head, SECTIONS)
                problems.add(line.position, f"{show(line.path)}: '{show(head)}' is not a setting.{hint}")


def _reached(bundles: Mapping[str, Bundle], names: Iterable[str]) -> set[str]:
    """The bundles among ``names``, and those that they add."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in bundles and name not in found:
            found.add(name)
            waiting += [item.key for item in bundles[name].own.add]
    return found
