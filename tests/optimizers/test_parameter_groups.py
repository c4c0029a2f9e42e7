"""Which parameter belongs to which group, and with which values; read from torch's param_groups."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.registry import lookup

SGD = lookup("optimizer", "sgd").settings


@pytest.fixture
def model():
    layers = {
        "conv1": torch.nn.Conv2d(1, 4, 3),
        "norm1": torch.nn.BatchNorm2d(4),
        "flatten": torch.nn.Flatten(),
        "output": torch.nn.Linear(16, 2),
    }
    return torch.nn.Sequential(OrderedDict(layers))


def built(settings, model, **facts):
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), **facts))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return optimizer, [{names[id(p)] for p in group["params"]} for group in optimizer.param_groups]


def test_one_group_without_patterns(model):
    optimizer, members = built(SGD(lr=0.1), model)
    assert members == [{name for name, _ in model.named_parameters()}]
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_the_first_pattern_that_matches_takes_the_parameter(model):
    groups = [{"match": "conv1.*", "lr": 0.001}, {"match": "1d", "weight_decay": 0}]
    optimizer, members = built(SGD(lr=0.1, weight_decay=0.5, groups=groups), model)
    assert members == [{"conv1.weight", "conv1.bias"}, {"norm1.weight", "norm1.bias", "output.bias"}, {"output.weight"}]
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [(0.001, 0.5), (0.1, 0.0), (0.1, 0.5)]


def test_every_parameter_is_in_one_group_also_when_the_rest_is_empty(model):
    _, members = built(SGD(groups=[{"match": "*", "lr": 0.5}]), model)
    assert members == [{name for name, _ in model.named_parameters()}]


def test_biases_of_a_stack_have_two_axes(model):
    stack = [(name, torch.nn.Parameter(p.detach().expand(3, *p.shape).clone())) for name, p in model.named_parameters()]
    settings = SGD(groups=[{"match": "1d", "weight_decay": 0}])
    groups = parameter_groups(settings, stack, stacked=True)
    names = {id(parameter): name for name, parameter in stack}
    assert {names[id(p)] for p in groups[0]["params"]} == {"conv1.bias", "norm1.weight", "norm1.bias", "output.bias"}


@pytest.mark.parametrize("groups", [[{"match": "cov1.*"}], [{"match": "*"}, {"match": "*.bias"}]])
def test_a_pattern_that_takes_nothing_is_an_error(model, groups):
    with pytest.raises(
        ValueError, match=r"^optimizer\.groups\.\d\.match \(=\S+\) matches no remaining parameters"
    ) as error:
        built(SGD(groups=groups), model)
    assert "\n" not in str(error.value)


def test_each_group_follows_its_own_schedule(model):
    settings = SGD(
        lr={"linear": [1.0, 0.5]},
        groups=[{"match": "conv1.*", "lr": {"linear": [0.1, 0.2]}}, {"match": "1d", "lr": 0.7}],
    )
    optimizer, _ = built(settings, model, epochs=11, steps_per_epoch=1)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.1, 0.7, 1.0])
    set_values = value_setter(optimizer, settings, 11, 1)
    set_values(5)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.15, 0.7, 0.75])
    set_values(0)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.1, 0.7, 1.0])


def test_nothing_scheduled_sets_nothing(model):
    settings = SGD(groups=[{"match": "1d", "lr": 0.5}])
    optimizer, _ = built(settings, model)
    assert value_setter(optimizer, settings, 10, 10) is None


def test_a_value_without_a_schedule_is_left_to_others(model):
    settings = SGD(lr=0.1, momentum={"linear": [0.5, 0.9]})
    optimizer, _ = built(settings, model)
    optimizer.param_groups[0]["lr"] = 0.01  # as a plateau rule does
    value_setter(optimizer, settings, 10, 10)(99)
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.9)


def test_a_frozen_parameter_can_thaw(model):
    model.conv1.weight.requires_grad_(False)
    optimizer, members = built(SGD(lr=0.1), model)
    assert "conv1.weight" in members[0]
    frozen = model.conv1.weight.detach().clone()

    def step():
        optimizer.zero_grad()
        model(torch.ones(2, 1, 4, 4)).sum().backward()
        optimizer.step()

    step()
    assert torch.equal(model.conv1.weight, frozen)
    model.conv1.weight.requires_grad_(True)
    step()
    assert not torch.equal(model.conv1.weight, frozen)
