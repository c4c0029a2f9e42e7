"""``tune``: the settings that are chosen for every variant, from the same candidates, before seeds are judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from ablate.recipe.changes import Assignment, Bundle, Own
from ablate.recipe.node import Node, Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.replay import trick_of_path
from ablate.recipe.search_space import MOST_CANDIDATES, SAMPLERS, Grid, Values, read_space
from ablate.recipe.selection import Selection
from ablate.recipe.settings import Settings
from ablate.recipe.shape import Shape, available
from ablate.recipe.variant import Compare, Variant
from ablate.recipe.variants import Written, build_variants
from ablate.registry.fields import Epochs

RESERVED = 1_000_000
"""The first seed of candidates. Runs that are judged must not have these seeds."""


@dataclass(frozen=True)
class Tuning:
    """What a recipe tunes, and how its variants are built with other values.

    ``own``: of each variant that is tuned, its value of each path that it searches. ``off``: variants with ``tune:
    off``, each with the paths whose value they share with their parent. ``compare`` is the metric by which candidates
    are chosen: that of the recipe, whatever the flags. With ``trials``, that many candidates of each variant are taken
    from the grid by Optuna's ``sampler``; otherwise, all are tried.
    """

    grid: Grid
    seeds: tuple[int, ...]
    compare: Compare
    own: Mapping[str, Values]
    off: Mapping[str, tuple[str, ...]]
    written: Written
    selection: Selection
    folder: Path
    need_files: bool = True
    positions: Mapping[str, Position] = field(default_factory=dict)
    trials: int | None = None
    sampler: str = SAMPLERS[0]

    def count(self, variant: str, grid: Grid) -> int:
        """The number of candidates of a variant."""
        return len(self.points(variant, grid)) if self.trials is None else self.trials

    def points(self, variant: str, grid: Grid) -> list[Values]:
        """The points of the grid for a variant: a number for each path that it searches. With a sampler, a few points
        that have each number of a path (the ends of a range).
        """
        paths = list(self.own.get(variant, {}))
        if self.trials is not None:
            lists = {path: grid[path].numbers for path in paths}
            most = max(map(len, lists.values()), default=0)
            return [{path: numbers[min(i, len(numbers) - 1)] for path, numbers in lists.items()} for i in range(most)]
        return [dict(zip(paths, numbers, strict=True)) for numbers in product(*(grid[path].numbers for path in paths))]

    def values(self, variant: str, point: Values, grid: Grid) -> dict[str, float]:
        """The values of a variant's settings at a point of the grid."""
        return {path: grid[path].of(number, self.own[variant][path]) for path, number in point.items()}

    def built(self, values: Mapping[str, Values], problems: Problems) -> dict[str, Variant]:
        """All variants, with these values of their settings. Invalid ones are problems."""
        sets = tuple(
            (name, Assignment(path, Node(value, place), place))
            for name, each in values.items()
            for path, value in each.items()
            for place in (self.positions.get(path, Position("")),)
        )
        selection = replace(self.selection, sets=(*self.selection.sets, *sets), only=None)
        gone = None if self.need_files else dict[Path, str]()
        variants, _ = build_variants(self.written, selection, self.folder, problems, gone)
        return {variant.name: variant for variant in variants}

    def settled(self, chosen: Mapping[str, Values], variants: Sequence[Variant]) -> dict[str, Values]:
        """The values of all variants, parents first: the chosen ones; for ``tune: off``, those of the parent."""
        found: dict[str, Values] = {}
        for variant in variants:
            above = found.get(variant.parent or "", {})
            shared = {path: above[path] for path in self.off.get(variant.name, ()) if path in above}
            found[variant.name] = chosen.get(variant.name, shared)
        return {name: values for name, values in found.items() if values}

    def layers(self, grid: Grid) -> Iterator[dict[str, tuple[Values, Values]]]:
        """The candidates of all variants, one of each at a time: its point in the grid, and its values."""
        points = {name: self.points(name, grid) for name in self.own}
        for i in range(max(map(len, points.values()), default=0)):
            some = {name: each[i] for name, each in points.items() if i < len(each)}
            yield {name: (point, self.values(name, point, grid)) for name, point in some.items()}


def read_tuning(
    top: Shape,
    written: Written,
    variants: Sequence[Variant],
    selection: Selection,
    folder: Path,
    compare: Compare,
    judging: Sequence[int],
    problems: Problems,
    *,
    need_files: bool = True,
) -> Tuning | None:
    """The recipe's ``tune``: ``{optimizer.lr: {times: [1/3, 1, 3]}, seeds: 2}``. None, and problems, if it is invalid.

    ``variants`` are all of the recipe as written; ``judging`` the seeds of its runs.
    """
    node = top.get("tune")
    if node is None:
        for row in written.rows:
            if not row.tune:
                problems.add(row.position, f"{row.where}.tune requires 'tune' in the recipe, which says what is tuned.")
        return None
    before = len(problems)
    space = read_space(top, problems)
    if space is None:
        return None
    grid, positions = space.grid, space.positions
    seeds = tuple(range(RESERVED, RESERVED + space.seeds))
    if taken := sorted(set(seeds) & set(judging)):
        rule = f"is reserved for tuning ({seeds[0]} to {seeds[-1]}). Use other seeds."
        problems.add(positions["seeds"], f"seed (={taken[0]}) {rule}")
    for _, line in selection.sets:
        if any(path == line.path or path.startswith(f"{line.path}.") for path in grid):
            rule = "is tuned, so it cannot be set. Change 'tune' in the recipe."
            problems.add(line.position, f"{show(line.path)} {rule}")
    if len(problems) > before:
        return None
    own, off = _searched(grid, written, variants, positions, problems)
    tuning = Tuning(
        grid, seeds, compare, own, off, written, selection, folder, need_files, positions, space.trials, space.sampler
    )
    if len(problems) > before:
        return None
    for name in own:
        if (number := len(tuning.points(name, grid))) > MOST_CANDIDATES:
            rule = f"has {number} candidates for {show(name)}; the maximum is {MOST_CANDIDATES}."
            problems.add(node.position, f"tune {rule}")
            return None
    for layer in tuning.layers(grid):
        tuning.built({name: values for name, (_, values) in layer.items()}, problems)
    return tuning if len(problems) == before else None


