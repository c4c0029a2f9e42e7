"""skorch with its usual defaults, but for the table that it prints."""

from __future__ import annotations

from typing import Any

import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback
from skorch.helper import predefined_split

from bench.rivals.work import Work, compete


class Rates(Callback):  # type: ignore[misc]
    """The rates of every epoch, as a user's own callback sets them."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def on_epoch_begin(self, net: Any, **_: Any) -> None:
        for group in net.optimizer_.param_groups:
            group.update(self.work.rates(len(net.history)))


def train(work: Work, seed: int) -> float:
    torch.manual_seed(seed)
    kind = NeuralNetClassifier if isinstance(work.loss, torch.nn.CrossEntropyLoss) else NeuralNetRegressor
    named: Any = work.settings.optimizer.options
    classes = {"classes": list(range(work.outputs))} if kind is NeuralNetClassifier else {}
    net = kind(
        work.network(seed),
        criterion=type(work.loss),
        optimizer=torch.optim.SGD,
        lr=work.rates(1)["lr"],
        optimizer__momentum=work.rates(1)["momentum"],
        optimizer__nesterov=named.nesterov,
        optimizer__weight_decay=named.weight_decay,
        batch_size=work.settings.batch_size,
        max_epochs=work.settings.epochs,
        iterator_train__shuffle=True,
        train_split=predefined_split(work.valid),
        callbacks=[Rates(work)] if work.scheduled else None,
        verbose=0,
        **classes,
    )
    net.fit(work.train, None)
    return float(net.history[-1, "valid_loss"])


if __name__ == "__main__":
    compete(train)
