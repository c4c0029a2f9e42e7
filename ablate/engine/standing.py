"""Where each seed of a stack stands: its best epoch and weights, whether it diverged or stopped, and the state to go on from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ablate.engine.evaluation import evaluate
from ablate.engine.trainer import Outcome, Report
from ablate.registry.lazy import torch
from ablate.tricks.trick import overrides

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.engine.assembly import Assembly

Numbers = Mapping[str, NDArray[np.float64]]


class Standing:
    """Bookkeeping over epochs for the R seeds of an assembly."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.seeds = assembly.seeds
        monitor = assembly.settings.monitor
        self.metric, self.sign = monitor.metric, 1.0 if monitor.better == "lower" else -1.0
        n = len(self.seeds)
        self.epoch = 0
        self.seconds = 0.0
        self.stopped = np.zeros(n, dtype=bool)
        self.diverged: dict[int, str] = {}
        self.best_value = np.full(n, math.inf)
        self.best_epoch = np.zeros(n, dtype=int)
        self.last: list[dict[str, float]] = [{} for _ in self.seeds]
        self.best: list[dict[str, float]] = [{} for _ in self.seeds]
        self.best_weights: dict[str, Tensor] = {}

    def active(self) -> list[int]:
        """The numbers of the seeds that still train."""
        return [int(i) for i in np.flatnonzero(~self.stopped)]

    def take(self, epoch: int, numbers: Numbers) -> NDArray[np.bool_]:
        """Note an epoch's numbers; keep the weights of those at their best. Returns which seeds have a loss that is no number any more, (R,)."""
        if self.metric not in numbers:
            raise ValueError(f"monitor.metric (={self.metric}) must be one of {', '.join(numbers)}.")
        self.epoch = epoch
        lost = np.zeros(len(self.seeds), dtype=bool)
        for name in ("train_loss", "valid_loss"):
            lost |= ~np.isfinite(numbers[name])
        for i in self.active():
            if lost[i]:
                name = "train_loss" if not np.isfinite(numbers["train_loss"][i]) else "valid_loss"
                self.diverged[i] = f"{name} (={numbers[name][i]}) is not finite in epoch {epoch}"
                continue
            self.last[i] = {name: float(values[i]) for name, values in numbers.items()}
            value = self.sign * numbers[self.metric][i]
            if value < self.best_value[i]:
                self.best_value[i], self.best_epoch[i] = value, epoch
                self.best[i] = self.last[i]
                self._keep_best()
        return lost

    def _keep_best(self) -> None:
        current = self.assembly.network.state_dict()
        if not self.best_weights:
            self.best_weights = {name: tensor.clone() for name, tensor in current.items()}
        elif current:
            torch._foreach_copy_(list(self.best_weights.values()), list(current.values()))

    def line(self, replica: int, epoch: int, numbers: Numbers) -> dict[str, Any]:
        """What the record says of one seed's epoch; a number that is not finite is None."""
        values = {name: float(v) if math.isfinite(v := values[replica]) else None for name, values in numbers.items()}
        group = self.assembly.optimizer.param_groups[0]
        rates = {name: float(group[name]) for name in ("lr", "momentum") if isinstance(group.get(name), (int, float))}
        return {"epoch": epoch, "time": time.time(), "seconds": round(self.seconds, 4), **values, **rates}

    def stop(self, which: NDArray[np.bool_]) -> None:
        """Mark seeds as done."""
        self.stopped |= which

    def finish(self, report: Report) -> list[Outcome]:
        """Measure what is measured at the end, hand over the weights, and say how each seed ended."""
        outcomes = []
        last_weights = {name: tensor.clone() for name, tensor in self.assembly.network.state_dict().items()}
        for i, seed in enumerate(self.seeds):
            outcome = self._outcome(i, seed, last_weights)
            if outcome.status == "finished":
                report.weights(i, "last", last_weights)
                report.weights(i, "best", self.best_weights)
            report.ended(i, outcome)
            outcomes.append(outcome)
        return outcomes

    def _outcome(self, i: int, seed: int, last_weights: dict[str, Tensor]) -> Outcome:
        best_epoch = int(self.best_epoch[i]) or None
        if i in self.diverged:
            return Outcome(seed, "diverged", self.epoch, self.diverged[i], best_epoch)
        last = self._measured(self.last[i], last_weights)
        best = last if best_epoch == self.epoch else self._measured(self.best[i], self.best_weights)
        select_best = self.assembly.settings.select == "best"
        results = {"selected": best if select_best else last, "last": last, "best": best}
        return Outcome(seed, "finished", self.epoch, "", best_epoch, best_epoch if select_best else self.epoch, results)

    def _measured(self, values: dict[str, float], weights: dict[str, Tensor]) -> dict[str, float]:
        """An epoch's numbers with those that are only measured at the end: clean train loss, and the test part."""
        network, assembly = self.assembly.network, self.assembly
        network.load_state_dict(weights)
        extra: dict[str, Tensor] = {}
        if "train_loss_clean" not in values:
            extra["train_loss_clean"] = evaluate(assembly, assembly.train_clean, metrics=False)["loss"]
        if assembly.test is not None:
            extra |= {f"test_{name}": value for name, value in evaluate(assembly, assembly.test, metrics=True).items()}
        return values | {name: float(value[0]) for name, value in extra.items()}

    def state(self) -> dict[str, Any]:
        """All that a resumed training needs, in tensors and plain values. Noise and order need nothing: they are keyed by epoch."""
        return {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "network": self.assembly.network.state_dict(),
            "optimizer": self.assembly.optimizer.state_dict(),
            "tricks": [trick.state() if overrides(trick, "state") else {} for trick in self.assembly.tricks],
            "stopped": self.stopped.tolist(),
            "diverged": {str(i): reason for i, reason in self.diverged.items()},
            "best_value": self.best_value.tolist(),
            "best_epoch": self.best_epoch.tolist(),
            "last": self.last,
            "best": self.best,
            "best_weights": self.best_weights,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""
        self.assembly.network.load_state_dict(state["network"])
        self.assembly.optimizer.load_state_dict(state["optimizer"])
        for trick, saved in zip(self.assembly.tricks, state["tricks"], strict=True):
            trick.restore(saved)
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.stopped = np.array(state["stopped"], dtype=bool)
        self.diverged = {int(i): reason for i, reason in state["diverged"].items()}
        self.best_value, self.best_epoch = np.array(state["best_value"]), np.array(state["best_epoch"])
        self.last, self.best = list(state["last"]), list(state["best"])
        self.best_weights = {name: tensor.clone() for name, tensor in state["best_weights"].items()}