MISSING = object()


def value_at(settings: Settings, path: str) -> Any:
    """The value of a setting; `MISSING` if there is none. A duration in epochs is text, because it is scaled."""
    head, _, rest = path.partition(".")
    owner: Any = settings
    value: Any = MISSING
    if head == "tricks":
        known = {name: one for one in settings.tricks for name in (one.label, one.target, one.name) if name}
        if (key := trick_of_path(path, known)) is None:
            return MISSING
        owner, rest, value = known[key], path[len(f"tricks.{key}.") :], known[key].dump()
    elif head in ("batch_size", "args"):
        value = settings.dump().get(head, MISSING)
    else:
        owner = getattr(settings, head)
        value = owner.dump()
    options = getattr(owner, "options", None)
    if isinstance(getattr(options, rest, None), Epochs):
        return str(getattr(options, rest).dump())
    for part in rest.split(".") if rest else ():
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value


def _searched(
    grid: Grid, written: Written, variants: Sequence[Variant], positions: Mapping[str, Position], problems: Problems
) -> tuple[dict[str, Values], dict[str, tuple[str, ...]]]:
    """The own values of each variant that is tuned, and what each one with ``tune: off`` shares with its parent."""
    own: dict[str, dict[str, float]] = {}
    off: dict[str, tuple[str, ...]] = {}
    fixed, untuned = fixed_paths(written, list(grid)), {row.name for row in written.rows if not row.tune}
    known = {variant.name: variant for variant in variants}
    for path in grid:
        values = {name: value_at(one.settings, path) for name, one in known.items() if not one.settings.joined}
        having = {name: value for name, value in values.items() if value is not MISSING}
        if not having:
            rest = path.rpartition(".")[2]
            head = path.partition(".")[0]
            near = getattr(variants[0].settings, head).dump() if head in ("model", "init", "optimizer") else {}
            hint = available(rest, [key for key in near if key != "name"])
            problems.add(positions[path], f"tune.{show(path)}: no variant has this setting.{hint}")
        for name, value in having.items():
            if name in untuned or path in fixed[name]:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                way = f"Set a number, or write 'tune: off' in the variant {show(name)}."
                problems.add(positions[path], f"tune.{show(path)}: {show(name)} has {show(value)}, not a number. {way}")
                break
            elif grid[path].kind == "times" and value == 0:
                rule = f"tune.{show(path)}.times: {show(name)} has 0, whose multiples are all 0. Use 'values'."
                problems.add(positions[path], rule)
            elif known[name].settings.source_rows:
                rule = f"is based on {show(known[name].settings.source_rows[0])}, so it cannot be tuned by itself."
                problems.add(known[name].position, f"{show(name)} {rule} Write 'tune: off' in the variant.")
            else:
                own.setdefault(name, {})[path] = value
    for name in untuned & known.keys():
        parent, mine = known.get(known[name].parent or ""), known[name].settings
        off[name] = tuple(
            path
            for path in grid
            if parent is not None and path not in fixed[name] and _shared(mine, parent.settings, path)
        )
    return {name: own[name] for name in known if name in own}, off


def _shared(mine: Settings, parents: Settings, path: str) -> bool:
    """Whether a variant has its parent's value of a setting, for the same model, optimizer …"""
    head = path.partition(".")[0]
    if head in ("model", "init", "optimizer"):
        one, other = getattr(mine, head), getattr(parents, head)
        if (one.name, one.target) != (other.name, other.target):
            return False
    value = value_at(mine, path)
    return value is not MISSING and bool(value == value_at(parents, path))


def fixed_paths(written: Written, paths: Sequence[str]) -> dict[str, set[str]]:
    """The paths whose value a variant, or one that it is based on, sets itself: the value is its change, not tuned.

    Replacing the optimizer (model …) as a whole sets no value in this sense.
    """
    found: dict[str, dict[str, str]] = {}
    for row in written.rows:
        base = written.rows[0].name if row.stack else row.parent
        fixed = dict(found.get(base or "", {}))
        for own in row.stack or (row.own,):
            for name, _ in own.remove:
                fixed = {path: owner for path, owner in fixed.items() if owner != name}
            for path, owner in _set_by(own, written.bundles, ""):
                for tuned in paths:
                    if tuned == path:
                        fixed[tuned] = owner
                    elif tuned.startswith(f"{path}."):
                        fixed.pop(tuned, None)
        found[row.name] = fixed
    return {name: set(fixed) for name, fixed in found.items()}


def _set_by(own: Own, bundles: Mapping[str, Bundle], owner: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each path that changes set, with the trick of the recipe that does."""
    for item in own.add:
        if item.name is not None and item.name in bundles and depth < len(bundles):
            yield from _set_by(bundles[item.name].own, bundles, owner or item.name, depth + 1)
    for line in own.set:
        yield line.path, owner
