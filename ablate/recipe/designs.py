"""Designs: rules that generate variants from a list of tricks.

Variants are named after their tricks, so that a name means the same training in every design of the same tricks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from ablate.recipe import screening
from ablate.recipe.changes import Bundle, Own
from ablate.recipe.entries import read_item
from ablate.recipe.node import Node, Problems, one_line, show
from ablate.recipe.problems import Position
from ablate.recipe.rows import MOST_ROWS, MOST_SEEDS, SEEDS, Arrangement, Row, Rows
from ablate.recipe.shape import Shape, did_you_mean

FULL = "full"
"""The name of the leave-one-out variant that has all tricks."""


@dataclass(frozen=True)
class DesignRow:
    """A variant of a design: its parent and all of its tricks, in order.

    ``of``: the two variants whose effects this one combines, for estimating their interaction.
    """

    name: str
    parent: str
    tricks: tuple[str, ...]
    of: tuple[str, ...] = ()


Rule = Callable[[Sequence[str], str], list[DesignRow]]
"""The names of the tricks, in order, and of the baseline → the variants after the baseline, parents first."""


@dataclass(frozen=True)
class Design:
    """A rule and its limits."""

    rows: Rule
    least: int
    """Smallest number of tricks."""
    count: Callable[[int], int]
    """Number of tricks → number of variants, with the baseline."""
    most: int | None = None
    """Largest number of tricks."""
    larger: str = ""
    """The design for more tricks."""
    crossed: bool = False
    """Effects are estimated from several variants, so each combination of tricks must have settings of its own: no
    variant is skipped as a duplicate.
    """


def ladder(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick added to all of the previous ones."""
    parents = (baseline, *tricks)
    return [DesignRow(trick, parents[i], tuple(tricks[: i + 1])) for i, trick in enumerate(tricks)]


