"""The stacks of a job's seeds: how they are formed, resumed from a checkpoint, and recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from ablate.data.dataset import Parts
from ablate.engine.assembly import assemble
from ablate.engine.compute_cost import known_size
from ablate.engine.contract import Assignment, Facts, State
from ablate.engine.replicas import CannotStack
from ablate.engine.stack_width import in_stacks, memory_of, stack_width
from ablate.engine.training_state import TrainingState
from ablate.models.size import physical_memory
from ablate.notes.note import Note, as_notes
from ablate.recipe.node import show
from ablate.tricks.trick import Trick

LOG = logging.getLogger(__name__)
"""Writes to the job's log."""


def begin(assignment: Assignment, data: Parts, resume: State | None) -> list[TrainingState]:
    """The training state of each stack of a job, in the order of its seeds; one per seed if they cannot be stacked.

    A resumed job keeps its stacks. Raises ValueError if the checkpoint has other seeds.
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
        # the network was unknown when the job was formed: its seeds are retried one by one
        raise MemoryError(f"{len(seeds)} networks of {parameters:,} parameters do not fit in memory at once")
    stacks: list[TrainingState] = []
    for group in in_stacks(seeds, width):
        part = replace(assignment, seeds=group)
        try:
            stacks.append(TrainingState(assemble(part, data), count(stacks)))
        except CannotStack as reason:
            LOG.warning("Seeds %s are trained sequentially: %s", show(group), reason)
            for seed in group:
                alone = assemble(replace(part, seeds=(seed,)), data)
                note = Note("not_stacked", values={"reason": str(reason)})
                alone.facts = replace(alone.facts, notes=[*alone.facts.notes, note])
                stacks.append(TrainingState(alone, count(stacks)))
    return stacks


def go_on(assignment: Assignment, data: Parts, state: State) -> list[TrainingState]:
    """The stacks of a job, restored from a checkpoint."""
    saved = tuple(seed for kept in state["stacks"] for seed in kept["seeds"])
    if saved != assignment.seeds:
        rule = f"must have the seeds of the job (={show(assignment.seeds)}). Use --fresh to discard it."
        raise ValueError(f"checkpoint (=seeds {show(saved)}) {rule}")
    stacks: list[TrainingState] = []
    for kept in state["stacks"]:
        stacks.append(TrainingState(assemble(replace(assignment, seeds=tuple(kept["seeds"])), data), count(stacks)))
        stacks[-1].restore(kept)
    return stacks


def count(stacks: Sequence[TrainingState]) -> int:
    """The number of seeds in these stacks."""
    return sum(len(stack.seeds) for stack in stacks)


def job_state(epoch: int, stacks: Sequence[TrainingState]) -> State:
    """The state from which the job can resume after an epoch."""
    seeds = [seed for stack in stacks for seed in stack.seeds]
    return {"epoch": epoch, "seeds": seeds, "stacks": [stack.state() for stack in stacks]}


def job_facts(stacks: Sequence[TrainingState]) -> Facts:
    """The facts of the job: those of the first stack with the notes of all; ``stack`` lists each stack's seeds."""
    assemblies = [stack.assembly for stack in stacks]
    notes = dict.fromkeys(note for assembly in assemblies for note in assembly.facts.notes)
    tricks = (trick for assembly in assemblies for trick in assembly.tricks if isinstance(trick, Trick))
    notes |= dict.fromkeys(note for trick in tricks for note in as_notes(trick.notes()))
    together = [list(stack.seeds) for stack in stacks]
    return replace(stacks[0].assembly.facts, notes=list(notes), stack=together)
