"""Looks: when a table first showed a verdict of a variant, and on which runs.

A verdict that was shown stands. Seeds that are added later without declared looks are a *top-up*: the j-th one is
judged on its new seeds alone, at 5% · 2^−j, so that all verdicts on a family are wrong with at most 10% probability.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablate.evidence.contrasts import Finding, contrast, examine
from ablate.evidence.paired import LEVEL
from ablate.evidence.seeds import Seeds
from ablate.evidence.sequential import Frozen, Standing
from ablate.evidence.table import Table, TopUp
from ablate.recipe.looks import Looks
from ablate.recipe.recipe import Recipe
from ablate.recipe.variant import Compare
from ablate.store.checked import Look

FEWEST = 3
"""The fewest seeds with a verdict."""


@dataclass(frozen=True)
class History:
    """The seeds of the first verdict on a variant that was shown, and those ``added`` for each later one; none: ()."""

    first: tuple[int, ...] = ()
    added: tuple[tuple[int, ...], ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        """All seeds of verdicts that were shown."""
        return tuple(seed for seeds in (self.first, *self.added) for seed in seeds)


def history(seeds: Seeds, lines: Iterable[Look]) -> History:
    """What was shown of a variant, from the lines about it."""
    runs = {seed: {run.fingerprint for run in each} for seed, each in seeds.runs.items()}
    every = {name for names in runs.values() for name in names}
    parts: list[tuple[int, ...]] = []
    known: set[int] = set()
    for line in lines:
        names = set(line["runs"])
        new = tuple(seed for seed, own in runs.items() if own <= names and seed not in known)
        if names <= every and (len(new) >= FEWEST or parts) and new:
            parts.append(new)
            known.update(new)
    return History(parts[0], tuple(parts[1:])) if parts and seeds.unit == "seed" else History()


def histories(known: Mapping[str, Seeds], compare: Compare, looks: Sequence[Look]) -> dict[str, History]:
    """What was shown of each variant on this metric."""
    mine: dict[str, list[Look]] = {name: [] for name in known}
    for line in looks:
        if _same_metric(line, compare) and line["variant"] in mine:
            mine[line["variant"]].append(line)
    return {name: history(known[name], lines) for name, lines in mine.items()}


def _same_metric(line: Look, compare: Compare) -> bool:
    return (line["metric"], line["at"]) == (compare.metric, compare.value_key)


def with_pending(history: History, seeds: Seeds) -> History:
    """The history with the seeds that have been added since, once all of them have finished."""
    shown = set(history.all)
    new = tuple(seed for seed in seeds.finished if seed not in shown)
    if not history.first or not new or len(seeds.finished) < len(seeds.runs):
        return history
    return History(history.first, (*history.added, new))


def top_ups(
    known: Mapping[str, Seeds],
    parents: Mapping[str, str | None],
    compare: Compare,
    histories: Mapping[str, History],
    planned: int,
) -> dict[str, tuple[TopUp, ...]]:
    """The top-ups of each variant, each judged on its new seeds, corrected over all ``planned`` comparisons."""
    found: dict[str, list[TopUp]] = {name: [] for name in known}
    for j in range(max((len(one.added) for one in histories.values()), default=0)):
        level = LEVEL / 2 ** (j + 1)
        seeds = {name: one.added[j] for name, one in histories.items() if len(one.added) > j}
        pairs = {
            name: contrast(known[name], known[parent], compare, seeds[name])
            for name, parent in parents.items()
            if name in seeds and parent is not None and parent in known
        }
        for name, one in examine(pairs, compare.better, compare.margin, planned=planned, level=level).items():
            if one.effect is not None:
                found[name].append(top_up(seeds[name], one, level))
    return {name: tuple(each) for name, each in found.items() if each}


def top_up(seeds: tuple[int, ...], finding: Finding, level: float) -> TopUp:
    """The result of one top-up."""
    assert finding.effect is not None
    effect, judgement = finding.effect, finding.judgement
    return TopUp(seeds, effect.delta, effect.low, effect.high, level, judgement.p_adjusted, judgement.verdict)


def family_key(compare: Compare, pairs: Mapping[str, str], looks: object) -> str:
    """Identifies what verdicts are corrected over: the comparisons, what they compare, and the declared looks."""
    terms = [sorted(pairs.items()), str(compare), str(looks)] + ["prior: off"] * (compare.prior == "off")
    return hashlib.blake2b(json.dumps(terms).encode(), digest_size=8).hexdigest()


def changed_since(lines: Iterable[Look], compare: Compare, key: str) -> bool:
    """Whether verdicts on this metric were shown for another family."""
    return any(line["metric"] == compare.metric and line.get("family", key) != key for line in lines)


def frozen(known: Mapping[str, Seeds], compare: Compare, lines: Iterable[Look], key: str) -> Frozen:
    """The p-values that tables have shown at declared looks, of runs that are still those of the variant."""
    runs = {name: {run.fingerprint for each in seeds.runs.values() for run in each} for name, seeds in known.items()}
    return {
        (line["variant"], line["look"]): line["p"]
        for line in lines
        if "look" in line
        and "p" in line
        and line.get("family") == key
        and _same_metric(line, compare)
        and set(line["runs"]) <= runs.get(line["variant"], set())
    }


def look_lines(
    standings: Mapping[str, Standing],
    known: Mapping[str, Seeds],
    looks: Looks,
    recipe: Recipe,
    key: str,
    earlier: Sequence[Look],
) -> list[Look]:
    """A line for each p-value at a declared look that is not recorded yet."""
    lines: list[Look] = []
    for name, one in standings.items():
        for number, p in one.p.items():
            seeds = recipe.seeds[: looks.at[number - 1]]
            lines.append({**_line(name, known[name], seeds, recipe.compare, key), "look": number, "p": p})
    return [line for line in lines if line not in earlier]


def verdict_lines(table: Table, known: Mapping[str, Seeds], earlier: Sequence[Look]) -> list[Look]:
    """A line for each verdict without declared looks that was not shown before: the first of a variant, and one for
    each top-up.
    """
    lines: list[Look] = []
    for row in table.rows:
        if row.p_adjusted is None:
            continue
        seeds = row.judged_seeds or known[row.variant].finished
        lines.append(_line(row.variant, known[row.variant], seeds, table.compare, table.family.key))
        for one in row.top_ups:
            seeds += one.seeds
            if one.p_adjusted is not None:
                lines.append(_line(row.variant, known[row.variant], seeds, table.compare, table.family.key))
    shown = [{**line, "family": None} for line in earlier]
    return [line for line in lines if {**line, "family": None} not in shown]


def _line(name: str, seeds: Seeds, used: Sequence[int], compare: Compare, key: str) -> Look:
    runs = sorted(run.fingerprint for seed in used for run in seeds.runs.get(seed, ()))
    return {"variant": name, "metric": compare.metric, "at": compare.value_key, "runs": runs, "family": key}
