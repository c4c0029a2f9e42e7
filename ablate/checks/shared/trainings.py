"""The short trainings that checks look at, each done once per probe."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.checks.shared.probe import NotJudged
from ablate.data.dataset import Batch
from ablate.engine.step_closure import StepClosure
from ablate.engine.training_state import applied_rates
from ablate.registry.lazy import torch
from ablate.trees import tensors, tree_map

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.checks.shared.probe import Probe

SMALL = 32
"""Number of samples to memorize."""

KNOWS = 0.5
"""Share of the best constant prediction's loss below which a network must have used its inputs."""

LEARNED = 0.8
"""Share of that loss (or of the loss at the start) that the training samples must reach to judge the labels."""

STEPS = 400
"""Largest number of steps of each of them."""

LABELLED = 128
"""Number of training and of validation samples of the trainings with labels and with shuffled labels."""


@dataclass(frozen=True)
class Memory:
    """A training on a few samples: the loss at the start, the best one, and, after batch norm's statistics have
    settled, those in training and in evaluation mode.
    """

    batch: Batch
    rate: float
    start: float
    best: float
    steps: int
    settled: float
    evaluated: float


@dataclass(frozen=True)
class Drill:
    """Steps as the recipe says: losses of the fixed samples, the largest learning rate, and ‖change‖/‖weights‖: the
    median over layers of the largest of the first 20 steps.
    """

    losses: Sequence[float]
    steps: int
    rate: float | None
    ratio: float | None


def memory_of(
    probe: Probe, rates: Sequence[float] = (3e-3, 1e-4), steps: int = 300, share: float = 0.05
) -> Memory | None:
    """The training on a few samples; done once per probe, with the arguments of the first call."""
    return probe.once("memory", lambda: memorize(probe, rates, steps, share))


def drill_of(probe: Probe, steps: int = 100) -> Drill | None:
    """Steps as the recipe says; done once per probe."""
    return probe.once("drill", lambda: drilled(probe, steps))


def memorize(probe: Probe, rates: Sequence[float], steps: int, share: float) -> Memory | None:
    """Train on a few samples with the first rate that makes the loss small enough, or with all of them.

    None if it cannot be judged: too few samples, nothing to train, fewer parameters than targets, or a loss that is not
    positive.
    """
    batch = probe.samples(SMALL)
    if not probe.trained or not probe.gradients or all(one is None for one in probe.gradients.values()):
        return None
    targets = next(tensors(batch.targets), None)
    if targets is None or len(targets) < 4 or capacity(probe) < targets.numel():
        return None
    found: Memory | None = None
    constant = constant_loss(probe, batch) or math.inf
    for rate in rates:
        with probe.restored():
            losses = probe.learned(batch, rate=rate, steps=steps, share=share, below=KNOWS * constant)
            start, best = losses[0], min((one for one in losses if math.isfinite(one)), default=math.inf)
            if not math.isfinite(start) or start <= 0 or best < 0:
                return None
            settled, evaluated = settle(probe, batch)
            memory = Memory(batch, rate, start, best, len(losses) - 1, settled, evaluated)
        if found is None or memory.best < found.best:
            found = memory
        if best <= share * start and best < constant:
            break
    return found


def capacity(probe: Probe) -> int:
    """The number of trained parameters."""
    return sum(one.numel() for one in probe.trained.values())


def settle(probe: Probe, batch: Batch) -> tuple[float, float]:
    """The losses in training and in evaluation mode, once batch norm has seen the samples a number of times."""
    from ablate.layers.batch_norm import batch_norms

    with torch.no_grad():
        for _ in range(40 if any(True for _ in batch_norms(probe.network)) else 0):
            probe.run(batch, train=True)
    return loss_of(probe, batch), loss_of(probe, batch, train=False)


def without_inputs(probe: Probe, memory: Memory) -> float | None:
    """The loss after as many steps as the other training had, with zeroed inputs, or that of the best constant
    prediction if it is known; None for integer inputs.
    """
    if (constant := constant_loss(probe, memory.batch)) is not None:
        return constant
    if not all(one.is_floating_point() for one in tensors(memory.batch.inputs)):
        return None
    zeros = Batch(
        tree_map(torch.zeros_like, memory.batch.inputs), memory.batch.targets, memory.batch.targets, probe.spec
    )
    with probe.restored():
        losses = probe.learned(zeros, rate=memory.rate, steps=memory.steps)
    return losses[-1] if math.isfinite(losses[-1]) else None


def labels(probe: Probe) -> tuple[float, float] | None:
    """The smallest validation losses with the labels and with shuffled ones; None if they cannot be judged, or the
    first one is clearly better than any uninformed prediction.
    """
    if probe.spec.places:
        return None
    memory = memory_of(probe)
    train, valid = probe.samples(LABELLED), probe.samples(LABELLED, "valid")
    targets = train.targets
    if memory is None or not isinstance(targets, torch.Tensor) or probe.assembly.computes_loss:
        return None
    if len(targets) < 32 or bool((targets == targets[:1]).all()):
        return None
    constant = constant_loss(probe, valid)
    enough = -math.inf if constant is None else 0.9 * constant
    true, steps = best_validation(probe, train, valid, steps=STEPS, enough=enough, rate=memory.rate)
    if true < enough or steps == STEPS or not 0 < true < math.inf:
        return None
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    shuffled = Batch(train.inputs, targets[order], targets[order], probe.spec)
    other, _ = best_validation(probe, shuffled, valid, steps=steps, enough=-math.inf, rate=memory.rate, whole=True)
    return (true, other) if 0 < other < math.inf else None


