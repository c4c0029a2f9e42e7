"""The short trainings that checks look at, each done once per probe."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.checks.check import NotJudged
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

HUNDRED = 100

STEPS = 60
"""Number of steps of each of them."""

LABELLED = 128
"""Number of training and of validation samples of the trainings with labels and with shuffled labels."""


@dataclass(frozen=True)
class Memory:
    """A training on a few samples: the loss at the start, or that of the best constant prediction if this is smaller;
    the best one, that after 100 steps, and, after batch norm's statistics have settled, those in training and in
    evaluation mode.
    """

    batch: Batch
    rate: float
    reference: float
    best: float
    at_hundred: float
    steps: int
    settled: float
    evaluated: float


@dataclass(frozen=True)
class Drill:
    """Steps as the recipe says: losses of the fixed samples, the largest learning rate, and ‖change‖/‖weights‖."""

    losses: Sequence[float]
    steps: int
    rate: float | None
    ratio: float | None


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
            losses = probe.learned(batch, rate=rate, steps=steps, share=share, reference=constant)
            start, best = losses[0], min((one for one in losses if math.isfinite(one)), default=math.inf)
            if not math.isfinite(start) or start <= 0 or best < 0:
                return None
            at_hundred = losses[min(HUNDRED, len(losses) - 1)]
            settled, evaluated = settle(probe, batch)
            memory = Memory(batch, rate, min(start, constant), best, at_hundred, len(losses) - 1, settled, evaluated)
        if found is None or memory.best < found.best:
            found = memory
        if best <= share * found.reference:
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
        return float(probe.run(batch, train=True).loss), float(probe.run(batch, train=False).loss)


def without_inputs(probe: Probe, memory: Memory) -> float | None:
    """The loss after as many steps as `Memory.at_hundred` had, with zeroed inputs, or that of the best constant
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
        losses = probe.learned(zeros, rate=memory.rate, steps=min(HUNDRED, memory.steps))
    return losses[-1] if math.isfinite(losses[-1]) else None


def labels(probe: Probe) -> tuple[float, float] | None:
    """The smallest validation losses with the labels and with shuffled ones; None if they cannot be judged."""
    train, valid = probe.samples(LABELLED), probe.samples(LABELLED, "valid")
    targets = train.targets
    if not isinstance(targets, torch.Tensor) or probe.assembly.computes_loss or not probe.trained:
        return None
    if len(targets) < 32 or bool((targets == targets[:1]).all()):
        return None
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    constant = constant_loss(probe, valid)
    found: list[float] = []
    for given in (targets, targets[order]):
        with probe.restored():
            enough = -math.inf if constant is None else 0.9 * constant
            found.append(best_validation(probe, Batch(train.inputs, given, given, probe.spec), valid, enough=enough))
        if found[0] < enough:
            return None  # clearly better than any prediction that knows nothing
    true, shuffled = found
    return (true, shuffled) if min(found) > 0 and math.isfinite(true) and math.isfinite(shuffled) else None


def constant_loss(probe: Probe, batch: Batch) -> float | None:
    """The loss of the best constant prediction for these samples, if it is known."""
    targets, made = batch.targets, probe.assembly
    if not isinstance(targets, torch.Tensor) or not isinstance(probe.first.prediction, torch.Tensor):
        return None
    if probe.loss_name == "cross_entropy" and targets.dim() == 1 and not targets.is_floating_point():
        shares = torch.bincount(targets[targets >= 0], minlength=probe.spec.outputs).double()
        shares = shares / shares.sum()
        return float(-(shares * shares.clamp(min=1e-12).log()).sum())
    if probe.loss_name in ("mse", "l1", "smooth_l1", "huber") and targets.is_floating_point():
        mean = torch.nanmean(targets, dim=0, keepdim=True).expand_as(targets).contiguous()
        return float(made.whole_loss(made.loss(mean, targets)))
    return None


def best_validation(probe: Probe, train: Batch, valid: Batch, *, enough: float, rate: float = 3e-3) -> float:
    """The smallest loss of the validation samples during some steps on batches of 32. Ends early below ``enough``."""
    optimizer = torch.optim.Adam(list(probe.trained.values()), lr=rate)
    begun, best, n = time.process_time(), math.inf, len(train.targets)
    generator = torch.Generator().manual_seed(1)
    for step in range(STEPS + 1):
        if step and step % 10 == 0:
            with torch.no_grad():
                best = min(best, float(probe.run(valid, train=False).loss))
            if best < enough or step == STEPS:
                break
        if time.process_time() - begun > probe.seconds:
            raise NotJudged(f"{step} of {STEPS} steps took {probe.seconds:g} s")
        index = torch.randint(n, (min(32, n),), generator=generator)
        given = Batch(
            tree_map(lambda one, index=index: one[index], train.inputs),
            train.targets[index],
            train.targets[index],
            probe.spec,
        )
        loss = probe.run(given, train=True).loss
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return best


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
    ratios: list[float] = []
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
            ratios += [float((now - was).norm() / was.norm()) for was, now in changes(before, made.network)]
            step += 1
            if step >= steps or step % len(order) == 0:
                break
        losses.append(float(probe.run(fixed, train=True, assembly=made).loss.detach()))
        if not math.isfinite(losses[-1]) or (step >= 30 and losses[-1] < 0.7 * losses[0]):
            break
        if time.process_time() - begun > probe.seconds:
            if losses[-1] < 0.95 * losses[0]:
                break
            raise NotJudged(f"{step} of {steps} steps took {probe.seconds:g} s")
    return Drill(losses, step, rate, statistics.median(ratios) if ratios else None)


def weights_of(network: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of the weights with two or more axes that are trained."""
    return {
        name: one.detach().clone() for name, one in network.named_parameters() if one.dim() >= 2 and one.requires_grad
    }


def changes(before: dict[str, Tensor], network: torch.nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights before and after a step, without those that were 0."""
    now = dict(network.named_parameters())
    return [(was, now[name].detach()) for name, was in before.items() if bool(was.any())]
