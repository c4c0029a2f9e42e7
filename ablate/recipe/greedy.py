"""The design ``greedy``: tricks are selected one by one on reserved seeds, and their path is judged on other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablate.recipe.designs import DesignRow, arranged, greedy_path
from ablate.recipe.node import Problems, show
from ablate.recipe.problems import Position
from ablate.recipe.rows import Arrangement
from ablate.recipe.selection import Selection
from ablate.recipe.shape import Shape
from ablate.recipe.tuning import RESERVED
from ablate.recipe.variant import Compare, Variant
from ablate.recipe.variants import Written, build_variants

GREEDY = "greedy"


@dataclass(frozen=True)
class Greedy:
    """What a recipe selects, and how its variants are built.

    ``compare`` is the metric by which tricks are selected: that of the recipe, whatever the flags.
    """

    seeds: tuple[int, ...]
    compare: Compare
    written: Written
    arrangement: Arrangement
    selection: Selection
    folder: Path
    need_files: bool = True

    @property
    def tricks(self) -> tuple[str, ...]:
        """The tricks to select from, in order."""
        return self.written.tricks

    @property
    def names(self) -> set[str]:
        """The names of variants that a path can have."""
        return {self.arrangement.baseline, *(f"+ {trick}" for trick in self.tricks)}

    @property
    def most_candidates(self) -> int:
        """The number of candidates, the baseline included, if every trick is kept: 1 + k(k + 1)/2 for k tricks."""
        return 1 + len(self.tricks) * (len(self.tricks) + 1) // 2

    def built(self, path: Sequence[str]) -> tuple[tuple[Variant, ...], dict[str, Variant]]:
        """The baseline and the variants of a path; and on top of them, the candidate of each remaining trick.

        Raises `RecipeError` if one of them is invalid, or has the settings of another one.
        """
        on_path = greedy_path(self.tricks, self.arrangement.baseline, path)
        last = on_path[-1].name if on_path else self.arrangement.baseline
        left = {trick: f"+ {trick} (step {len(path) + 1})" for trick in self.tricks if trick not in path}
        planned = [
            DesignRow(name, last, tuple(one for one in self.tricks if one in (*path, trick)))
            for trick, name in left.items()
        ]
        rows = (self.written.rows[0], *arranged(self.arrangement, [*on_path, *planned]))
        problems, gone = Problems(), None if self.need_files else dict[Path, str]()
        built, _ = build_variants(replace(self.written, rows=rows), self.selection, self.folder, problems, gone)
        problems.check()
        known = {variant.name: variant for variant in built}
        return tuple(built[: 1 + len(path)]), {trick: known[name] for trick, name in left.items()}


def read_greedy(
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
) -> Greedy | None:
    """What the design ``greedy`` selects; None for other designs, and, with problems, if it is not possible.

    ``variants`` are all that `DESIGNS` plans for it; ``judging`` the seeds of the recipe's runs.
    """
    arrangement = written.arrangement
    if written.design != GREEDY or arrangement is None:
        return None
    before = len(problems)
    subject = f"design (={GREEDY})"
    if (tune := top.get("tune")) is not None:
        problems.add(tune.position, f"tune cannot be combined with {subject}: both use the reserved seeds.")
    if selection.only is not None:
        problems.add(Position(""), f"--only cannot be combined with {subject}: each variant depends on the others.")
    for name, line in selection.sets:
        if name is not None:
            rule = f"cannot be set for one variant with {subject}. Set it for all variants: {line.path}=…"
            problems.add(line.position, f"{show(name)}.{line.path} {rule}")
    if arrangement.baseline in (f"+ {trick}" for trick in written.tricks):
        rule = f"is the name of another variant with {subject}. Choose another name."
        problems.add(written.rows[0].position, f"baseline.name (={show(arrangement.baseline)}) {rule}")
    seeds = tuple(range(RESERVED, RESERVED + arrangement.seeds))
    if taken := sorted(set(seeds) & set(judging)):
        rule = f"is reserved for selecting tricks ({seeds[0]} to {seeds[-1]}). Use other seeds."
        problems.add(Position(""), f"seed (={taken[0]}) {rule}")
    for variant in variants:
        if variant.settings.source_rows and len(variant.tricks) <= 1:
            rule = f"is based on {show(variant.settings.source_rows[0])}, so {subject} cannot select it."
            problems.add(variant.position, f"{show(variant.name)} {rule}")
    if len(problems) > before:
        return None
    return Greedy(seeds, compare, written, arrangement, selection, folder, need_files)
