"""How many seeds of a variant make one job: what the engine gains by a stack, without leaving cores idle. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.data.load import known_spec
from ablate.engine.stacking import stack_width
from ablate.study.jobs import StackWidth
from ablate.study.plan import PlannedRun


def stack_rule(runs: Sequence[PlannedRun], slots: Sequence[str]) -> StackWidth:
    """The rule for the runs that are to be trained in these slots.

    A variant's seeds are shared out so that every slot has a job: two cores train five seeds of one variant as 3 + 2, but five seeds of each of seven variants
    as seven stacks. A number in the recipe (``stack: 5``) is kept as it is.
    """
    variants = len({run.identity for run in runs})
    jobs_each = -(-len(slots) // max(variants, 1))

    def width(run: PlannedRun, seeds: int) -> int:
        settings = run.variant.settings
        spec = known_spec(settings.data)
        chosen = stack_width(settings, seeds, slots[0], input_shape=spec.input_shape if spec else None)
        return chosen if settings.stack != "auto" else min(chosen, -(-seeds // jobs_each))

    return width