def leave_one_out(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """All tricks together, and all but one of them."""
    without = [DesignRow(f"without {one}", FULL, tuple(trick for trick in tricks if trick != one)) for one in tricks]
    return [DesignRow(FULL, baseline, tuple(tricks)), *without]


def one_at_a_time(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone on the baseline."""
    return [DesignRow(f"only {trick}", baseline, (trick,)) for trick in tricks]


def pairs(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone, and each pair, to see whether the effect of a trick depends on the other one."""
    both = [
        DesignRow(f"{one} + {other}", f"only {one}", (one, other), (f"only {one}", f"only {other}"))
        for one, other in combinations(tricks, 2)
    ]
    return [*one_at_a_time(tricks, baseline), *both]


def both_ends(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Each trick alone, all of them together, and all but one of them."""
    return [*one_at_a_time(tricks, baseline), *leave_one_out(tricks, baseline)]


def factorial(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Every combination of tricks. The parent of a combination lacks its last trick; that of `FULL` is the baseline."""
    names: dict[tuple[str, ...], str] = {(): baseline, tuple(tricks): FULL}
    rows = []
    for size in range(1, len(tricks) + 1):
        for chosen in combinations(tricks, size):
            name = names.setdefault(chosen, f"only {chosen[0]}" if size == 1 else " + ".join(chosen))
            rows.append(DesignRow(name, baseline if name == FULL else names[chosen[:-1]], chosen))
    return rows


def screen(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """A few combinations of many tricks, each of about half of them."""
    return _screened(tricks, baseline, screening.screen(len(tricks)), "screen")


def screen_foldover(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """Those of a screen, and the complement of each of them."""
    return _screened(tricks, baseline, screening.foldover(len(tricks)), "foldover")


def greedy(tricks: Sequence[str], baseline: str) -> list[DesignRow]:
    """The first candidates of a forward selection, each trick alone; and what else must be possible: each pair, all of
    them together, and all but one of them. Only the former are variants.
    """
    rows = pairs(tricks, baseline) if len(tricks) > 2 else one_at_a_time(tricks, baseline)
    return [*rows, *leave_one_out(tricks, baseline)[: None if len(tricks) > 3 else 1]]


def greedy_path(tricks: Sequence[str], baseline: str, chosen: Sequence[str]) -> list[DesignRow]:
    """Each chosen trick added to the ones before it. A variant's tricks are in the order of ``tricks``, so that each
    combination has the same settings as in other designs.
    """
    rows: list[DesignRow] = []
    for i, trick in enumerate(chosen, start=1):
        among = tuple(one for one in tricks if one in chosen[:i])
        rows.append(DesignRow(f"+ {trick}", rows[-1].name if rows else baseline, among))
    return rows


def _screened(tricks: Sequence[str], baseline: str, matrix: screening.Matrix, word: str) -> list[DesignRow]:
    """The runs of a screening design after the first, which is the baseline."""
    rows = []
    for number, levels in enumerate(matrix[1:], start=1):
        chosen = tuple(trick for trick, has in zip(tricks, levels, strict=True) if has)
        name = FULL if len(chosen) == len(tricks) else f"only {chosen[0]}" if len(chosen) == 1 else f"{word} {number}"
        rows.append(DesignRow(name, baseline, chosen))
    return rows


DESIGNS: dict[str, Design] = {
    "ladder": Design(ladder, 1, lambda n: 1 + n),
    "leave-one-out": Design(leave_one_out, 2, lambda n: 2 + n),
    "one-at-a-time": Design(one_at_a_time, 1, lambda n: 1 + n),
    "pairs": Design(pairs, 2, lambda n: 1 + n + n * (n - 1) // 2),
    "both-ends": Design(both_ends, 2, lambda n: 2 + 2 * n, crossed=True),
    "factorial": Design(factorial, 2, lambda n: 2**n, 5, "screen", crossed=True),
    "screen": Design(screen, screening.FEWEST, screening.screen_runs, screening.MOST, "one-at-a-time", crossed=True),
    "screen-foldover": Design(
        screen_foldover, screening.FEWEST, screening.foldover_runs, screening.MOST + 1, "one-at-a-time", crossed=True
    ),
    "greedy": Design(greedy, 2, lambda n: 2 + n + (n > 2) * n * (n - 1) // 2 + (n > 3) * n, 20, "screen", crossed=True),
}
"""The designs for ``design: {ladder: [a, b]}`` in a recipe and for ``--design``."""


def design_rule(name: str) -> str | None:
    """An error message for an unknown design; None for a known one."""
    return None if name in DESIGNS else f"is not a known design. Available: {', '.join(DESIGNS)}."


def count_rule(name: str, tricks: int, most: int) -> str | None:
    """An error message if the design cannot be used with ``tricks`` tricks and at most ``most`` variants, else None."""
    design = DESIGNS[name]
    if tricks < design.least:
        return f"requires at least {design.least} trick{'s' if design.least > 1 else ''}."
    if design.most is not None and tricks > design.most:
        other = f" Use the design {design.larger}." if design.larger else ""
        return f"allows at most {design.most} tricks, but there are {tricks}.{other}"
    if design.count(tricks) > most:
        return f"generates {design.count(tricks)} variants from {tricks} tricks; the maximum is {most}."
    return None


def read_design(rows: Rows, shape: Shape, bundles: Mapping[str, Bundle], chosen: str | None) -> str | None:
    """Append the variants of ``design: {ladder: [a, b, c]}``; ``chosen`` is the design from ``--design``, if given.

    Returns the name of the design, or None.
    """
    problems = rows.problems
    pairs = [one for one in shape.pairs("design", "{ladder: [flip, dropout]}") if one[0] != "seeds"]
    if (node := shape.get("design")) is not None and node.mapping is not None and len(pairs) != 1:
        problems.wrong(node, "design", "must name one design, such as {ladder: [flip, dropout]}.")
        return None
    for name, listed, place in pairs:
        path = f"design.{show(name)}"
        rule = design_rule(name)
        if rule is not None:
            problems.add(place, f"design (={show(name)}) {rule}{did_you_mean(name, DESIGNS)}")
        rungs = _listed_tricks(listed, path, bundles, problems)
        seeds = _seeds(shape, name, problems)
        if rule is not None or rungs is None:
            return None
        design = chosen or name
        if (rule := count_rule(design, len(rungs), MOST_ROWS)) is not None:
            flag = f"--design (={design})"
            place = Position("") if chosen else listed.position
            problems.add(place, f"{flag if chosen else f'{path} (={show(listed)})'} {rule}")
            return None
        arrangement = Arrangement(
            rows.rows[0].name, tuple(rungs), Row("", path, place, None, "", Own(path)), seeds=seeds
        )
        _arrange(rows, arrangement, design)
        return design
    return None


def _seeds(shape: Shape, design: str, problems: Problems) -> int:
    """``design.seeds``: the number of seeds on which `greedy` selects."""
    node = (shape.get("design") or shape.node).mapping or {}
    if (seeds := node.get("seeds")) is None:
        return SEEDS
    if design != "greedy":
        problems.wrong(seeds, "design.seeds", "requires the design greedy, which selects tricks on these seeds.")
    elif isinstance(seeds.value, bool) or not isinstance(seeds.value, int) or not 1 <= seeds.value <= MOST_SEEDS:
        problems.wrong(seeds, "design.seeds", f"must be an integer between 1 and {MOST_SEEDS}.")
    else:
        return seeds.value
    return SEEDS


def _listed_tricks(listed: Node, path: str, bundles: Mapping[str, Bundle], problems: Problems) -> list[Row] | None:
    """One variant per trick in the list, named after the trick; None, and a problem, if the list is invalid."""
    if not listed.items:
        problems.wrong(listed, path, "must be a list of tricks, such as [flip, dropout].")
        return None
    if len(listed.items) > MOST_ROWS:
        problems.add(listed.position, f"{path} (={len(listed.items)} tricks) must list at most {MOST_ROWS} tricks.")
        return None
    rungs: list[Row] = []
    twice = False
    for i, one in enumerate(listed.items):
        item = read_item(one, f"{path}[{i}]", "trick", problems)
        if item is None:
            continue
        if any(item.label == rung.name for rung in rungs):
            twice = True
            rule = "must not be repeated, because variants are named after their tricks."
            problems.add(item.position, f"{path}[{i}] (={show(item.label)}) {rule}")
        bundle = bundles.get(item.name or "")
        own = Own(f"{path}[{i}]", add=(item,))
        rungs.append(Row(item.label, own.where, item.position, None, bundle.description if bundle else "", own))
    return None if twice else rungs


def rearrange(rows: Rows, design: str) -> None:
    """Take each variant's changes as one trick named after the variant, and generate variants with a design.

    All variants count, in the order in which they are written, whatever their parents. A trick that several variants
    add with the same settings belongs to each of them.
    """
    baseline, *written = (row for row in rows.rows if not row.joined)
    flag = Position(f"--design {one_line(design)}")
    rule = count_rule(design, len(written), MOST_ROWS)
    if rule is not None:
        rule = f"{rule.rstrip('.')} (each variant with changes counts as one trick)."
        rows.problems.add(Position(""), f"--design (={one_line(design)}) {rule}")
        return
    rows.rows = [baseline]
    full = Row("", f"design.{design}", flag, None, "", Own(""))
    _arrange(rows, Arrangement(baseline.name, tuple(written), full, written=True), design)


def _arrange(rows: Rows, arrangement: Arrangement, design: str) -> None:
    """Append the variants of a design."""
    rows.arrangement = arrangement
    tricks = [rung.name for rung in arrangement.rungs]
    rows.rows += arranged(arrangement, DESIGNS[design].rows(tricks, arrangement.baseline))


def arranged(arrangement: Arrangement, planned: Sequence[DesignRow]) -> list[Row]:
    """The variants that a design plans, with their changes."""
    baseline, rungs, written = arrangement.baseline, arrangement.rungs, arrangement.written
    known = {rung.name: rung for rung in rungs}
    lines = _lines(rungs, baseline) if written else {}
    ends = {tricks: known[name] for name, tricks in reversed(lines.items())}
    # a name used in the recipe keeps its meaning, so that its runs do not become outdated
    renamed = {p.name: f"+ {p.name}" for p in planned if p.name in lines and lines[p.name] != p.tricks}
    on = {baseline: (), **{one.name: one.tricks for one in planned}}
    rows = []
    for one in planned:
        row = _row(one, on[one.parent], known, arrangement.full)
        name, parent = renamed.get(one.name, one.name), renamed.get(one.parent, one.parent)
        if (same := ends.get(one.tricks)) is not None:
            text = row.description if one.name == f"+ {row.name}" else same.description
            row = replace(row, description=text, published=same.published)
        parts = [known[trick] for trick in one.tricks]
        rows.append(
            replace(
                row,
                name=name,
                parent=parent,
                of=one.of,
                tricks=one.tricks,
                rearranged=written,
                broken=any(part.broken for part in parts),
                sound=all(part.sound for part in parts),
            )
        )
    return rows


def _row(planned: DesignRow, on: tuple[str, ...], known: Mapping[str, Row], full: Row) -> Row:
    """A planned variant on a parent that has the tricks ``on``, with its changes and description."""
    before, after = set(on), set(planned.tricks)
    added = [known[trick] for trick in planned.tricks if trick not in before]
    removed = [known[trick] for trick in on if trick not in after]
    if removed:  # the remaining tricks are replayed as if the removed one had never been there
        [gone] = removed
        stack = tuple(_less(known[trick].own, gone.own) for trick in planned.tricks)
        own = Own(gone.where, remove=((gone.name, gone.position),))
        description = f"without {gone.description}" if gone.description else ""
        return replace(gone, own=own, stack=stack, description=description, published=None)
    if len(added) == 1:
        [one] = added
        # a variant that is named after the trick that it adds, as in a ladder, keeps the trick's description
        named = planned.name in (one.name, f"+ {one.name}")
        words = [known[trick].description for trick in ([one.name] if named else planned.tricks)]
        description = " + ".join(words) if all(words) else ""
        # a trick that comes before one of the parent's needs all changes again, in order
        stack = () if planned.tricks[-1] == one.name else tuple(known[trick].own for trick in planned.tricks)
        return replace(one, description=description, published=None, stack=stack)
    description = f"all {len(added)} together" if len(added) == len(known) else ", ".join(planned.tricks)
    own = Own(
        full.where,
        tuple(line for part in added for line in part.own.remove),
        tuple(item for part in added for item in part.own.add),
        tuple(line for part in added for line in part.own.set),
    )
    return replace(full, own=own, stack=tuple(part.own for part in added), description=description)


def _less(own: Own, gone: Own) -> Own:
    """A variant's changes without the tricks that ``gone`` adds with the same settings."""
    brought = [(item.key, item.value) for item in gone.add]
    return replace(own, add=tuple(item for item in own.add if (item.key, item.value) not in brought))


def _lines(rungs: Sequence[Row], baseline: str) -> dict[str, tuple[str, ...]]:
    """The ancestors of each variant, itself included; variants whose parent is unknown are left out."""
    lines: dict[str, tuple[str, ...]] = {baseline: ()}
    for rung in rungs:
        if rung.parent in lines:
            lines[rung.name] = (*lines[rung.parent], rung.name)
    del lines[baseline]
    return lines
