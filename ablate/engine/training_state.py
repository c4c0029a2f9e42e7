"""The training state of each seed of a stack: best epoch and weights, divergence, early stopping, checkpoints."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.engine.contract import LARGEST_LOSS, Outcome, Report, State
from ablate.engine.evaluation import evaluate, evaluate_examples, evaluation_weights, validate
from ablate.engine.pieces import WHOLE
from ablate.engine.replicas import keep
from ablate.engine.stacked_tricks import has_hook
from ablate.notes.note import Note
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.engine.assembly import Assembly
    from ablate.engine.replicas import Replicas

Numbers = Mapping[str, NDArray[np.float64]]


class Laps:
    """Divides the time of a job among its stacks, which take turns."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def next(self) -> float:
        """Seconds since the last call."""
        before, self.began = self.began, time.monotonic()
        return self.began - before


class TrainingState:
    """The state of the R seeds of an assembly over its points, which are epochs unless ``evaluate.every`` is set.

    ``first`` is the number of its first seed in the job.

    A seed that has stopped keeps its best and last weights while the stack continues.
    """

    def __init__(self, assembly: Assembly, first: int = 0) -> None:
        self.assembly, self.first = assembly, first
        self.seeds = assembly.seeds
        monitor = assembly.settings.monitor
        self.metric, self.sign = monitor.metric, 1.0 if monitor.better == "lower" else -1.0
        self.ignored = max((trick.ignored_epochs for trick in assembly.tricks), default=0)
        n = len(self.seeds)
        self.points, self.point = assembly.points, 0
        self.seconds = 0.0
        self.stopped = np.zeros(n, dtype=bool)
        self.last_epoch = np.zeros(n, dtype=int)
        self.diverged: dict[int, str] = {}
        self.best_value = np.full(n, math.inf)
        self.best_epoch = np.zeros(n, dtype=int)
        self.first_loss: list[float | None] = [None] * n
        custom = assembly.settings.model.target is not None  # built-in networks are paired by their parameters' names
        self.first_weights = [digest(assembly.replicas, i) if custom else None for i in range(n)]
        self.last: list[dict[str, float]] = [{} for _ in self.seeds]
        self.best: list[dict[str, float]] = [{} for _ in self.seeds]
        self.best_weights: dict[str, Tensor] = {}
        self.stopped_weights: dict[str, Tensor] = {}

    def active(self) -> list[int]:
        """The numbers of the seeds that are still being trained."""
        return [int(i) for i in np.flatnonzero(~self.stopped)]

    @property
    def epoch(self) -> int:
        """The number of the last whole epoch."""
        return self.point // self.points.per_epoch

    def evaluate(self, report: Report, laps: Laps, train_loss: Tensor) -> None:
        """Evaluate and record a point before the end of an epoch. It calls no ``on_epoch``."""
        with evaluation_weights(self.assembly):
            values = {"train_loss": train_loss, **validate(self.assembly, watched=False)}
            numbers = {name: value.double().cpu().numpy() for name, value in values.items()}
            lost = self.take(numbers, whole=False)
            self.report(report, laps, numbers)
            self.stop(lost)

    def take(self, numbers: Numbers, *, whole: bool = True) -> NDArray[np.bool_]:
        """Record the next point's values and the weights of new best points. Returns which seeds have diverged, (R,).

        ``whole``: it is the end of an epoch, whose values include tracked metrics.
        """
        if self.metric not in numbers and whole:
            raise ValueError(f"monitor.metric (={self.metric}) must be one of {', '.join(numbers)}.")
        self.point = point = self.point + 1
        place = self.points.place(point)
        if point == 1 and self.assembly.first_loss is not None:
            self.first_loss = self.assembly.first_loss.double().reshape(-1).tolist()
        sound = {name: np.abs(numbers[name]) <= LARGEST_LOSS for name in ("train_loss", "valid_loss")}
        lost = ~(sound["train_loss"] & sound["valid_loss"])
        better = []
        for i in self.active():
            self.last_epoch[i] = point
            if lost[i]:
                name = "valid_loss" if sound["train_loss"][i] else "train_loss"
                rule = f"is beyond ±{LARGEST_LOSS:g}" if np.isfinite(numbers[name][i]) else "is not finite"
                self.diverged[i] = f"{name} (={numbers[name][i]}) {rule} in epoch {math.ceil(place)}"
                continue
            self.last[i] = {name: float(values[i]) for name, values in numbers.items()}
            value = self.sign * numbers[self.metric][i] if self.metric in numbers else math.inf
            if value < self.best_value[i] and place > self.ignored:
                self.best_value[i], self.best_epoch[i] = value, point
                self.best[i] = self.last[i]
                better.append(i)
        if better:
            keep(self.best_weights, self.assembly.replicas.state(), better, self.assembly.replicas)
        return lost

    def report(self, report: Report, laps: Laps, numbers: Numbers) -> None:
        """Report the values of the last point for each seed that is still being trained."""
        self.seconds += laps.next()
        for replica in self.active():
            report.epoch(self.first + replica, self.line(replica, numbers))

    def line(self, replica: int, numbers: Numbers) -> dict[str, Any]:
        """The line of one seed's last point in the metrics file; values that are not finite are None."""
        values = {name: float(v) if math.isfinite(v := values[replica]) else None for name, values in numbers.items()}
        rates = applied_rates(self.assembly.optimizer, replica)
        at = self.points.at(self.point)
        where = {"at": at} if at is not None else {}
        return {"epoch": self.point, **where, "time": time.time(), "seconds": round(self.seconds, 4), **values, **rates}

    def stop(self, which: NDArray[np.bool_]) -> None:
        """Stop some seeds, and keep their weights if others continue."""
        newly = [int(i) for i in np.flatnonzero(which & ~self.stopped)]
        self.stopped |= which
        if newly and self.active():
            keep(self.stopped_weights, self.assembly.replicas.state(), newly, self.assembly.replicas)

    def finish(self, report: Report) -> list[Outcome]:
        """Compute the metrics of the end of training, report the weights, and return each seed's outcome."""
        replicas = self.assembly.replicas
        last_weights: dict[str, Tensor] = {}
        keep(last_weights, replicas.state(), range(replicas.count), replicas)
        if self.stopped_weights:
            earlier = [int(i) for i in np.flatnonzero(self.last_epoch < self.point)]
            keep(last_weights, self.stopped_weights, earlier, replicas)
        whole = [i for i in range(replicas.count) if i not in self.diverged]
        # without a best epoch, because a metric is always NaN or all epochs are ignored: use the last one
        other = [i for i in whole if self.best_epoch[i] not in (0, self.last_epoch[i])]
        last = self._tested(self.last, last_weights, whole)
        best = last | self._tested(self.best, self.best_weights, other)
        selected = best if self.assembly.settings.select == "best" else last
        self._load_selected(last_weights, whole)
        self._add_clean(selected)
        examples = evaluate_examples(self.assembly, selected)
        outcomes = []
        for i, seed in enumerate(self.seeds):
            outcome = replace(self._outcome(i, seed, last.get(i, {}), best.get(i, {})), examples=examples.get(i))
            if skipped := self.assembly.skipped_steps:
                values = {"skipped": skipped, "steps": self.points.step(outcome.epoch)}
                outcome = replace(outcome, notes=[Note("skipped_steps", values=values)])
            if outcome.status == "finished":
                best_weights = self.best_weights if self.best_epoch[i] else last_weights
                report.weights(self.first + i, "last", replicas.one(last_weights, i))
                report.weights(self.first + i, "best", replicas.one(best_weights, i))
            report.ended(self.first + i, outcome)
            outcomes.append(outcome)
        return outcomes

    def _load_selected(self, last_weights: dict[str, Tensor], whole: list[int]) -> None:
        """Load the weights of the selected epoch of every seed."""
        replicas, weights = self.assembly.replicas, last_weights
        if self.assembly.settings.select == "best":
            weights = {}
            keep(weights, last_weights, range(replicas.count), replicas)
            keep(weights, self.best_weights, [int(i) for i in np.flatnonzero(self.best_epoch)], replicas)
        if whole:
            replicas.load(weights)

    def _outcome(self, i: int, seed: int, last: dict[str, float], best: dict[str, float]) -> Outcome:
        best_epoch, epoch = int(self.best_epoch[i]) or None, int(self.last_epoch[i])
        loss, weights = self.first_loss[i], self.first_weights[i]
        ends = {"last": epoch, "best": best_epoch or epoch}
        known: dict[str, Any] = {"first_loss": loss, "first_weights": weights}
        if self.points.at(epoch) is not None:
            known["places"] = {which: self.points.at(end) or {"epoch": end} for which, end in ends.items()}
        if i in self.diverged:
            return Outcome(seed, "diverged", epoch, self.diverged[i], best_epoch, **known)
        select_best = self.assembly.settings.select == "best"
        results = {"selected": best if select_best else last, "last": last, "best": best}
        selected = best_epoch if select_best else epoch
        return Outcome(seed, "finished", epoch, "", best_epoch, selected, results, **known)

    def _tested(
        self, values: list[dict[str, float]], weights: dict[str, Tensor], which: list[int]
    ) -> dict[int, dict[str, float]]:
        """Some seeds' values with those on the test set, which are only computed at the end."""
        assembly = self.assembly
        test: dict[str, Tensor] = {}
        if which and assembly.test is not None:
            assembly.replicas.load(weights)
            test = evaluate(assembly, assembly.test, metrics=True)
        return {i: values[i] | {f"test_{name}": float(value[i]) for name, value in test.items()} for i in which}

    def _add_clean(self, selected: Mapping[int, dict[str, float]]) -> None:
        """Add ``train_loss_clean`` to the values of the selected epoch, whose weights are loaded, unless every epoch
        has it. A seed whose best epoch is the last has the same values for both.
        """
        if any("train_loss_clean" not in values for values in selected.values()):
            loss = evaluate(self.assembly, self.assembly.train_clean, metrics=False)["loss"]
            for i, values in selected.items():
                values["train_loss_clean"] = float(loss[i])

    def state(self) -> State:
        """The state for a checkpoint, in tensors and plain values. Random streams are keyed by epoch and have none."""
        return {
            "epoch": self.point,
            "seconds": self.seconds,
            "seeds": list(self.seeds),
            "network": self.assembly.replicas.state(),
            "optimizer": self.assembly.optimizer.state_dict(),
            "tricks": [trick.state() if has_hook(trick, "state") else {} for trick in self.assembly.tricks],
            "watched": self.assembly.tracked.state(),
            "scaler": self.assembly.scaler.state_dict(),
            "skipped_steps": self.assembly.skipped_steps,
            "stopped": self.stopped.tolist(),
            "diverged": {str(i): reason for i, reason in self.diverged.items()},
            "last_epoch": self.last_epoch.tolist(),
            "best_value": self.best_value.tolist(),
            "best_epoch": self.best_epoch.tolist(),
            "first_loss": self.first_loss,
            "last": self.last,
            "best": self.best,
            "best_weights": self.best_weights,
            "stopped_weights": self.stopped_weights,
            "piece": self.assembly.pieces.size,
        }

    def restore(self, state: State) -> None:
        """Restore a saved state."""
        self.assembly.replicas.load(state["network"])
        self.assembly.optimizer.load_state_dict(state["optimizer"])
        for trick, saved in zip(self.assembly.tricks, state["tricks"], strict=True):
            if has_hook(trick, "restore"):
                trick.restore(saved)
        self.assembly.tracked.restore(state.get("watched", {}))
        if state.get("scaler"):
            self.assembly.scaler.load_state_dict(state["scaler"])
        self.assembly.skipped_steps = state.get("skipped_steps", 0)
        self.assembly.pieces.size = state.get("piece", WHOLE)  # before 0.2, batches were not divided
        self.point, self.seconds = state["epoch"], state["seconds"]
        self.stopped = np.array(state["stopped"], dtype=bool)
        self.diverged = {int(i): reason for i, reason in state["diverged"].items()}
        self.last_epoch = np.array(state["last_epoch"])
        self.best_value, self.best_epoch = np.array(state["best_value"]), np.array(state["best_epoch"])
        self.first_loss = list(state.get("first_loss", self.first_loss))
        self.last, self.best = list(state["last"]), list(state["best"])
        self.best_weights = {name: tensor.clone() for name, tensor in state["best_weights"].items()}
        self.stopped_weights = {name: tensor.clone() for name, tensor in state["stopped_weights"].items()}


