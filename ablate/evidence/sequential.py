"""Verdicts at several looks (`ablate.recipe.looks.Looks`): which variants are decided, and how many seeds the others
need.

Let p_ik be the p-value of comparison i at look k, from exactly the first n_k seeds of both variants, and w_k the
weights of the looks. Then q_i = min(1, min_k p_ik / w_k) over the looks so far is a valid p-value of comparison i at
any time (union bound), so Holm's correction of the q_i over all planned comparisons keeps the family-wise error rate at
5%, under any dependence and any rule for who goes on. A comparison that was not made, failed or was stopped because its
interval lies within ±``smallest_effect`` has q = 1. A verdict is never reversed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.evidence.contrasts import Contrast, Finding, contrast, examine
from ablate.evidence.paired import LEVEL, Estimator
from ablate.evidence.seeds import Seeds
from ablate.evidence.variance_pooling import shared_spreads
from ablate.evidence.verdicts import Judgement, Verdict, holm, judged, verdict
from ablate.recipe.looks import Looks
from ablate.recipe.variant import Compare

Frozen = Mapping[tuple[str, int], float]
"""p-values by variant and look (from 1), as a table has shown them: later results of other variants do not change them.
"""


ContrastsAt = Callable[[Mapping[str, str], Sequence[int]], Mapping[str, Contrast]]
"""Gives comparisons, from variant to parent, on these seeds."""


@dataclass
class Standing:
    """How far one comparison has come.

    ``look`` (from 1; 0: none yet) is the last one that it has reached, ``finding`` what is shown: of the look that
    decided it, else of the last one. ``p`` holds its p-value at each look, ``q`` the smallest of them over their
    weights. ``word`` is the verdict once there is one; a comparison that is ``settled`` needs no more seeds.
    """

    look: int = 0
    finding: Finding | None = None
    best: Finding | None = None
    shown_at: int = 0
    p: dict[int, float] = field(default_factory=dict)
    q: float = 1.0
    p_adjusted: float | None = None
    word: Verdict | None = None
    settled: bool = False

    @property
    def judgement(self) -> Judgement:
        """The verdict, if there is one."""
        return Judgement(self.p_adjusted, self.word) if self.word is not None else Judgement()


def follow(
    pairs: Mapping[str, str],
    compare: Compare,
    looks: Looks,
    seeds: tuple[int, ...],
    contrasts: ContrastsAt,
    *,
    estimate: Estimator = shared_spreads,
    frozen: Frozen | None = None,
) -> dict[str, Standing]:
    """How far each of the planned comparisons has come, ``pairs`` from variant to parent, in their order.

    ``seeds`` are the declared ones, of which look k uses the first ``looks.at[k]``. A variant that failed for one of
    them goes no further; one that has not finished them waits. A comparison lends its variance to the others at its
    looks, and after them.
    """
    standings = {name: Standing() for name in pairs}
    reached: set[str] = set()
    for k, (count, weight) in enumerate(zip(looks.at, looks.weights, strict=True), start=1):
        going = [name for name, one in standings.items() if not one.settled and one.look == k - 1]
        if not going:
            break
        asked = {name: parent for name, parent in pairs.items() if name in {*going, *reached}}
        known = contrasts(asked, seeds[:count])
        found = examine(known, compare.better, compare.margin, estimate, level=LEVEL * weight)
        for name in going:
            each, one = known.get(name), standings[name]
            if each is None or not each.final:
                continue
            one.look, one.finding, one.shown_at = k, found[name], k
            reached.add(name)
            p = one.finding.effect.p if one.finding.effect is not None and each.whole else None
            if p is None:
                one.settled, one.best = True, None
                one.p.clear()
                continue
            one.p[k] = (frozen or {}).get((name, k), p)
            if one.best is None or one.p[k] / weight < one.q:
                one.q, one.best = min(1.0, one.p[k] / weight), one.finding
        decide(standings, compare, looks, k)
    return standings


def contrasts_of(known: Mapping[str, Seeds], compare: Compare) -> ContrastsAt:
    """The comparisons of stored runs."""

    def at(pairs: Mapping[str, str], among: Sequence[int]) -> dict[str, Contrast]:
        return {
            name: contrast(known[name], known[parent], compare, among)
            for name, parent in pairs.items()
            if name in known and parent in known
        }

    return at


def decide(standings: Mapping[str, Standing], compare: Compare, looks: Looks, k: int) -> None:
    """Give verdicts to the comparisons that look k decides."""
    last = len(looks.at)
    asked = {name: one.q if one.p and one.word != "no difference" else None for name, one in standings.items()}
    adjusted = dict(zip(asked, holm(list(asked.values()), len(standings)), strict=True))
    for name, one in standings.items():
        q, latest, best = adjusted[name], one.finding, one.best
        if one.word is not None or q is None or latest is None or best is None:
            continue
        assert latest.effect is not None
        assert best.effect is not None
        word = verdict(latest.effect, 1.0, compare.better, compare.margin)
        if word == "unclear":
            word = verdict(best.effect, q, compare.better)
        if word in ("helps", "hurts"):
            # the sign and the interval are those of the look whose p-value decides
            one.finding, one.shown_at = best, min(one.p, key=lambda look: one.p[look] / looks.weights[look - 1])
        one.p_adjusted = q
        if word != "unclear" or one.look == last:
            one.word, one.settled = word, True


def wanted(
    standings: Mapping[str, Standing],
    pairs: Mapping[str, str],
    sources: Mapping[str, Collection[str]],
    looks: Looks,
) -> dict[str, int]:
    """The number of seeds that each variant needs now: those of its next look, or of its last one once it is settled.

    A parent needs those of its children's looks. ``sources`` has all variants, with those that each builds on, which
    need as many seeds as it is trained with.
    """
    own = {
        name: looks.at[max(one.look - 1, 0) if one.settled else min(one.look, len(looks.at) - 1)]
        for name, one in standings.items()
    }
    need = {name: own.get(name, looks.at[0]) for name in sources}
    for name, count in own.items():
        need[pairs[name]] = max(need[pairs[name]], count)
    changed = True
    while changed:
        changed = False
        for name, others in sources.items():
            for other in others:
                if need.get(other, need[name]) < need[name]:
                    need[other], changed = need[name], True
    return need


def finished_with(one: Standing, planned: int) -> Finding | None:
    """What a table shows of a comparison: its finding with its verdict."""
    if one.finding is None:
        return None
    judgement = one.judgement
    if one.word == "unclear" and one.finding.effect is not None and one.p_adjusted is not None:
        judgement = judged(one.finding.effect, one.p_adjusted, "unclear", planned)
    return Finding(one.finding.effect, judgement, one.finding.notes)
