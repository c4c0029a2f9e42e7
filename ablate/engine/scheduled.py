"""The optimizer of a training, and what sets the scheduled values of optimizer and tricks in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ablate.engine.construction import make_optimizer, wants_closure
from ablate.engine.contract import Assignment
from ablate.engine.each_seed import EachSeed
from ablate.engine.replicas import Replicas
from ablate.engine.stacked_tricks import has_hook, of_seed, stream_name
from ablate.optimizers.build import rate_setter
from ablate.registry.lazy import torch
from ablate.tricks.trick import Trick


def optimizer_and_setters(
    assignment: Assignment, tricks: Sequence[Trick | EachSeed], replicas: Replicas, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, list[Callable[[int], None]]]:
    """The optimizer, and the functions that set scheduled values of tricks and optimizer for a step."""
    settings = assignment.settings
    changes = [trick.on_rate for trick in tricks if has_hook(trick, "on_rate")]
    optimizer, set_optimizer = make_optimizer(
        settings,
        replicas.parameters,
        steps_per_epoch,
        assignment.folder,
        stacked=replicas.lead > 0,
        moved=bool(changes),
    )
    again = [stream_name(trick) for trick in tricks if has_hook(trick, "on_pass")]
    # an optimizer with the attribute wants_closure, such as vsgd, only reads gradients in its closure
    if again and wants_closure(optimizer) and not hasattr(optimizer, "wants_closure"):
        subject = f"trick (={again[0].rpartition(':')[2].lower()})"
        rule = f"optimizer (={settings.optimizer.label}), which requires gradients at the current weights"
        raise ValueError(f"{subject} cannot be combined with {rule}. Use another optimizer, or remove the trick.")
    scheduled = [trick.now for i in range(len(assignment.seeds)) for trick in of_seed(tricks, i) if trick.now.scheduled]
    setters: list[Callable[[int], None]] = [now.set for now in dict.fromkeys(scheduled)]
    if changes:
        set_optimizer = rate_setter(optimizer, set_optimizer, changes)
    return optimizer, setters + ([set_optimizer] if set_optimizer else [])
