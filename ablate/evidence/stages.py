"""The runs that a study with declared looks needs now: those of the next look, of the variants that are not decided."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ablate.evidence.earlier_studies import earlier_scatter
from ablate.evidence.gather import compared
from ablate.evidence.looks import family_key, frozen, look_lines
from ablate.evidence.seeds import Seeds
from ablate.evidence.sequential import Standing, contrasts_of, follow, wanted
from ablate.evidence.variance_pooling import beside
from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe.looks import Looks
from ablate.store.disk import DiskError
from ablate.store.store import Store


@dataclass(frozen=True)
class Stage:
    """``plan`` has the runs that are needed now. ``standings`` says how far each comparison has come; empty without
    declared ``looks``.
    """

    plan: Plan
    looks: Looks | None = None
    standings: Mapping[str, Standing] = field(default_factory=dict)

    @property
    def look(self) -> int:
        """The last look that any comparison has reached, from 1; 0: none yet."""
        return max((one.look for one in self.standings.values()), default=0)

    @property
    def decided(self) -> int:
        """The number of comparisons that need no more seeds."""
        return sum(one.settled for one in self.standings.values())


def stage_of(plan: Plan, store: Store, *, recording: bool = False) -> Stage:
    """The present stage of a plan of all declared seeds; the plan itself without declared looks.

    With ``recording``, the p-values of the looks so far are recorded, because the next runs depend on them.
    """
    recipe = plan.recipe
    looks = recipe.looks
    if looks is None:
        return Stage(plan)
    family = {variant.name: variant for variant in (*recipe.family, *recipe.needed)}
    known = {one.variant.name: Seeds(one, store.metrics) for one in plan.record().family}
    pairs = compared([seeds.variant for seeds in known.values()], recipe.compare.metric)
    key, earlier = family_key(recipe.compare, pairs, looks), store.looks(recipe.study)
    shown = frozen(known, recipe.compare, earlier, key)
    read, records = contrasts_of(known, recipe.compare), plan.record().family

    def standing(showing: bool) -> dict[str, Standing]:
        estimate = beside(earlier_scatter(recipe, records, store, earlier, showing=showing))
        return follow(pairs, recipe.compare, looks, recipe.seeds, read, estimate=estimate, frozen=shown)

    standings = standing(False)
    if recording and look_lines(standings, known, looks, recipe, key, earlier):
        standings = standing(True)
        lines = look_lines(standings, known, looks, recipe, key, earlier)
        with suppress(DiskError):
            store.add_looks(recipe.study, lines)
    sources = {name: variant.settings.source_rows for name, variant in family.items()}
    counts = wanted(standings, pairs, sources, looks)
    among = {name: set(recipe.seeds[:count]) for name, count in counts.items()}

    def kept(runs: tuple[PlannedRun, ...]) -> tuple[PlannedRun, ...]:
        return tuple(run for run in runs if run.seed in among[run.variant.name])

    limited = replace(plan, runs=kept(plan.runs), needed=kept(plan.needed), others=kept(plan.others))
    return Stage(limited, looks, standings)


def planned_now(plan: Plan, store: Store) -> Plan:
    """The plan without the runs of later looks."""
    return stage_of(plan, store).plan
