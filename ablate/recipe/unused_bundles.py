"""Checks bundles that no variant uses, and which are therefore never built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ablate.recipe.changes import Bundle, Own
from ablate.recipe.node import show
from ablate.recipe.problems import Problems
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import did_you_mean
from ablate.registry import UnknownName, lookup


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
