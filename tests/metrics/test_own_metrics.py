"""Metrics by target that have a state, as torchmetrics has them, or that use the network."""

from __future__ import annotations

import pytest
import torch

from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.replicas import CannotStack
from ablate.engine.training import train
from ablate.recipe import Recipe

CODE = """
import torch

class Share:
    '''In the style of torchmetrics: a state that grows.'''
    def __init__(self, top=1):
        self.top = top
        self.reset()
    def reset(self):
        self.right = self.seen = 0
    def update(self, prediction, target):
        self.right += (prediction.topk(self.top, dim=1).indices == target[:, None]).any(1).sum().item()
        self.seen += len(target)
    def compute(self):
        return self.right / self.seen

class Once:
    '''Without reset.'''
    values = ()
    def update(self, prediction, target):
        self.values = (*self.values, (prediction.argmax(1) == target).double().mean())
    def compute(self):
        return sum(self.values)

class Size:
    def __call__(self, prediction, target, network):
        return size_of_weights(prediction, target, network)

def size_of_weights(prediction, target, network):
    return sum(p.detach().abs().sum() for p in network.parameters())
"""

RECIPE = """
study: own
data: digits
seeds: 3
baseline:
  name: base
  model: {name: mlp, hidden: [6]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.05}
  epochs: 3
  metrics: [accuracy, %s]
"""


@pytest.fixture
def trained(tmp_path, heard):
    (tmp_path / "own_metrics_code.py").write_text(CODE)

    def run(metrics, seeds):
        (tmp_path / "r.yaml").write_text(RECIPE % metrics)
        settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
        report = heard()
        assignment = Assignment(settings, seeds, tmp_path)
        train(assignment, load_parts(settings.data, tmp_path), report)
        return report

    return run


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("name", ["Share", "Once"])
def test_a_metric_with_a_state_begins_anew_each_time(trained, name, seeds):
    report = trained(f"{{target: 'own_metrics_code:{name}'}}", seeds)
    for place in range(len(seeds)):
        assert len(report.lines[place]) == 3
        for line in report.lines[place]:
            assert line[name] == pytest.approx(line["accuracy"], rel=1e-6)


def test_a_metric_can_use_the_network(trained, tmp_path):
    metric = "{target: 'own_metrics_code:size_of_weights'}"
    report = trained(metric, (1,))
    last = report.kept[0, "last"]
    assert report.lines[0][-1]["size_of_weights"] == pytest.approx(sum(v.abs().sum().item() for v in last.values()))
    assert len({line["size_of_weights"] for line in report.lines[0]}) == 3
    settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
    with pytest.raises(CannotStack, match="uses the network"):
        assemble(Assignment(settings, (0, 1), tmp_path), load_parts(settings.data, tmp_path))


@pytest.mark.parametrize("name", ["Size", "size_of_weights"])
def test_each_seed_of_a_job_is_measured_on_its_own_network(trained, name):
    report = trained(f"{{target: 'own_metrics_code:{name}'}}", (0, 1))
    for place in (0, 1):
        size = sum(v.abs().sum().item() for v in report.kept[place, "last"].values())
        assert report.lines[place][-1][name] == pytest.approx(size)


def test_both_metrics_of_two_classes_differ():
    """The test above could not tell a state that is kept, if it were constant."""
    metric = {}
    exec(CODE, metric)
    once = metric["Once"]()
    for _ in range(2):
        once.update(torch.eye(3), torch.arange(3))
    assert once.compute() == 2
