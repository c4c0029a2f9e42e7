"""A job's seeds as stacks: how they are put together, what the record says of it, and how they go on from a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablate.data.dataset import Parts
from ablate.engine.assembly import assemble
from ablate.engine.compute_cost import known_size
from ablate.engine.contract import Assignment
from ablate.engine.replicas import CannotStack
from ablate.engine.stack_width import in_stacks, memory_of, stack_width
from ablate.engine.training_state import Standing
from ablate.models.size import physical_memory
from ablate.notes.note import Note, as_notes
from ablate.tricks.trick import Trick

LOG = logging.getLogger(__name__)
"""What it says goes into the job's log."""


def begin(assignment: Assignment, data: Parts, resume: Mapping[str, Any] | None) -> list[Standing]:
    """A standing for each stack of a job, in the order of its seeds. Seeds that cannot stack get one each, and a note says why.

    A resumed job has the stacks that it began with. Raises ValueError where the checkpoint is of other seeds.
    """
    if resume is not None:
        return go_on(assignment, data, resume)
    seeds = assignment.seeds
    settings = assignment.settings
    work = parameters = None
    if settings.stack == "auto" and len(seeds) > 1:
        work, parameters = known_size(settings, data.spec, assignment.folder)
    width = stack_width(settings, len(seeds), assignment.device, work=work, parameters=parameters)
    if width == 1 and parameters and memory_of(settings, parameters) * len(seeds) > physical_memory() // 4:
        # whoever gave us several seeds did not know the network: they are to come back one by one
        raise MemoryError(f"{len(seeds)} seeds of {parameters:,} parameters are too much to keep side by side")
    standings: list[Standing] = []
    for group in in_stacks(seeds, width):
        part = replace(assignment, seeds=group)
        try:
            standings.append(Standing(assemble(part, data), count(standings)))
        except CannotStack as reason:
            LOG.warning("seeds %s train one by one, not as a stack. %s", group, reason)
            for seed in group:
                standings.append(Standing(assemble(replace(part, seeds=(seed,)), data), count(standings)))
                standings[-1].assembly.facts["notes"].append(Note("not_stacked", values={"reason": str(reason)}))
    return standings


def go_on(assignment: Assignment, data: Parts, state: Mapping[str, Any]) -> list[Standing]:
    """The stacks of a saved job, as they stood."""
    saved = tuple(seed for stack in state["stacks"] for seed in stack["seeds"])
    if saved != assignment.seeds:
        raise ValueError(
            f"checkpoint of seeds (={saved}) must be of this job's, which are {assignment.seeds}. Use --fresh."
        )
    standings: list[Standing] = []
    for stack in state["stacks"]:
        standings.append(Standing(assemble(replace(assignment, seeds=tuple(stack["seeds"])), data), count(standings)))
        standings[-1].restore(stack)
    return standings


def count(standings: Sequence[Standing]) -> int:
    """Seeds so far."""
    return sum(len(standing.seeds) for standing in standings)


def job_state(epoch: int, standings: Sequence[Standing]) -> dict[str, Any]:
    """All that the job needs to go on after an epoch."""
    seeds = [seed for standing in standings for seed in standing.seeds]
    return {"epoch": epoch, "seeds": seeds, "stacks": [standing.state() for standing in standings]}


def job_facts(standings: Sequence[Standing]) -> dict[str, Any]:
    """The facts of the first stack, which are those of all, with every note once, and under ``stack`` which seeds train together."""
    assemblies = [standing.assembly for standing in standings]
    notes = dict.fromkeys(note for assembly in assemblies for note in assembly.facts["notes"])
    tricks = (trick for assembly in assemblies for trick in assembly.tricks if isinstance(trick, Trick))
    notes |= dict.fromkeys(note for trick in tricks for note in as_notes(trick.notes()))
    together = [list(standing.seeds) for standing in standings]
    return {**standings[0].assembly.facts, "notes": list(notes), "stack": together}
