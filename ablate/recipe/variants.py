"""Resolves variants to settings: inherit, replay the changes, apply flags, and check that every variant differs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ablate.recipe.changes import Bundle, Step, extend
from ablate.recipe.designs import DESIGNS
from ablate.recipe.measured import read_published
from ablate.recipe.node import Problems, one_line, show
from ablate.recipe.own_training import own_training
from ablate.recipe.problems import Position, Problem
from ablate.recipe.replay import Tree, assign, replay, trick_of_path
from ablate.recipe.rows import Arrangement, Row
from ablate.recipe.selection import Selection
from ablate.recipe.settings import Settings, differences
from ablate.recipe.settings_builder import Builder
from ablate.recipe.sources import Places, as_joined, link_sources
from ablate.recipe.variant import Change, Variant


@dataclass(frozen=True)
class Written:
    """A parsed recipe: the baseline's settings, the variants (baseline first), the bundles, and the design with what it
    combines, if any.
    """

    study: str
    start: Tree
    rows: tuple[Row, ...]
    bundles: Mapping[str, Bundle]
    design: str | None = None
    arrangement: Arrangement | None = None

    @property
    def tricks(self) -> tuple[str, ...]:
        """The tricks of the design, in order."""
        return tuple(rung.name for rung in self.arrangement.rungs) if self.arrangement else ()

    @property
    def crossed(self) -> bool:
        """Whether each combination of tricks needs settings of its own."""
        return self.design is not None and DESIGNS[self.design].crossed


def build_variants(
    written: Written, selection: Selection, folder: Path, problems: Problems, gone: dict[Path, str] | None = None
) -> tuple[list[Variant], tuple[str, ...]]:
    """The valid variants with their settings, and notes about variants that a design skipped.

    If ``gone`` is given, missing files are added to it, with a message each, instead of being problems.
    """
    build = _Build(written, selection, Builder(folder, selection.scale, Path.cwd(), problems, gone))
    variants = []
    found: dict[Problem, list[str]] = {}
    for row in written.rows:
        here = Problems() if written.design is not None else problems
        variant = build.row(row, here)
        for problem in here.all() if here is not problems else ():
            found.setdefault(problem, []).append(row.name)
        if variant is not None:
            variants.append(variant)
    problems.extend(_placed(found, written))
    for _, line in selection.sets:
        if line.path.startswith("tricks.") and line.position not in build.used:
            problems.add(line.position, f"{show(line.path)}: no selected variant has this trick.")
    for name in selection.only or ():
        if (same := build.same.get(name)) is not None:
            rule = f"is skipped, because its settings equal those of {show(same)}."
            problems.add(Position(""), f"--only (={one_line(name)}) {rule}")
    return link_sources(variants, [row.name for row in written.rows], build.places, problems), build.notes()


@dataclass
class _Build:
    """Resolves the variants in order and keeps what their children inherit."""

    written: Written
    selection: Selection
    builder: Builder
    steps: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    before: dict[str, Settings | None] = field(default_factory=dict)  # settings without flags
    used: set[Position] = field(default_factory=set)
    same: dict[str, str] = field(default_factory=dict)  # skipped variant → the variant with the same settings
    keys: dict[str, str] = field(default_factory=dict)  # variant of a design → its settings as JSON
    asked: dict[tuple[str | None, str], str] = field(default_factory=dict)  # (parent, settings) → variant
    places: Places = field(default_factory=Places)
    combined: dict[str, Row] = field(default_factory=dict)  # settings as JSON → first variant of a crossed design
    clashes: list[set[str]] = field(default_factory=list)  # tricks for which equal combinations have been reported

    def row(self, row: Row, problems: Problems) -> Variant | None:
        """The next variant; None if it is invalid, or skipped in its design."""
        if row.broken or (row.parent is not None and row.parent not in self.steps):
            return None
        count = len(problems)
        parent_settings = self.before[row.parent] if row.parent is not None else None
        start, fresh = self._replayed(row, problems)
        tree = self.trees[row.name] = replay(start, fresh, problems)
        sound = row.sound and len(problems) == count
        changed = _with_flags(tree, row, self.selection, self.used, problems)
        settings = replace(self.builder, problems=problems).build(changed, row.position, row.where)
        plain = settings
        if self.selection.changes_settings:
            plain = replace(self.builder, scale=1.0, problems=Problems()).build(tree, row.position, row.where)
        self.places.note(row.name, row.joined, changed)
        if row.joined and settings is not None:
            if own_training(settings.trainer) is not None:
                text = f"{row.where}.joined requires a network of the built-in loop, but {show(row.parent)} is trained"
                problems.add(row.position, f"{text} by your own code. Combine the predictions there.")
                return None
            settings = as_joined(settings, tuple(row.joined))
        self.before[row.name] = plain
        rearranged = row.rearranged or (row.parent is None and self.written.rows[-1].rearranged)
        if self.written.crossed:
            sound = self._distinct(row, plain, problems) and sound
        elif rearranged and plain is not None and (twin := self._twin(row, plain)) is not None:
            self.same[row.name] = twin
            return None
        if sound and not row.joined:
            _check_change(row, plain, parent_settings, problems)
        published = read_published(row, settings, problems)
        if settings is None:
            return None
        parent, of = self._kept(row.parent), tuple(name for one in row.of if (name := self._kept(one)) is not None)
        changes = _changes(row)
        return Variant(row.name, parent, row.description, changes, settings, published, row.position, of, row.tricks)

    def _replayed(self, row: Row, problems: Problems) -> tuple[Tree, tuple[Step, ...]]:
        """Store the variant's steps; return a tree, and the steps that lead from it to the variant's tree."""
        inherited = self.steps[row.parent] if row.parent is not None else ()
        bundles, removes = self.written.bundles, bool(row.own.remove)
        if row.stack:
            base = self.steps[self.written.rows[0].name]
            steps = extend(base, row.stack, bundles, row.name, problems, elsewhere=row.rearranged or removes)
            self.steps[row.name] = steps
            return self.written.start, steps
        steps = extend(inherited, (row.own,), bundles, row.parent, problems, elsewhere=row.rearranged)
        self.steps[row.name] = steps
        # with a removal, all changes are replayed; without one, only the new ones, on the parent's tree
        if removes or row.parent is None:
            return self.written.start, steps
        return self.trees[row.parent], steps[len(inherited) :]

    def _twin(self, row: Row, settings: Settings) -> str | None:
        """An earlier variant with the same settings: its parent, one with the same parent, or another pair."""
        key, parent = _key(settings), self._kept(row.parent)
        self.keys[row.name] = key
        if self.keys.get(parent or "") == key:
            return parent
        twin = self.asked.setdefault((None if row.of else parent, key), row.name)
        return None if twin == row.name else twin

    def _distinct(self, row: Row, settings: Settings | None, problems: Problems) -> bool:
        """Whether no other combination of tricks has these settings; otherwise, a problem is added, once for the same
        tricks.
        """
        if settings is None:
            return True
        same = self.combined.setdefault(_key(settings), row)
        if set(same.tricks) == set(row.tricks):
            return True
        tricks = {*same.tricks, *row.tricks}
        if any(clash <= tricks for clash in self.clashes):
            return False
        self.clashes.append(tricks)
        what = f"{row.where} (={show(row.name)}) has the same settings as {show(same.name)}"
        rule = f"Design {self.written.design} requires tricks that change different settings, in every combination."
        problems.add(row.position, f"{what}. {rule}")
        return False

    def _kept(self, name: str | None) -> str | None:
        while name in self.same:
            name = self.same[name]
        return name

    def notes(self) -> tuple[str, ...]:
        """A note about the skipped variants."""
        if not self.same:
            return ()
        named = [f"{name} (same as {same})" for name, same in self.same.items()]
        more = f" and {len(named) - 5} more" if len(named) > 6 else ""
        some = ", ".join(named[: 5 if more else 6])
        return (f"Design {self.written.design} skips variants with duplicate settings: {some}{more}",)


def _key(settings: Settings) -> str:
    """What determines a variant's results, as JSON."""
    plain = {key: value for key, value in settings.dump().items() if key not in Settings.INCIDENTAL}
    return json.dumps(plain, sort_keys=True, default=str)


