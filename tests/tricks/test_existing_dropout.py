"""The trick ``dropout`` changes the dropout that a network has: like the same network with other probabilities."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.layers.dropout import replace_dropout
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.tricks.trick import Context, NoEffect

NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, outputs, p=0.5, q=0.5):
        super().__init__()
        self.conv, self.drop2d = nn.Conv2d(1, 6, 3), nn.Dropout2d(p)
        self.hidden, self.drop, self.out = nn.Linear(216, 16), nn.Dropout(q), nn.Linear(16, outputs)
    def forward(self, x):
        x = self.drop2d(self.conv(x).relu()).flatten(1)
        return self.out(self.drop(self.hidden(x).relu()))
"""


def choice(kind, name, **options):
    return Choice(kind, name, None, lookup(kind, name).settings.model_validate(options))


@pytest.fixture
def losses(tmp_path: Path, heard):
    """The losses of a training of `Net`, by seed and epoch."""
    (tmp_path / "nets_with_dropout.py").write_text(NETS)
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.rand(40, 1, 8, 8, generator=generator), torch.arange(40) % 3
    data = Parts(Part(inputs, targets), Part(inputs, targets), Spec((1, 8, 8), 3, "classification"))

    def run(*tricks, seeds=(0,), **options):
        settings = Settings(
            data=choice("data", "digits"),
            model=Choice("model", None, "nets_with_dropout:Net", options),
            init=choice("init", "default"),
            loss=choice("loss", "cross_entropy"),
            optimizer=choice("optimizer", "sgd", lr=0.05),
            tricks=tricks,
            batch_size=16,
            epochs=3,
            stack=len(seeds),
        )
        report = heard()
        train(Assignment(settings, seeds, tmp_path), data, report)
        assert report.facts.stack == [list(seeds)]
        return [[line["train_loss"] for line in lines] for lines in report.lines.values()]

    return run


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["alone", "stacked"])
@pytest.mark.parametrize("p", [0, 0.2])
def test_like_a_network_with_other_probabilities(losses, p, seeds):
    changed = losses(choice("trick", "dropout", existing=p), seeds=seeds)
    assert changed == losses(seeds=seeds, p=p, q=p)
    assert changed != losses(seeds=seeds)


def test_a_schedule_in_a_stack(losses):
    trick = choice("trick", "dropout", existing={"points": [[0, 0.5], [1, 0]], "stairs": True})
    stacked = losses(trick, seeds=(0, 1))
    assert stacked[1] == pytest.approx(losses(trick, seeds=(1,))[0], rel=1e-5)
    plain = losses(seeds=(0, 1))
    assert [epochs[0] for epochs in stacked] == [epochs[0] for epochs in plain]
    assert stacked[0][1:] != plain[0][1:]


def put(model, **fields):
    trick = lookup("trick", "dropout").settings(**fields)
    trick.bind(Context(Spec((4,), 2, "regression"), (0,), 10, 1))
    replace_dropout(model)
    return trick.on_model(model)


def test_dropout_of_every_kind_changes_and_only_that():
    model = nn.ModuleDict(
        {
            "layer": nn.TransformerEncoderLayer(8, 2, 8, dropout=0.3),
            "lstm": nn.LSTM(4, 4, num_layers=2, dropout=0.2),
            "without": nn.GRU(4, 4),
            "alpha": nn.AlphaDropout(0.2),
            "rrelu": nn.RReLU(),
            "already": nn.Dropout(0.1),
        }
    )
    _, changed = put(model, existing=0.1)
    assert changed == [
        *("layer.self_attn", "layer.dropout", "layer.dropout1", "layer.dropout2"),
        *("lstm", "alpha"),
    ]
    layer = model["layer"]
    assert [layer.self_attn.dropout, layer.dropout.p, layer.dropout2.p, model["lstm"].dropout] == [0.1] * 4
    assert [model["alpha"].p, model["without"].dropout, model["rrelu"].p] == [0.1, 0, 0]


def test_new_layers_can_be_added_at_the_same_time():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    _, changed = put(model, existing=0.1, hidden=0.3)
    assert changed == ["2", "0_dropout"]
    assert [layer.present() for layer in model if hasattr(layer, "present")] == [0.3, 0.1]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), "no dropout layers of its own"),
        (nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.25)), r"dropout.existing \(=0.25\)"),
    ],
)
def test_nothing_to_change_is_no_effect(model, why):
    with pytest.raises(NoEffect, match=why):
        put(model, existing=0.25)


def test_a_schedule_needs_a_layer_that_can_follow_it():
    with pytest.raises(ValueError, match=r"dropout.existing \(=.*linear.*\) must be a number.* 0 \(=LSTM\)") as error:
        put(nn.Sequential(nn.LSTM(4, 4, num_layers=2, dropout=0.2)), existing={"linear": [0, 0.5]})
    assert "\n" not in str(error.value)
