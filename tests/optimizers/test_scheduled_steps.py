"""Optimizers over 100 steps of scheduled values against torch's and against the formulas in NumPy, in float64."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.registry import lookup

STEPS = 100
SGD, ADAM = (lookup("optimizer", name).settings for name in ("sgd", "adam"))
SCHEDULED = {
    "lr": {"linear": [0.03, 0.0001]},
    "momentum": {"linear": [0.9, 0.999]},
    "weight_decay": {"linear": [0.01, 0.1]},
}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)).double()


def train(model, settings, *, steps=STEPS):
    """Train on fixed data with our settings; returns the values that stood in the optimizer's group at each step, with
    parameters and gradients.
    """
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=steps, steps_per_epoch=1))
    set_values = value_setter(optimizer, settings, steps, 1)
    seen = []
    for step in range(steps):
        if set_values is not None:
            set_values(step)
        group = {key: value for key, value in optimizer.param_groups[0].items() if key != "params"}
        gradients(model, step)
        before = [(p.detach().numpy().copy(), p.grad.numpy().copy()) for p in model.parameters()]
        optimizer.step()
        seen.append((group, before))
    return seen


def gradients(model, step):
    draw = torch.Generator().manual_seed(step)
    inputs, targets = (torch.randn(16, n, generator=draw, dtype=torch.float64) for n in (5, 2))
    model.zero_grad()
    torch.nn.functional.mse_loss(model(inputs), targets).backward()


def assert_equal(ours, theirs):
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], rtol=1e-12, atol=1e-12)


def linear(ends, step):
    return ends[0] + (ends[1] - ends[0]) * step / (STEPS - 1)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_equals_torch_under_schedules(nesterov):
    ours, theirs = network(), network()
    train(ours, SGD(**SCHEDULED, nesterov=nesterov))
    optimizer = torch.optim.SGD(
        theirs.parameters(), lr=1.0, momentum=0.5, nesterov=nesterov, fused=False, foreach=False
    )
    for step in range(STEPS):
        optimizer.param_groups[0].update({key: linear(value["linear"], step) for key, value in SCHEDULED.items()})
        gradients(theirs, step)
        optimizer.step()
    assert_equal(ours, theirs)


def test_adam_equals_torch_under_schedules():
    ours, theirs = network(), network()
    scheduled = {"lr": {"linear": [0.01, 0.0001]}, "beta1": {"linear": [0.8, 0.95]}, "beta2": {"linear": [0.9, 0.999]}}
    train(ours, ADAM(**scheduled, weight_decay=0.01, eps=1e-6))
    optimizer = torch.optim.Adam(theirs.parameters(), eps=1e-6, weight_decay=0.01, fused=False, foreach=False)
    for step in range(STEPS):
        now = {key: linear(value["linear"], step) for key, value in scheduled.items()}
        optimizer.param_groups[0].update(lr=now["lr"], betas=(now["beta1"], now["beta2"]))
        gradients(theirs, step)
        optimizer.step()
    assert_equal(ours, theirs)


@pytest.mark.parametrize("nesterov", [False, True])
def test_rate_in_velocity_equals_the_formula(nesterov):
    model = network()
    seen = train(model, SGD(**SCHEDULED, nesterov=nesterov, rate_in_velocity=True))
    weights = [value.copy() for value, _ in seen[0][1]]
    velocities = [np.zeros_like(value) for value in weights]
    for step, (_, before) in enumerate(seen):
        rate, momentum, decay = (linear(SCHEDULED[key]["linear"], step) for key in ("lr", "momentum", "weight_decay"))
        for i, (_, gradient) in enumerate(before):
            gradient = gradient + decay * weights[i]
            velocities[i] = momentum * velocities[i] - rate * gradient
            weights[i] = weights[i] + (momentum * velocities[i] - rate * gradient if nesterov else velocities[i])
    for ours, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_the_two_momentum_forms_agree_at_rest_and_differ_under_a_schedule():
    at_rest = [network(), network()]
    for model, inside in zip(at_rest, (False, True), strict=True):
        train(model, SGD(lr=0.01, nesterov=True, rate_in_velocity=inside))
    assert_equal(*at_rest)
    moving = [network(), network()]
    for model, inside in zip(moving, (False, True), strict=True):
        train(model, SGD(lr={"linear": [0.03, 0.0001]}, nesterov=True, rate_in_velocity=inside))
    assert (moving[0][0].weight - moving[1][0].weight).abs().max() > 1e-5


@pytest.mark.parametrize("inside", [False, True])
def test_the_optimizer_holds_the_scheduled_values(inside):
    seen = train(network(), SGD(**SCHEDULED, rate_in_velocity=inside))
    for key, value in SCHEDULED.items():
        assert [group[key] for group, _ in seen] == pytest.approx([linear(value["linear"], i) for i in range(STEPS)])


def test_adams_betas_in_the_optimizer_follow_their_schedule():
    seen = train(network(), ADAM(beta1={"linear": [0.5, 0.9]}))
    assert [group["betas"][0] for group, _ in seen] == pytest.approx([linear([0.5, 0.9], i) for i in range(STEPS)])
    assert {group["betas"][1] for group, _ in seen} == {0.999}
    assert {group["lr"] for group, _ in seen} == {3e-4}


def test_nesterov_works_where_the_momentum_begins_at_zero():
    ours, theirs = network(), network()
    train(ours, SGD(lr=0.01, momentum={"linear": [0, 0.9]}, nesterov=True), steps=2)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    for step, momentum in enumerate((0.0, 0.9)):
        optimizer.param_groups[0]["momentum"] = momentum
        gradients(theirs, step)
        optimizer.step()
    assert_equal(ours, theirs)


@pytest.mark.parametrize(
    "settings", [SGD(nesterov=True), SGD(rate_in_velocity=True), ADAM()], ids=["sgd", "velocity", "adam"]
)
def test_a_resumed_optimizer_goes_on_as_if_nothing_happened(settings):
    whole, parts = network(), network()
    optimizers = [settings.build(parameter_groups(settings, model.named_parameters())) for model in (whole, parts)]
    for step in range(10):
        if step == 5:
            saved = copy.deepcopy(optimizers[1].state_dict())
            optimizers[1] = settings.build(parameter_groups(settings, parts.named_parameters()))
            optimizers[1].load_state_dict(saved)
        for model, optimizer in zip((whole, parts), optimizers, strict=True):
            gradients(model, step)
            optimizer.step()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("settings", [SGD(rate_in_velocity=True), SGD(), ADAM()], ids=["velocity", "sgd", "adam"])
def test_a_parameter_without_a_gradient_stays(settings):
    model = network()
    before = model[2].bias.detach().clone()
    optimizer = settings.build(parameter_groups(settings, model.named_parameters()))
    gradients(model, 0)
    model[2].bias.grad = None
    optimizer.step()
    assert torch.equal(model[2].bias, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lr": 0}, "greater than 0"),
        ({"lr": {"linear": [0.1, -0.1]}}, "at least 0"),
        ({"momentum": 1.0}, "less than 1"),
        ({"momentum": {"linear": [0.9, 1.0]}}, "less than 1"),
        ({"momentum": 0.0, "nesterov": True}, "momentum above 0"),
        ({"weight_decay": -1}, "at least 0"),
    ],
)
def test_values_out_of_range_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        SGD(**fields)


def test_a_momentum_schedule_may_come_close_to_one():
    assert SGD(momentum={"linear": [0.9, 0.999]}).momentum.extremes() == (0.9, 0.999)
