"""What checks look at: values against an independent computation, and that checks leave no trace."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from torch import nn

from ablate.checks.data import InputScale, TargetScale
from ablate.checks.first_step import last_operation, uninformed
from ablate.checks.leaks import between_classes
from ablate.checks.shared.activations import pooled_field, seen_activations, share_of
from ablate.checks.shared.probe import NotJudged, Probe
from ablate.checks.shared.trainings import constant_loss, drill_of, memory_of
from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.contract import Assignment
from ablate.models.receptive_field import receptive_field
from ablate.planning.preflight import checks_of
from ablate.recipe import Recipe

RECIPE = """
study: probe
data: {name: digits, limit: 600}
baseline:
  model: %s
  loss: cross_entropy
  optimizer: {name: sgd, lr: %s}
  batch_size: 32
  epochs: 4
  add: [%s]
"""

MLP = "{name: mlp, hidden: [16]}"


def probe(folder: Path, *, model: str = MLP, lr: str = "0.1", tricks: str = "", seconds: float = 20.0) -> Probe:
    """A probe of a small training on digits."""
    path = folder / "recipe.yaml"
    path.write_text(RECIPE % (model, lr, tricks))
    settings = Recipe.load(path).variants[0].settings
    from ablate.data.load import load_parts

    return Probe(Assignment(settings, (0,), folder), load_parts(settings.data, folder), seconds)


def test_no_check_leaves_a_trace(tmp_path):
    made = probe(
        tmp_path, model="{name: convnet, channels: [4], hidden: [16]}", tricks="batch_norm, dropout: 0.2, shift"
    )
    state = {name: one.clone() for name, one in made.network.state_dict().items()}
    modes = [layer.training for layer in made.network.modules()]
    generators = [one.get_state() for noise in made.assembly.streams.values() for one in noise.generators]
    torchs, numpys, pythons = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    data = made.data.train.inputs.clone()
    checks = checks_of((), tmp_path)
    assert len(checks) >= 23
    for check in checks.values():
        list(check.look(made))
    assert all(torch.equal(one, state[name]) for name, one in made.network.state_dict().items())
    assert modes == [layer.training for layer in made.network.modules()]
    assert all(one.grad is None for one in made.network.parameters())
    now = [one.get_state() for noise in made.assembly.streams.values() for one in noise.generators]
    assert all(map(torch.equal, generators, now))
    assert torch.equal(torchs, torch.get_rng_state())
    assert np.array_equal(numpys, np.random.get_state()[1])
    assert pythons == random.getstate()
    assert torch.equal(data, made.data.train.inputs)


def test_the_uninformed_loss_of_classes_is_the_logarithm_of_their_number(tmp_path):
    made = probe(tmp_path)
    assert uninformed(made) == pytest.approx(math.log(10))
    counts = np.bincount(made.batch.targets.numpy(), minlength=10)
    assert constant_loss(made, made.batch) == pytest.approx(entropy(counts / counts.sum()))


def test_the_first_loss_is_that_of_plain_torch(tmp_path):
    made = probe(tmp_path)
    x, y = made.batch.inputs, made.batch.targets
    assert len(x) == 64
    expected = nn.functional.cross_entropy(made.network(x), y)
    names = dict(made.network.named_parameters())
    gradients = dict(zip(names, torch.autograd.grad(expected, list(names.values())), strict=True))
    assert float(made.first.loss) == pytest.approx(float(expected))
    for name in gradients:
        torch.testing.assert_close(made.gradients[name], gradients[name])


def test_memorizing_is_adam_on_32_samples(tmp_path):
    made = probe(tmp_path)
    batch = made.samples(32)
    with made.restored():
        found = made.learned(batch, rate=0.01, steps=3)
    optimizer = torch.optim.Adam(made.network.parameters(), lr=0.01)
    for loss in found:
        expected = nn.functional.cross_entropy(made.network(batch.inputs), batch.targets)
        assert loss == pytest.approx(float(expected), rel=1e-5)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
    assert len(found) == 4


def test_the_ratio_of_step_to_weights_is_that_of_plain_sgd(tmp_path):
    """The ratio of the first step is lr·‖g‖/‖w‖, the median over layers."""
    made = probe(tmp_path, lr="1e-4")
    drill = drill_of(made, 1)
    fixed = made.samples(64)
    loss = nn.functional.cross_entropy(made.network(fixed.inputs[:32]), fixed.targets[:32])
    weights = [one for one in made.network.parameters() if one.dim() == 2]
    gradients = torch.autograd.grad(loss, weights)
    ratios = [float(1e-4 * one.norm() / weight.norm()) for one, weight in zip(gradients, weights, strict=True)]
    assert drill.steps == 1
    assert drill.rate == pytest.approx(1e-4)
    assert drill.ratio == pytest.approx(float(np.median(ratios)), rel=0.02)


def test_a_schedule_is_run_through_in_the_steps(tmp_path):
    made = probe(tmp_path, lr="{linear: [0, 0.25]}")
    assert drill_of(made, 10).rate == pytest.approx(0.25)


def test_a_training_ends_when_its_time_is_over(tmp_path):
    made = probe(tmp_path, seconds=1e-9)
    for _ in range(2):
        with pytest.raises(NotJudged, match="of 300 steps in 1e-09 s"):
            memory_of(made)


def test_the_receptive_field_by_gradients_is_that_of_the_layers(tmp_path):
    made = probe(tmp_path, model="{name: resnet, channels: [4], blocks: 1}")
    field, size = pooled_field(made)
    assert size == [8, 8]
    assert tuple(field) == tuple(min(one, 8) for one in receptive_field(made.network))
    assert pooled_field(probe(tmp_path, model="{name: convnet, channels: [4], hidden: []}")) is None


def test_activations_are_counted_layer_by_layer(tmp_path):
    made = probe(tmp_path)
    with torch.no_grad():
        made.network[1].bias[:12] = -100.0
    (one,) = seen_activations(made)
    assert (one.kind, one.share) == ("relu", pytest.approx(12 / 16, abs=0.07))
    values = torch.tensor([[0.0, 0.995, -0.999, 0.5]])
    assert share_of("tanh", values) == 0.5
    assert share_of("sigmoid", values.abs()) == 0.75


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.softmax(dim=1), "SoftmaxBackward0"),
        (lambda x: x.log_softmax(dim=1)[:, None].squeeze(1), "LogSoftmaxBackward0"),
        (lambda x: x.sigmoid().view(10, 3), "SigmoidBackward0"),
        (lambda x: x.softmax(dim=1).T, "SoftmaxBackward0"),
        (lambda x: 2 * x.softmax(dim=1), "MulBackward0"),
    ],
)
def test_the_last_operation_is_that_before_reshaping(function, name):
    assert last_operation(function(torch.randn(3, 10, requires_grad=True))) == name


def test_explained_variance_is_that_of_an_analysis_of_variance():
    from sklearn.linear_model import LinearRegression

    generator = np.random.default_rng(0)
    classes, columns = generator.integers(0, 3, 90), generator.normal(size=(90, 2))
    columns[:, 1] += classes
    hot = np.eye(3)[classes]
    expected = [LinearRegression().fit(hot, column).score(hot, column) for column in columns.T]
    found = between_classes(torch.from_numpy(columns), torch.from_numpy(classes))
    assert found.tolist() == pytest.approx(expected)


def test_thresholds_are_inclusive_limits(tmp_path):
    """A column with exactly the largest mean is no finding; a little more is one."""

    class Given:
        spec = Spec((2,), 1, "regression")
        loss_name = "mse"

        def __init__(self, values):
            self.batch = self.samples(0, values)
            self.data = Parts(Part(), Part(), self.spec)

        def samples(self, count, values=None):
            if values is not None:
                self.kept = Part(values, values[:, :1])
            return self.kept

    values = torch.tensor([[9.0, 0.0], [11.0, 1.0]])
    assert list(InputScale(mean=10.0).look(Given(values))) == []
    (found,) = InputScale(mean=9.9).look(Given(values))
    assert "0 has mean 10" in found.seen.replace("column ", "")
    (found,) = TargetScale(high=1.0).look(Given(values))
    assert found.seen == f"standard deviation {values[:, 0].std():.3g}, mean 10"
