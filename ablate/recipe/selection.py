"""The flags that choose a part of a recipe, or change it for once: ``--seeds --only --design --set --scale``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ablate.recipe.changes import Assignment
from ablate.recipe.designs import DESIGNS, design_rule
from ablate.recipe.node import Node, one_line, show
from ablate.recipe.problems import Position, Problems, RecipeError
from ablate.recipe.replay import SECTIONS
from ablate.recipe.scalar import plain_scalar
from ablate.recipe.shape import did_you_mean
from ablate.recipe.yaml_text import read_yaml

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Selection:
    """The flags after reading. ``sets`` pairs each assignment with its row, None for all rows; ``arguments`` are the flags as typed."""

    seeds: tuple[int, ...] | None = None
    only: tuple[str, ...] | None = None
    design: str | None = None
    sets: tuple[tuple[str | None, Assignment], ...] = ()
    scale: float = 1.0
    arguments: tuple[str, ...] = field(default=())

    @property
    def changes_settings(self) -> bool:
        """Whether any row's settings are not those of the recipe as written."""
        return bool(self.sets) or self.scale != 1


def read_seeds(node: Node, path: str, problems: Problems) -> tuple[int, ...] | None:
    """A count (5 → 0 … 4) or a list of different whole numbers; None, and a problem, for anything else."""
    value = node.plain()
    shown = f"{path} (={show(node)})"
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= MOST_SEEDS:
            return tuple(range(value))
        problems.add(node.position, f"{shown} must be a count from 1 to {MOST_SEEDS}.")
    elif not isinstance(value, list) or not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value):
        problems.add(node.position, f"{shown} must be a count (5) or a list of whole numbers ([0, 3, 7]).")
    elif not 1 <= len(value) <= MOST_SEEDS:
        problems.add(node.position, f"{shown} must list 1 to {MOST_SEEDS} seeds.")
    elif any(seed < 0 for seed in value):
        problems.add(node.position, f"{shown} must have no seed below 0.")
    elif len(set(value)) < len(value):
        problems.add(node.position, f"{shown} lists a seed twice.")
    else:
        return tuple(value)
    return None


def read_selection(
    names: Sequence[str],
    problems: Problems,
    *,
    seeds: int | str | Sequence[int] | None,
    only: str | Sequence[str] | None,
    design: str | None,
    sets: Sequence[str],
    scale: float,
) -> Selection:
    """Check the flags against the rows' names."""
    arguments: list[str] = []
    chosen = None
    if seeds is not None:
        text = seeds if isinstance(seeds, str) else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
        many = "," in text or not isinstance(seeds, (int, str))
        chosen = read_seeds(_seeds_node(text, many), "seeds", problems)
        arguments += ["--seeds", text if "," in text or not many else f"{text},"]
    kept = None
    if only is not None:
        kept = _read_only(only, names, problems)
        arguments += ["--only", only if isinstance(only, str) else ",".join(only)]
    if design is not None:
        if (rule := design_rule(design)) is not None:
            problems.add(Position(f"--design {one_line(design)}"), rule + did_you_mean(design, DESIGNS))
        arguments += ["--design", design]
    lines = []
    for text in sets:
        if (line := _read_set(text, names, problems)) is not None:
            lines.append(line)
        arguments += ["--set", text]
    if not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale > 0):
        problems.add(Position(f"--scale {show(scale)}"), "must be greater than 0.")
        scale = 1.0
    if scale != 1:
        arguments += ["--scale", f"{scale:g}"]
    return Selection(chosen, kept, design, tuple(lines), float(scale), tuple(arguments))


def _seeds_node(text: str, many: bool) -> Node:
    place = Position(f"--seeds {one_line(text)}")

    def number(part: str) -> Node:
        try:
            return Node(plain_scalar(part.strip()), place)
        except ValueError:
            return Node(part, place)

    if not many:
        return number(text)
    return Node(tuple(number(part) for part in text.split(",") if part.strip()), place)


def _read_only(only: str | Sequence[str], names: Sequence[str], problems: Problems) -> tuple[str, ...]:
    if isinstance(only, str):
        only = _names_in(only, names)
    if not only:
        problems.add(Position("--only"), f"needs the names of rows, such as {','.join(names[:2])}.")
    for name in only:
        if name not in names:
            hint = did_you_mean(name, names) or f" There are {', '.join(names)}."
            problems.add(Position(f"--only {one_line(name)}"), f"is not a row of this recipe.{hint}")
    return tuple(only)


def _names_in(text: str, names: Sequence[str]) -> list[str]:
    """What stands between commas. A row's name may have commas of its own: the longest name that fits counts."""
    parts = text.split(",")
    most = 1 + max((name.count(",") for name in names), default=0)
    found = []
    while parts:
        lengths = range(min(most, len(parts)), 0, -1)
        count = next((n for n in lengths if ",".join(parts[:n]).strip() in names), 1)
        found.append(",".join(parts[:count]).strip())
        parts = parts[count:]
    return [name for name in found if name]


def _read_set(text: str, names: Sequence[str], problems: Problems) -> tuple[str | None, Assignment] | None:
    """``path=value``; a path that begins with a row's name is for that row only."""
    place = Position(f"--set {one_line(text)}")
    path, equals, written = text.partition("=")
    path = path.strip()
    if not equals or not path:
        problems.add(place, "--set needs a path and a value, such as --set epochs=50.")
        return None
    try:
        value = read_yaml(written, place.source, place=place, path=path) or Node(None, place)
    except RecipeError as error:
        problems.extend(error.problems)
        return None
    row = max((name for name in names if path.startswith(f"{name}.")), key=len, default=None)
    if row is not None:
        path = path[len(row) + 1 :]
    head = path.partition(".")[0]
    if head == "seeds":
        problems.add(place, f"seeds is not a setting of a row. Use --seeds {show(value)}.")
        return None
    if row is None and head not in (*SECTIONS, "tricks"):
        hint = did_you_mean(head, (*SECTIONS, "tricks", *names))
        problems.add(place, f"'{show(head)}' is neither a setting nor a row of this recipe.{hint}")
        return None
    return row, Assignment(path, value, place)
