"""Every optimizer of the registry brings a convex problem and a small network well below their start; in a stack each
replica goes its own way.
"""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, mse_loss

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.optimizers.steps.rate_per_seed import take_rates
from ablate.registry import entries, lookup

SETTINGS: dict[str, dict] = {
    "adadelta": {"lr": 1.0, "eps": 1e-3},
    "adagrad": {"lr": 0.3},
    "adam": {"lr": {"linear": [0.05, 0.001]}},
    "adamax": {"lr": {"linear": [0.05, 0.001]}},
    "adamw": {"lr": {"linear": [0.05, 0.001]}, "weight_decay": 0.001},
    "adasecant": {},
    "muon": {"lr": {"linear": [0.1, 0.001]}, "adamw_lr": {"linear": [0.02, 0.001]}, "output": "muon"},
    "nadam": {"lr": {"linear": [0.05, 0.001]}},
    "radam": {"lr": {"linear": [0.05, 0.001]}},
    "rmsprop": {"lr": {"linear": [0.02, 0.0002]}},
    "sgd": {"lr": 0.1},
    "vsgd": {},
}
"""Settings with which each is tried: those that find their rate have none."""

every_optimizer = pytest.mark.parametrize("name", list(SETTINGS))


def build(name, named_parameters, steps, **facts):
    settings = lookup("optimizer", name).settings(**SETTINGS[name])
    groups = parameter_groups(settings, named_parameters, epochs=steps, steps_per_epoch=1, **facts)
    optimizer = settings.build_stacked(groups) if facts.get("stacked") else settings.build(groups)
    return optimizer, value_setter(optimizer, settings, steps, 1) or (lambda step: None)


def train(name, model, loss, steps):
    """Train a model; ``loss(model, step)``. Returns all losses."""
    optimizer, set_values = build(name, model.named_parameters(), steps)
    losses = []
    for step in range(steps):
        set_values(step)
        model.zero_grad()
        value = loss(model, step)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def test_every_optimizer_is_tried():
    assert {*SETTINGS, "several"} == {entry.name for entry in entries("optimizer")}


@every_optimizer
def test_a_convex_problem(name):
    # least squares with known solution; curvatures from 0.1 to 4, each batch of 64 drawn anew
    torch.manual_seed(0)
    truth = torch.randn(3, 6, dtype=torch.float64)
    scales = torch.linspace(0.3, 2, 6, dtype=torch.float64)
    draw = torch.Generator().manual_seed(1)
    model = nn.Linear(6, 3, bias=True).double()

    def loss(model, step):
        inputs = torch.randn(64, 6, generator=draw, dtype=torch.float64) * scales
        return mse_loss(model(inputs), inputs @ truth.T + 1)

    losses = train(name, model, loss, 400)
    assert losses[-1] < 0.02 * losses[0]


def digits():
    data = load_digits()
    return torch.tensor(data.data[:600] / 16.0), torch.tensor(data.target[:600])


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10)).double()


@every_optimizer
def test_a_small_network(name):
    inputs, targets = digits()

    def loss(model, step):
        rows = torch.randperm(600, generator=torch.Generator().manual_seed(step))[:50]
        return cross_entropy(model(inputs[rows]), targets[rows])

    losses = train(name, network(), loss, 200)
    assert sum(losses[-10:]) < 0.25 * sum(losses[:10])


@every_optimizer
def test_a_stack_equals_its_replicas_alone(name):
    inputs, targets = digits()
    models = [network(seed) for seed in range(3)]
    names = [key for key, _ in models[0].named_parameters()]
    stack = {key: torch.stack([model.get_parameter(key).detach() for model in models]) for key in names}
    stack = {key: nn.Parameter(value) for key, value in stack.items()}
    steps = 40

    def rows(replica, step):
        return torch.randperm(600, generator=torch.Generator().manual_seed(1000 * replica + step))[:30]

    optimizer, set_values = build(name, stack.items(), steps, stacked=True)
    template = copy.deepcopy(models[0])
    for step in range(steps):
        set_values(step)
        optimizer.zero_grad()
        for i in range(3):
            batch = rows(i, step)
            predicted = functional_call(template, {key: value[i] for key, value in stack.items()}, inputs[batch])
            cross_entropy(predicted, targets[batch]).backward()
        optimizer.step()

    for i, model in enumerate(models):
        train(name, model, lambda m, step, i=i: cross_entropy(m(inputs[rows(i, step)]), targets[rows(i, step)]), steps)
        for key in names:
            torch.testing.assert_close(stack[key][i], model.get_parameter(key), rtol=1e-9, atol=1e-10)


@every_optimizer
def test_every_seed_of_a_stack_may_have_its_own_rate(name):
    # as a plateau trick sets it: a tensor (R,) in the place of the number
    inputs, targets = digits()
    models = [network(seed) for seed in range(3)]
    keys = [key for key, _ in models[0].named_parameters()]
    stack = {k: nn.Parameter(torch.stack([m.get_parameter(k).detach() for m in models])) for k in keys}
    together, _ = build(name, stack.items(), 1, stacked=True)
    take_rates(together)
    alone = [build(name, model.named_parameters(), 1)[0] for model in models]
    for place, group in enumerate(together.param_groups):
        rates = group["lr"] * torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)
        group["lr"] = rates
        for i, optimizer in enumerate(alone):
            optimizer.param_groups[place]["lr"] = rates[i].item()
    for step in range(30):
        batch = slice(10 * step, 10 * step + 50)
        for model in models:
            model.zero_grad()
            cross_entropy(model(inputs[batch]), targets[batch]).backward()
        for key, parameter in stack.items():
            parameter.grad = torch.stack([model.get_parameter(key).grad for model in models])
        for optimizer in (together, *alone):
            optimizer.step()
    for i, model in enumerate(models):
        for key in keys:
            torch.testing.assert_close(stack[key][i], model.get_parameter(key), rtol=1e-9, atol=1e-10)


@every_optimizer
def test_what_has_no_gradient_stays_and_a_state_is_read_back(name):
    inputs, targets = digits()
    whole, parts = network(), network()
    built = [build(name, model.named_parameters(), 60)[0] for model in (whole, parts)]
    for step in range(60):
        if step == 35:  # later than any slow start, and in the middle of a window
            saved = copy.deepcopy(built[1].state_dict())
            built[1] = build(name, parts.named_parameters(), 60)[0]
            built[1].load_state_dict(saved)
        for model, optimizer in zip((whole, parts), built, strict=True):
            model.zero_grad()
            cross_entropy(model(inputs[step : step + 50]), targets[step : step + 50]).backward()
            model[2].bias.grad = None
            optimizer.step()
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(whole[2].bias, network()[2].bias)


@every_optimizer
def test_its_state_can_be_kept_in_a_file(name, tmp_path):
    inputs, targets = digits()
    model = network()
    optimizer, _ = build(name, model.named_parameters(), 1)
    for _ in range(12):
        cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True).keys() == {"state", "param_groups"}