def _changes(row: Row) -> tuple[Change, ...]:
    """A variant's changes, in order; those of all of its tricks if it adds several to its parent."""
    if row.joined:
        return (Change(row.name, "set", "joined", list(row.joined)),)
    together = row.stack and not row.own.remove and row.own not in row.stack
    changes: list[Change] = []
    for own in row.stack if together else (row.own,):
        changes += [change for change in own.changes(row.name) if change not in changes]
    return tuple(changes)


def _placed(found: Mapping[Problem, list[str]], written: Written) -> list[Problem]:
    """The problems of a design's variants; those of a combination of tricks are given with the variant's name."""
    rows: dict[str, set[str]] = {}
    for row in written.rows:
        for trick in row.tricks:
            rows.setdefault(trick, set()).add(row.name)
    problems = []
    for problem, names in found.items():
        own = written.rows[0].name in names or any(have <= set(names) for have in rows.values())
        own = own or f"(={show(names[0])})" in problem.text
        context = "" if own else f" (In variant {show(names[0])} of design {written.design}.)"
        problems.append(Problem(problem.position, problem.text + context))
    return problems


def _with_flags(tree: Tree, row: Row, selection: Selection, used: set[Position], problems: Problems) -> Tree:
    """The tree after ``--set``; a setting of a trick applies to the variants that have the trick."""
    for name, line in selection.sets:
        if name not in (None, row.name):
            continue
        if line.path.startswith("tricks."):
            if trick_of_path(line.path, tree.tricks) is None:
                continue
            used.add(line.position)
        tree = assign(tree, line, problems)
    return tree


def _check_change(row: Row, settings: Settings | None, parent: Settings | None, problems: Problems) -> None:
    """A variant must differ from its parent."""
    if row.parent in (None, row.name):  # names that clash are reported elsewhere
        return
    subject = f"{row.where} (={show(row.name)})"
    if not (row.own.remove or row.own.add or row.own.set):
        problems.add(row.position, f"{subject} must have 'add', 'remove' or 'set'.")
    elif settings is not None and parent is not None:
        changed = {path.partition(".")[0] for path, _, _ in differences(parent, settings)}
        if not changed:
            rule = f"has the same settings as its parent {show(row.parent)}. Change a setting, or remove the variant."
            problems.add(row.position, f"{subject} {rule}")
        elif changed <= Settings.INCIDENTAL:
            what = f"only changes {', '.join(sorted(changed))}, which has no effect on the result."
            problems.add(row.position, f"{subject} {what} Set it in the baseline, or with --set.")