def best_validation(
    probe: Probe, train: Batch, valid: Batch, *, steps: int, enough: float, rate: float, whole: bool = False
) -> tuple[float, int]:
    """The smallest validation loss during a training on batches of 32, and the number of steps.

    Ends early below ``enough`` and, unless it is to do the ``whole`` of its steps, once the training samples are
    learned. ``steps``: they were not.
    """
    generator, n = torch.Generator().manual_seed(1), len(train.targets)
    begun, best, step = time.process_time(), math.inf, 0
    with probe.restored():
        optimizer = torch.optim.Adam(list(probe.trained.values()), lr=rate)
        first = constant_loss(probe, train) or loss_of(probe, train)
        while step < steps:
            index = torch.randint(n, (min(32, n),), generator=generator)
            inputs, targets = tree_map(lambda one, index=index: one[index], (train.inputs, train.targets))
            loss = probe.run(Batch(inputs, targets, targets, probe.spec), train=True).loss
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if step % 10 == 0:
                best = min(best, loss_of(probe, valid))
                if best < enough:
                    break
            if step % 20 == 0 and not whole and loss_of(probe, train) < LEARNED * first:
                break
            if time.process_time() - begun > probe.seconds:
                raise NotJudged(f"{step} of {steps} steps in {probe.seconds:g} s")
    return best, step


def loss_of(probe: Probe, batch: Batch, *, train: bool = True) -> float:
    """The loss of a batch; in training mode, in which batch norm needs no running statistics."""
    with torch.no_grad():
        return float(probe.run(batch, train=train).loss)


def constant_loss(probe: Probe, batch: Batch) -> float | None:
    """The loss of the best constant prediction for these samples, if it is known."""
    targets, made = batch.targets, probe.assembly
    if not isinstance(targets, torch.Tensor) or not isinstance(probe.first.prediction, torch.Tensor):
        return None
    if probe.loss_name == "cross_entropy" and not targets.is_floating_point():
        shares = torch.bincount(targets[targets >= 0], minlength=probe.spec.outputs).double()
        shares = shares / shares.sum()
        return float(-(shares * shares.clamp(min=1e-12).log()).sum())
    if probe.loss_name in ("mse", "l1", "smooth_l1", "huber") and targets.is_floating_point():
        mean = torch.nanmean(targets, dim=0, keepdim=True).expand_as(targets).contiguous()
        return float(made.whole_loss(made.loss(mean, targets)))
    return None


def drilled(probe: Probe, steps: int) -> Drill | None:
    """Train on fixed samples as the recipe says. Ends early once the loss is clearly smaller.

    The schedule is run through in these steps. None if nothing is trained.
    """
    if not probe.trained:
        return None
    made = probe.fresh()
    size = probe.settings.batch_size
    count = -(-64 // min(size, 64)) * min(size, 64)
    order = torch.linspace(0, len(made.train) - 1, min(max(count, size), len(made.train))).long()
    fixed = probe.samples(len(order))
    closure = StepClosure(made)
    total = made.points.steps
    steps = min(steps, total) if total > 1 else steps
    losses = [float(probe.run(fixed, train=True, assembly=made).loss.detach())]
    ratios: dict[str, float] = {}
    rate: float | None = None
    begun, step = time.process_time(), 0
    while step < steps:
        made.network.train()
        for batch in made.batches(1, order if made.train.ordered else None):
            before = weights_of(made.network) if step < 20 else {}
            at = step * (total - 1) // max(steps - 1, 1)
            closure.take([batch] * made.batches_per_step, at)
            present = applied_rates(made.optimizer, 0).get("lr")
            rate = max(rate or 0.0, present) if present is not None else rate
            for name, change in changes(before, made.network).items():
                ratios[name] = max(ratios.get(name, 0.0), change)
            step += 1
            if step >= steps or step % len(order) == 0:
                break
        losses.append(float(probe.run(fixed, train=True, assembly=made).loss.detach()))
        if not math.isfinite(losses[-1]) or (step >= 30 and losses[-1] < 0.7 * losses[0]):
            break
        if time.process_time() - begun > probe.seconds:
            if losses[-1] < 0.95 * losses[0]:
                break
            raise NotJudged(f"{step} of {steps} steps in {probe.seconds:g} s")
    return Drill(losses, step, rate, statistics.median(ratios.values()) if ratios else None)


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of the weights with two or more axes that are trained."""
    return {
        name: one.detach().clone() for name, one in network.named_parameters() if one.dim() >= 2 and one.requires_grad
    }


def changes(before: dict[str, Tensor], network: torch.nn.Module) -> dict[str, float]:
    """‖change‖/‖weights‖ of each layer in a step, without weights that were 0."""
    now = dict(network.named_parameters())
    used = {name: was for name, was in before.items() if bool(was.any())}
    return {name: float((now[name].detach() - was).norm() / was.norm()) for name, was in used.items()}
