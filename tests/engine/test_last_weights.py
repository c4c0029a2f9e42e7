"""The weights that a row keeps are those that it was judged by: weights that two layers share, and seeds that stop
where a restart would begin.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ablate.engine.assembly import assemble
from ablate.engine.evaluation import evaluation_weights
from ablate.engine.training import train, train_epoch
from ablate.recipe.settings import Choice
from ablate.tricks.trick import Trick

NETWORK = f"{__name__}:Tied"


class Tied(nn.Module):
    """Two layers that share one weight, as language models share that of their first and last layer."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, outputs)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(torch.relu(self.second(torch.relu(self.first(x.flatten(1))))))


@pytest.fixture
def network(monkeypatch):
    """A model of the user's own whose target is this file, whatever name the tests give it."""
    monkeypatch.setattr(Choice, "resolve", lambda self, folder: Tied)
    return Choice("model", None, NETWORK, {})


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", ["ema", "swa", "lookahead"])
def test_an_average_of_a_weight_that_two_layers_share_is_what_is_judged(
    settings, make_choice, assign, pictures, network, name, seeds
):
    options = {"ema": {"decay": 0.9}, "swa": {"start": 0, "every": "step"}, "lookahead": {"steps": 4}}[name]
    chosen = settings(
        tricks=(make_choice("trick", name, **options),),
        model=network,
        init=make_choice("init", "default"),
        precision="float64",
        stack=len(seeds),
    )
    assembly = assemble(replace(assign(chosen), seeds=seeds), pictures)
    assembly.between_epochs(0)
    train_epoch(assembly, 1)
    average = assembly.tricks[0].evaluation_weights()
    live = {key: value.clone() for key, value in assembly.replicas.state().items()}
    with evaluation_weights(assembly):
        inside = {key: value.clone() for key, value in assembly.replicas.state().items()}
    assert not torch.equal(average["first.weight"], live["first.weight"])
    for key in ("first.weight", "second.weight"):
        assert torch.equal(inside[key], average["first.weight"])
    assert all(torch.equal(value, live[key]) for key, value in assembly.replicas.state().items())


def test_weights_that_the_network_has_not_are_refused(settings, assign, pictures):
    class Odd(Trick):
        stacked = True

        def evaluation_weights(self):
            return {"nowhere.weight": torch.zeros(3)}

    assembly = assemble(assign(settings()), pictures)
    assembly.judged = Odd()
    with (
        pytest.raises(ValueError, match=r"evaluation weights \(=nowhere.weight\) "),
        evaluation_weights(assembly),
    ):
        pass


def test_a_seed_that_stops_where_a_restart_would_begin_keeps_what_it_was_judged_by(
    settings, make_choice, assign, pictures, report
):
    # any valid loss is good enough, from epoch 3 on
    stop = make_choice("trick", "early_stop", patience=1, goal=1e9, start=2, restore_best=False)
    restart = make_choice("trick", "restart", at=3, from_epoch=1)
    [outcome] = train(assign(settings(tricks=(stop, restart), epochs=6)), pictures, report)
    assert outcome.epoch == 3
    assembly = assemble(assign(settings(epochs=6)), pictures)
    assembly.network.load_state_dict(report.kept["last"])
    with torch.no_grad():
        loss = cross_entropy(assembly.network.eval()(pictures.valid.inputs), pictures.valid.targets)
    assert float(loss) == pytest.approx(outcome.results["last"]["valid_loss"], rel=1e-5)


def test_tricks_change_nothing_after_the_last_epoch(settings, make_choice, assign, pictures, report):
    called = []

    class Spoils(Trick):
        stacked = True

        def between_epochs(self, epoch, weights, optimizer):
            called.append(epoch)

        def on_epoch(self, epoch, metrics):
            return np.zeros(1, dtype=bool)

    chosen = settings(tricks=(Choice("trick", "spoils", None, Spoils()),))
    train(assign(chosen), pictures, report)
    assert called == [0, 1, 2]
