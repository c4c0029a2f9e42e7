"""Every optimizer that wraps torch's, over 100 steps of scheduled values in float64, against torch.optim called
directly.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.registry import lookup

STEPS = 100
LR = {"linear": [0.02, 0.001]}
MOMENTS = {"beta1": {"linear": [0.8, 0.95]}, "beta2": {"linear": [0.9, 0.999]}, "eps": 1e-6}

CASES = {
    "adagrad": ({"lr": LR, "lr_decay": 0.01, "initial_accumulator_value": 0.1, "weight_decay": 0.02, "eps": 1e-8}, {}),
    "adadelta": ({"lr": {"linear": [1.0, 0.5]}, "rho": {"linear": [0.8, 0.95]}, "weight_decay": 0.02, "eps": 1e-5}, {}),
    "rmsprop": ({"lr": LR, "alpha": {"linear": [0.9, 0.99]}, "weight_decay": {"linear": [0.01, 0.1]}}, {}),
    "rmsprop centred with momentum": (
        {"lr": LR, "momentum": {"linear": [0.5, 0.9]}, "centered": True, "eps": 1e-6},
        {"centered": True},
    ),
    "adamw": ({"lr": LR, **MOMENTS, "weight_decay": {"linear": [0.1, 0.5]}}, {}),
    "nadam": ({"lr": LR, **MOMENTS, "weight_decay": 0.02, "momentum_decay": 0.01}, {}),
    "nadam decoupled": (
        {"lr": LR, **MOMENTS, "weight_decay": 0.2, "decay": "decoupled"},
        {"decoupled_weight_decay": True},
    ),
    "radam": ({"lr": LR, **MOMENTS, "weight_decay": 0.02}, {}),
    "radam decoupled": (
        {"lr": LR, **MOMENTS, "weight_decay": 0.2, "decay": "decoupled"},
        {"decoupled_weight_decay": True},
    ),
    "adamax": ({"lr": LR, **MOMENTS, "weight_decay": 0.02}, {}),
}
TORCHS = {
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "rmsprop": torch.optim.RMSprop,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
}


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2)).double()


def gradients(model, step):
    draw = torch.Generator().manual_seed(step)
    inputs, targets = (torch.randn(16, n, generator=draw, dtype=torch.float64) for n in (5, 2))
    model.zero_grad()
    torch.nn.functional.mse_loss(model(inputs), targets).backward()


def run(model, settings, steps=STEPS):
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=steps, steps_per_epoch=1))
    set_values = value_setter(optimizer, settings, steps, 1)
    for step in range(steps):
        if set_values is not None:
            set_values(step)
        gradients(model, step)
        optimizer.step()
    return optimizer


def now(value, step):
    if not isinstance(value, dict):
        return value
    a, b = value["linear"]
    return a + (b - a) * step / (STEPS - 1)


def assert_equal(ours, theirs):
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_equals_torch_under_schedules(case):
    name = case.split()[0]
    fields, extra = CASES[case]
    ours, theirs = network(), network()
    run(ours, lookup("optimizer", name).settings(**fields))
    fixed = {key: value for key, value in fields.items() if key == "initial_accumulator_value"}
    optimizer = TORCHS[name](theirs.parameters(), lr=1.0, foreach=False, **fixed, **extra)
    for step in range(STEPS):
        values = {key: now(value, step) for key, value in fields.items() if key not in ("decay", "centered", *fixed)}
        if "beta1" in values:
            values["betas"] = (values.pop("beta1"), values.pop("beta2"))
        optimizer.param_groups[0].update(values)
        gradients(theirs, step)
        optimizer.step()
    assert_equal(ours, theirs)


def test_the_cases_cover_what_wraps_torch():
    assert {case.split()[0] for case in CASES} == set(TORCHS)


@pytest.mark.parametrize("name", TORCHS)
def test_a_state_is_read_back(name):
    settings = lookup("optimizer", name).settings()
    whole, parts = network(), network()
    optimizers = [settings.build(parameter_groups(settings, model.named_parameters())) for model in (whole, parts)]
    for step in range(8):
        if step == 4:
            saved = copy.deepcopy(optimizers[1].state_dict())
            optimizers[1] = settings.build(parameter_groups(settings, parts.named_parameters()))
            optimizers[1].load_state_dict(saved)
        for model, optimizer in zip((whole, parts), optimizers, strict=True):
            gradients(model, step)
            optimizer.step()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("centered", [False, True])
def test_rmsprops_momentum_may_begin_at_zero(centered):
    model = network()
    momentum = {"linear": [0, 0.9]}
    settings = lookup("optimizer", "rmsprop").settings(momentum=momentum, centered=centered, alpha=0.9)
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=STEPS, steps_per_epoch=1))
    set_values = value_setter(optimizer, settings, STEPS, 1)
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    squares, means, buffers = ([np.zeros_like(w) for w in weights] for _ in range(3))
    for step in range(STEPS):
        set_values(step)
        gradients(model, step)
        for i, parameter in enumerate(model.parameters()):
            gradient = parameter.grad.numpy()
            squares[i] = 0.9 * squares[i] + 0.1 * gradient**2
            means[i] = 0.9 * means[i] + 0.1 * gradient
            scaled = gradient / (np.sqrt(squares[i] - (means[i] ** 2 if centered else 0)) + 1e-8)
            # torch leaves the buffer alone while the momentum is 0
            buffers[i] = now(momentum, step) * buffers[i] + scaled if step else buffers[i]
            weights[i] -= 1e-3 * (buffers[i] if step else scaled)
        optimizer.step()
    for parameter, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-9, atol=1e-10)


# the forms of weight decay

SGD = lookup("optimizer", "sgd").settings
DECAY = {"linear": [0.05, 0.01]}


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("form", ["l2", "decoupled", "plain"])
def test_sgds_decay_equals_its_formula(form, inside):
    model = network()
    settings = SGD(lr=LR, momentum=0.9, weight_decay=DECAY, decay=form, rate_in_velocity=inside)
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=STEPS, steps_per_epoch=1))
    set_values = value_setter(optimizer, settings, STEPS, 1)
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    velocities = [np.zeros_like(w) for w in weights]
    for step in range(STEPS):
        set_values(step)
        gradients(model, step)
        rate, decay = now(LR, step), now(DECAY, step)
        for i, parameter in enumerate(model.parameters()):
            gradient = parameter.grad.numpy().copy()
            if form == "l2":
                gradient += decay * weights[i]
            else:
                weights[i] *= 1 - (rate * decay if form == "decoupled" else decay)
            velocities[i] = 0.9 * velocities[i] - gradient * (rate if inside else 1)
            weights[i] += velocities[i] * (1 if inside else rate)
        optimizer.step()
    for parameter, expected in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-11, atol=1e-12)


def test_l2_and_decoupled_decay_are_the_same_for_plain_sgd_and_not_for_adam():
    plain = [network(), network()]
    for model, form in zip(plain, ("l2", "decoupled"), strict=True):
        run(model, SGD(lr=0.05, momentum=0, weight_decay=0.1, decay=form))
    assert_equal(*plain)
    adams = [network(), network()]
    for model, name in zip(adams, ("adam", "adamw"), strict=True):
        run(model, lookup("optimizer", name).settings(lr=0.01, weight_decay=0.1))
    assert (adams[0][0].weight - adams[1][0].weight).abs().max() > 1e-3


@pytest.mark.parametrize("form", ["decoupled", "plain"])
def test_groups_have_their_own_decay_and_what_has_no_gradient_keeps_its_weights(form):
    model = network()
    settings = SGD(lr=0.1, weight_decay=0.1, decay=form, groups=[{"match": "1d", "weight_decay": 0}])
    optimizer = settings.build(parameter_groups(settings, model.named_parameters()))
    before = copy.deepcopy(model)
    model[0].weight.grad = torch.zeros_like(model[0].weight)
    model[0].bias.grad = torch.zeros_like(model[0].bias)
    optimizer.step()
    share = 0.01 if form == "decoupled" else 0.1
    torch.testing.assert_close(model[0].weight, before[0].weight * (1 - share))
    assert torch.equal(model[0].bias, before[0].bias)
    assert torch.equal(model[2].weight, before[2].weight)


def test_a_plain_decay_is_a_share():
    with pytest.raises(ValidationError, match=r"weight_decay under decay \(=plain\) must be at most 1\."):
        SGD(weight_decay=1.5, decay="plain")
    assert SGD(weight_decay=1.5, decay="decoupled").weight_decay == 1.5
