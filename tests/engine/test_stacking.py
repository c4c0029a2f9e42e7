"""When seeds stack by themselves, and what a plan is told of networks that cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.engine.compute_cost import known_size, work_of_network, work_of_settings
from ablate.engine.dry_run import stack_reason
from ablate.engine.stack_width import GAINS, WIDTHS, in_stacks, stack_cost, stack_width
from ablate.engine.training import train
from ablate.recipe.settings import Choice

SHAPE = (1, 8, 8)


@pytest.fixture
def mlp(settings, make_choice):
    def make(*hidden, **fields):
        return settings(model=make_choice("model", "mlp", hidden=list(hidden)), batch_size=64, **fields)

    return make


def test_what_the_recipe_says_counts(mlp):
    assert stack_width(mlp(100, stack="off"), 5, input_shape=SHAPE) == 1
    assert stack_width(mlp(100, stack=3), 5, input_shape=SHAPE) == 3
    assert stack_width(mlp(100, stack=8), 5, input_shape=SHAPE) == 5
    assert stack_width(mlp(2000, 2000, stack=4), 5, input_shape=SHAPE) == 4
    with pytest.raises(ValueError, match="stack"):
        mlp(100, stack=0)


def test_small_networks_stack_and_large_ones_do_not(mlp, settings, make_choice):
    assert stack_width(mlp(100), 5, input_shape=SHAPE) == 5
    assert stack_width(mlp(100), 20, input_shape=SHAPE) == 20
    assert stack_width(mlp(2000, 2000), 5, input_shape=SHAPE) == 1
    convnet = settings(model=make_choice("model", "convnet"), batch_size=128)
    assert stack_width(convnet, 5, input_shape=SHAPE) == 5
    assert stack_width(convnet, 5, input_shape=(3, 96, 96)) == 1
    # on a GPU one seed leaves room for others
    assert stack_width(convnet, 5, "cuda:0", input_shape=(3, 96, 96)) == 5
    unknown = settings(model=Choice("model", None, "mine:Net", {}))
    assert stack_width(unknown, 5, input_shape=SHAPE) == 1
    assert stack_width(unknown, 5, work=0.3) == 5
    assert stack_width(unknown, 5, work=100.0) == 1


def test_a_stack_must_fit_into_memory(mlp):
    assert stack_width(mlp(100), 5, input_shape=SHAPE, parameters=10**6) == 5
    assert stack_width(mlp(100), 5, input_shape=SHAPE, parameters=10**12) == 1


def test_costs_are_those_that_were_measured(mlp):
    for kind, rows in GAINS.items():
        assert [work for work, _ in rows] == sorted(work for work, _ in rows), kind
        assert all(len(gains) == len(WIDTHS) for _, gains in rows), kind
    own = mlp(100)
    for width, gain in zip(WIDTHS, GAINS["mlp"][0][1], strict=True):
        assert stack_cost(own, width, work=GAINS["mlp"][0][0]) == pytest.approx(width / gain)
    assert stack_cost(own, 1, input_shape=SHAPE) == 1
    costs = [stack_cost(own, width, input_shape=SHAPE) for width in range(1, 21)]
    assert costs == sorted(costs)


def test_work_is_counted(mlp, settings, pictures):
    chosen = settings()
    assert work_of_settings(chosen, SHAPE) == pytest.approx(16 * (6 * 6 * 4 * 9 + 36 * 16) / 1e6)
    network = chosen.model.options.build(SHAPE, 3)
    assert work_of_network(network, pictures.spec, 16) == pytest.approx(16 * (6 * 6 * 4 * 9 + 36 * 16 + 16 * 3) / 1e6)
    assert all(not parameter.is_meta for parameter in network.parameters())
    assert known_size(chosen, pictures.spec, Path())[1] == sum(p.numel() for p in network.parameters())
    lost = settings(model=Choice("model", None, "no_such_module:Net", {}))
    assert known_size(lost, pictures.spec, Path()) == (None, None)


def test_auto_stacks_what_pays(mlp, pictures, assign, report):
    from dataclasses import replace

    for hidden, stacks in (((16,), [[0, 1, 2, 3, 4]]), ((1500, 1500), [[0], [1], [2], [3], [4]])):
        train(replace(assign(mlp(*hidden, epochs=1)), seeds=(0, 1, 2, 3, 4)), pictures, report)
        assert report.facts.stack == stacks


def test_stacks_are_even():
    assert in_stacks(range(5), 3) == [(0, 1, 2), (3, 4)]
    assert in_stacks(range(5), 5) == [(0, 1, 2, 3, 4)]
    assert in_stacks((7, 8), 1) == [(7,), (8,)]
    assert in_stacks(range(10), 4) == [(0, 1, 2, 3), (4, 5, 6), (7, 8, 9)]


def test_the_choice_needs_no_torch():
    code = "import sys, ablate.engine.stack_width; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_plan_hears_why_a_network_does_not_stack(settings, make_choice, pictures, tmp_path):
    (tmp_path / "for_the_plan.py").write_text(
        """
from torch import nn
from ablate import Trick

class Lstm(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, outputs)
    def forward(self, x):
        return self.out(self.lstm(x[:, 0])[0][:, -1])

def tokens(outputs):
    return nn.Sequential(nn.Flatten(), nn.Embedding(10, 4), nn.Flatten(), nn.Linear(256, outputs))

class Alone(Trick):
    stacks = "it counts the seeds"
"""
    )

    def reason(**fields):
        return stack_reason(settings(**fields), tmp_path, pictures.spec)

    dropout = make_choice("trick", "dropout", hidden=0.5)
    batch_norm = make_choice("model", "convnet", channels=[4], hidden=[16], batch_norm=True)
    assert reason(model=batch_norm, tricks=(dropout,)) is None
    default = make_choice("init", "default")
    own = {"init": default, "model": Choice("model", None, "for_the_plan:Lstm", {})}
    assert "aten::lstm" in reason(**own)
    # what takes no random numbers is left to the job
    assert reason(init=default, model=Choice("model", None, "for_the_plan:tokens", {})) is None
    assert "counts the seeds" in reason(tricks=(Choice("trick", None, "for_the_plan:Alone", {}),))
