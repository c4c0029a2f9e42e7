"""skorch: a callback that records a run's epochs and checkpoints.

def main(run, lr=0.1):
    net = NeuralNetClassifier(Net, lr=lr, max_epochs=run.epochs, device=run.device, callbacks=[AblateCallback(run)])
    net.fit(inputs, targets)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from numbers import Real
from typing import Any

from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, EpochTimer, PassthroughScoring, PrintLog, ProgressBar
from skorch.history import History

from ablate.trainers.shared.run import Run, generators, restore_generators

NAMES = {"valid_acc": "accuracy", "event_lr": "lr"}

NOT_METRICS = ("epoch", "dur", "train_batch_count", "valid_batch_count")

RESTORED = (BatchScoring, EpochScoring, EpochTimer, PassthroughScoring, PrintLog, ProgressBar)
"""Callbacks that do not change the training, so that it can be resumed."""


class AblateCallback(Callback):
    """Logs the numbers of every epoch's history to ``run``, saves checkpoints when they are due, and resumes from them.

    ``names``: names in the history → those to record. Without it, ``valid_acc`` is recorded as ``accuracy``. Put it
    last, so that it finds what other callbacks record. With callbacks that change the training, such as `LRScheduler`,
    no checkpoints are saved, because skorch does not save their state.
    """

    def __init__(self, run: Run, names: Mapping[str, str] | None = None) -> None:
        self.run, self.names = run, names
        self.planned_: int | None = None
        self.saves_ = self.resumes_ = False

    def on_train_begin(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        if self.planned_ is not None and not net.history:
            raise ValueError("AblateCallback records one training, but fit was called again. Call it once per run.")
        self.planned_, here = net.max_epochs, generators(self.run.device)
        self.saves_ = all(isinstance(one, (AblateCallback, *RESTORED)) for _, one in net.callbacks_)
        if net.history or not self.saves_ or (state := self.run.resume()) is None:
            return
        restore_generators(here, self.run.device)  # the split that follows is that of the first start
        for name, part in state["parts"].items():
            getattr(net, name).load_state_dict(part)
        net.history_ = History(json.loads(state["history"]))
        net.max_epochs, self.resumes_ = net.max_epochs - len(net.history), True

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        if self.resumes_:
            self.run.resume()
            self.resumes_ = False

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        names = {**NAMES, **(self.names or {})}
        values: dict[str, Any] = {
            names.get(name, name): value
            for name, value in net.history[-1].items()
            if isinstance(value, Real) and not isinstance(value, bool) and name not in NOT_METRICS
        }
        self.run.log(epoch=len(net.history), **values)
        if self.saves_:
            self.run.checkpoint(lambda: saved(net))

    def on_train_end(self, net: NeuralNet, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        net.max_epochs = self.planned_


def saved(net: NeuralNet) -> dict[str, Any]:
    """The weights, the optimizer and the history of a net."""
    parts = {f"{name}_": getattr(net, f"{name}_") for name in (*net._modules, *net._criteria, *net._optimizers)}
    states = {name: part.state_dict() for name, part in parts.items() if hasattr(part, "state_dict")}
    return {"parts": states, "history": json.dumps(net.history.to_list())}