def digest(replicas: Replicas, replica: int) -> str:
    """A digest of one network's parameters in their order, whatever their names."""
    found = hashlib.blake2b(digest_size=16)
    for tensor in replicas.parameters.values():
        own = tensor.detach()[replica] if replicas.lead else tensor.detach()
        found.update(f"{own.dtype} {tuple(own.shape)} ".encode())
        found.update(own.reshape(-1).view(torch.uint8).cpu().numpy().data)
    return found.hexdigest()


def applied_rates(optimizer: Any, replica: int) -> dict[str, float | None]:
    """``lr`` and ``momentum`` of one seed, from the default parameter group; ``lr/<pattern>`` of the other groups.

    For Adam and its variants, momentum is β₁. Values that an optimizer does not have are left out.
    """
    groups = optimizer.param_groups
    base = next((group for group in groups if group.get("match") is None), groups[0])
    rates: dict[str, float | None] = {}
    if "lr" in base:
        rates["lr"] = rate_of(base["lr"], replica)
    if "momentum" in base:
        rates["momentum"] = rate_of(base["momentum"], replica)
    elif "betas" in base:
        rates["momentum"] = rate_of(base["betas"][0], replica)
    for group in groups:
        if group is not base and group.get("match") is not None and "lr" in group:
            rates.setdefault(f"lr/{group['match']}", rate_of(group["lr"], replica))
    return rates


def rate_of(value: Any, replica: int) -> float | None:
    """One seed's value of an option that a parameter group has for all seeds, or for each."""
    if hasattr(value, "dim"):
        return float(value[replica] if value.dim() else value)
    return float(value)
