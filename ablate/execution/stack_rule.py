"""The number of seeds per job: as many as a stack makes faster, without leaving cores idle. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ablate.data.load import known_spec
from ablate.engine.compute_cost import work_of_settings
from ablate.engine.stack_width import stack_width
from ablate.execution.jobs import StackWidth
from ablate.planning.networks import NetworkFacts
from ablate.planning.plan import PlannedRun

JOBS_EACH = 2
"""Minimum number of jobs per slot if the jobs decide about stacks themselves, because they may not be faster."""


def stack_rule(
    runs: Sequence[PlannedRun], slots: Sequence[str], networks: Mapping[str, NetworkFacts] | None = None
) -> StackWidth:
    """The rule for training ``runs`` in these slots.

    Every slot gets a job: two cores train five seeds of one variant as 3 + 2, but five seeds of each of seven variants
    as seven stacks. A number in the recipe (``stack: 5``) is not changed.

    ``networks`` are the facts from an earlier plan (`known_networks`): seeds that cannot be stacked become separate
    jobs. If the compute cost of a network is unknown, the job decides when it has built it.
    """
    variants = len({(run.identity, run.record.fold) for run in runs})
    jobs_each = -(-len(slots) // max(variants, 1))
    known = networks or {}

    def width(run: PlannedRun, seeds: int) -> int:
        settings, facts = run.variant.settings, known.get(run.identity, NetworkFacts())
        if facts.stack_reason:
            return 1
        spec = known_spec(settings.data)
        shape, work = spec.input_shape if spec else None, facts.work
        most = -(-seeds // jobs_each)
        if work is None and shape is not None:
            work = work_of_settings(settings, shape)
        if work is None and settings.stack == "auto" and not slots[0].startswith("cuda"):
            return max(1, min(seeds, most, len(runs) // (JOBS_EACH * len(slots))))
        chosen = stack_width(settings, seeds, slots[0], work=work, parameters=facts.parameters)
        return chosen if settings.stack != "auto" else min(chosen, most)

    return width
