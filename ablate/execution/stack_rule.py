"""How many seeds of a variant make one job: what the engine gains by a stack, without leaving cores idle. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ablate.data.load import known_spec
from ablate.engine.compute_cost import work_of_settings
from ablate.engine.stack_width import stack_width
from ablate.execution.jobs import StackWidth
from ablate.planning.plan import PlannedRun

JOBS_EACH = 2
"""Jobs for every slot at least, where a job is to find out by itself whether its seeds gain by a stack: those that do not take longer together."""


def stack_rule(
    runs: Sequence[PlannedRun], slots: Sequence[str], networks: Mapping[str, Mapping[str, Any]] | None = None
) -> StackWidth:
    """The rule for the runs that are to be trained in these slots.

    A variant's seeds are shared out so that every slot has a job: two cores train five seeds of one variant as 3 + 2, but five seeds of each of seven variants
    as seven stacks. A number in the recipe (``stack: 5``) is kept as it is.

    ``networks`` is what an earlier look at the plan found (`known_networks`): what cannot be stacked becomes jobs of one seed. Where a network's work is not
    known, as a user's own before its first plan, the job decides when it has built it.
    """
    variants = len({(run.identity, run.record.fold) for run in runs})
    jobs_each = -(-len(slots) // max(variants, 1))
    known = networks or {}

    def width(run: PlannedRun, seeds: int) -> int:
        settings, facts = run.variant.settings, known.get(run.identity, {})
        if facts.get("stack_reason"):
            return 1
        spec = known_spec(settings.data)
        shape, work = spec.input_shape if spec else None, facts.get("work")
        most = -(-seeds // jobs_each)
        if work is None and shape is not None:
            work = work_of_settings(settings, shape)
        if work is None and settings.stack == "auto" and not slots[0].startswith("cuda"):
            return max(1, min(seeds, most, len(runs) // (JOBS_EACH * len(slots))))
        chosen = stack_width(settings, seeds, slots[0], work=work, parameters=facts.get("parameters"))
        return chosen if settings.stack != "auto" else min(chosen, most)

    return width
