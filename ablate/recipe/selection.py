"""The flags that select a part of a recipe or override its settings, such as ``--seeds`` and ``--set``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.recipe.changes import Assignment, check_length
from ablate.recipe.designs import DESIGNS, design_rule
from ablate.recipe.looks import DEFAULT, FEWEST, MOST_SEEDS, Looks, read_looks
from ablate.recipe.node import Node, Problems, one_line, plain_scalar, show
from ablate.recipe.problems import Position, RecipeError
from ablate.recipe.replay import SECTIONS
from ablate.recipe.shape import available, did_you_mean, listed, unknown_variant
from ablate.recipe.yaml_text import read_yaml

MOST_SCALED = 1_000_000

KEYS = ("metric", "better", "at", "scale", "smallest_effect", "failed", "prior")
COMPARED = tuple(f"compare.{key}" for key in KEYS)
"""The keys of ``compare`` that ``--set`` can change. They are no settings of a variant."""


@dataclass(frozen=True)
class Selection:
    """The parsed flags.

    ``sets``: each assignment with its variant, None for all; ``compare``: those of ``compare``, which change no
    settings; ``arguments``: the flags as typed.
    """

    seeds: tuple[int, ...] | None = None
    until: str | None = None
    only: tuple[str, ...] | None = None
    design: str | None = None
    sets: tuple[tuple[str | None, Assignment], ...] = ()
    compare: tuple[Assignment, ...] = ()
    scale: float = 1.0
    arguments: tuple[str, ...] = ()

    @property
    def changes_settings(self) -> bool:
        """Whether the flags change any settings of the recipe."""
        return bool(self.sets) or self.scale != 1


def read_seeds(node: Node, shown: str, problems: Problems) -> tuple[int, ...] | None:
    """A number of seeds (5 → 0 … 4) or a list of different seeds; None, and a problem, for anything else."""
    value = node.plain()
    example = "0,3,7" if shown.startswith("--") else "[0, 3, 7]"
    if isinstance(value, int) and not isinstance(value, bool):
        if 1 <= value <= MOST_SEEDS:
            return tuple(range(value))
        problems.add(node.position, f"{shown} must be between 1 and {MOST_SEEDS}.")
    elif not isinstance(value, list) or not all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value):
        problems.add(node.position, f"{shown} must be a number of seeds (5) or a list of integers ({example}).")
    elif not 1 <= len(value) <= MOST_SEEDS:
        problems.add(node.position, f"{shown} must list 1 to {MOST_SEEDS} seeds.")
    elif any(seed < 0 for seed in value):
        problems.add(node.position, f"{shown} must not be negative.")
    elif len(set(value)) < len(value):
        problems.add(node.position, f"{shown} must not list a seed twice.")
    else:
        return tuple(value)
    return None


def declared_seeds(node: Node | None, selection: Selection, problems: Problems) -> tuple[tuple[int, ...], Looks | None]:
    """The seeds of a recipe, with the flags that replace them, and its looks. ``--seeds`` alone asks for a fixed
    number.
    """
    looks, numbers = None, selection.seeds
    if node is not None and node.mapping is not None:
        looks = read_looks(node, problems)
    elif node is not None:
        written = read_seeds(node, f"seeds (={show(node)})", problems)
        numbers = numbers or written
    if selection.until is None and selection.seeds is not None:
        looks = None
    if selection.until is not None and (looks is None or selection.seeds is not None):
        start = numbers or tuple(range(DEFAULT[0]))
        if start != tuple(range(len(start))) or len(start) < FEWEST or 4 * len(start) > MOST_SEEDS:
            rule = f"requires a number of seeds to start with, from {FEWEST} to {MOST_SEEDS // 4}: --seeds 5."
            problems.add(Position(""), f"--until {rule}")
        else:
            looks = Looks.between(len(start), 4 * len(start))
    return (tuple(range(looks.at[-1])) if looks is not None else numbers or (0,)), looks


def read_selection(
    names: Sequence[str],
    problems: Problems,
    *,
    seeds: int | str | Sequence[int] | None,
    until: str | None,
    only: str | Sequence[str] | None,
    design: str | None,
    sets: Sequence[str],
    scale: float,
) -> Selection:
    """Parse the flags; ``names`` are those of all variants."""
    arguments: list[str] = []
    chosen = None
    if seeds is not None:
        text = seeds if isinstance(seeds, str) else str(seeds) if isinstance(seeds, int) else ",".join(map(str, seeds))
        many = "," in text or not isinstance(seeds, (int, str))
        chosen = read_seeds(_seeds_node(text, many), f"--seeds (={one_line(text)})", problems)
        arguments += ["--seeds", text if "," in text or not many else f"{text},"]
    if until is not None:
        if until != "decided":
            problems.add(Position(""), f"--until (={one_line(until)}) must be decided.")
        arguments += ["--until", until]
    kept = None
    if only is not None:
        kept = _read_only(only, names, problems)
        arguments += ["--only", only if isinstance(only, str) else ",".join(only)]
    if design is not None:
        if (rule := design_rule(design)) is not None:
            problems.add(Position(""), f"--design (={one_line(design)}) {rule}" + did_you_mean(design, DESIGNS))
        arguments += ["--design", design]
    lines: list[tuple[str | None, Assignment]] = []
    for text in sets:
        if (line := _read_set(text, names, problems)) is not None:
            lines.append(line)
        arguments += ["--set", text]
    for row in dict.fromkeys(row for row, _ in lines):
        check_length({line.path: line.value for of, line in lines if of == row}, problems)
    if not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale > 0):
        problems.add(Position(""), f"--scale (={show(scale)}) must be greater than 0.")
        scale = 1.0
    if scale > MOST_SCALED:
        problems.add(Position(""), f"--scale (={show(scale)}) must be at most {MOST_SCALED}.")
        scale = 1.0
    if scale != 1:
        arguments += ["--scale", f"{scale:g}"]
    return Selection(
        seeds=chosen,
        until=until,
        only=kept,
        design=design,
        sets=tuple((row, line) for row, line in lines if row is not None or line.path not in COMPARED),
        compare=tuple(line for row, line in lines if row is None and line.path in COMPARED),
        scale=float(scale),
        arguments=tuple(arguments),
    )


def _seeds_node(text: str, many: bool) -> Node:
    place = Position("")

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
        problems.add(Position(""), f"--only requires names of variants, such as {','.join(names[:2])}.")
    for name in only:
        if name not in names:
            problems.add(Position(""), f"--only (={one_line(name)}) {unknown_variant(names)}")
    return tuple(only)


def _names_in(text: str, names: Sequence[str]) -> list[str]:
    """Split at commas. Names of variants may contain commas: the longest matching name is used."""
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
    """``path=value``; a path that begins with a variant's name is for that variant only."""
    place = Position(f"--set {one_line(text)}")
    path, equals, written = text.partition("=")
    path = path.strip()
    if not equals or not path:
        problems.add(Position(""), f"--set (={one_line(text)}) must be a setting and its value, such as epochs=50.")
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
        problems.add(place, f"seeds is not a setting of a variant. Use --seeds {show(value)}.")
        return None
    known = (*SECTIONS, "tricks", "compare")
    if row is None and head not in known:
        hint = did_you_mean(head, known) or listed(names if "." in path else known, 30)
        problems.add(place, f"'{show(head)}' is neither a setting nor a variant of this recipe.{hint}")
        return None
    if row is None and head == "compare" and path not in COMPARED:
        problems.add(place, f"{show(path)} cannot be set.{available(path, COMPARED)}")
        return None
    return row, Assignment(path, value, place)
