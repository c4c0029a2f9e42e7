"""What tables and plans say about new samples: whether the validation set or the seeds limit the answer."""

from __future__ import annotations

from collections.abc import Mapping, Set
from functools import partial
from statistics import median

from ablate.evidence.crossed import NewSamples, rounded_up
from ablate.evidence.new_samples import of_study
from ablate.evidence.table import Table
from ablate.planning.plan import Plan
from ablate.report.wording import plain
from ablate.store.examples import load
from ablate.store.store import Store

KEY = "delta_new_samples"

LARGER = 2.5
"""How many times as many samples a plan asks about: 1,000 instead of 360."""


COLUMNS = {KEY, "new_samples_low", "new_samples_high", "new_samples_share"}


def new_samples_lines(table: Table, shown: Set[str]) -> list[str]:
    """What a table says about new samples; without these columns, nothing is computed but `limits`."""
    if not shown & COLUMNS:
        return limits(table, shown)
    found = {row.variant: one for row in table.rows if (one := table.new_samples(row.variant)) is not None}
    if not found:
        return ["Δ on new samples requires the values of single validation samples, which these runs do not have."]
    first = next(iter(found.values()))
    like = f"{first.samples:,} validation samples" + (f" in {first.groups:,} groups" if first.groups else "")
    lines = [
        f"Δ on new samples: Δ parent, its 95% confidence interval for new seeds and samples like these {like} "
        "(training set held fixed; no verdict)."
    ]
    if chosen := [name for name, one in found.items() if one.chosen]:
        which = "" if len(chosen) == len(found) else f" of {', '.join(map(plain, chosen))}"
        lines.append(f"The epoch{which} was chosen on these samples, so Δ may be biased.")
    return lines + limits(table, shown)


def limits(table: Table, shown: Set[str]) -> list[str]:
    """A line if the validation set, not the seeds, limits what is known of new samples; in tables without this column
    only if there are few runs.
    """
    if KEY not in shown and not ("delta_parent" in shown and table.new_samples.is_quick()):
        return []
    found = {row.variant: one for row in table.rows if (one := table.new_samples(row.variant)) is not None}
    return [line] if (line := limit(found)) else []


def limit(found: Mapping[str, NewSamples]) -> str:
    """The same for differences by variant; empty if the validation set does not limit any."""
    limited = {name: one for name, one in found.items() if one.enough_samples is not None}
    if not limited:
        return ""
    one = next(iter(limited.values()))
    enough = max(each.enough_samples or 0 for each in limited.values())
    size, what = (one.samples, "samples") if one.groups is None else (one.groups, "groups")
    return (
        f"The validation set ({size:,} {what}), not the seeds, limits what is known of new samples "
        f"({', '.join(map(plain, limited))}): with {enough:,} {what}, the standard error of Δ would be a third "
        "smaller; more seeds would hardly help."
    )


def what_limits(plan: Plan, store: Store) -> list[str]:
    """What finished runs of a plan say about the size of the validation set; nothing if there are none, or many."""
    found = of_study(plan.record(), partial(load, store))
    return [line for line in (scatter(found), limit(found)) if line]


def scatter(found: Mapping[str, NewSamples]) -> str:
    """By how much a larger validation set would reduce the variance over seeds; empty if that is not known."""
    shares = [share for one in found.values() if one.seeds > 2 and (share := one.scatter_share) is not None]
    if not shares:
        return ""
    samples = next(iter(found.values())).samples
    more = rounded_up(LARGER * samples)
    percent = 100 * median(shares) * (1 - samples / more)
    of = "" if len(shares) == 1 else f" (median of {len(shares)} comparisons)"
    return (
        f"Finished runs: with {more:,} validation samples instead of {samples:,}, the variance of Δ over seeds would "
        f"be about {percent:.0f}% smaller{of}."
    )
