"""Schedules against torch's schedulers over 100 epochs; the values are read from the optimizer that a recipe's settings
build.
"""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.registry import entries, lookup
from ablate.schedules import Schedule, parse_schedule

EPOCHS, STEPS = 100, 3


def torch_rates(start, make, units):
    """The rate in a torch optimizer before each unit under a torch scheduler."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=start)
    scheduler = make(optimizer)
    rates = []
    for _ in range(units):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def our_values(key, **settings):
    """What stands in our optimizer's parameter group at each step of the training."""
    sgd = lookup("optimizer", "sgd").settings(**settings)
    optimizer = sgd.build(
        parameter_groups(sgd, [("w", torch.nn.Parameter(torch.zeros(2)))], epochs=EPOCHS, steps_per_epoch=STEPS)
    )
    set_values = value_setter(optimizer, sgd, EPOCHS, STEPS)
    assert set_values is not None
    values = []
    for step in range(EPOCHS * STEPS):
        set_values(step)
        values.append(optimizer.param_groups[0][key])
    return values


CASES = {
    "linear": (
        {"linear": [0.03, 0.0001]},
        0.03,
        lambda n: lambda o: torchs.LinearLR(o, 1.0, 0.0001 / 0.03, total_iters=n - 1),
    ),
    "cosine": (
        {"cosine": [0.1, 0.001]},
        0.1,
        lambda n: lambda o: torchs.CosineAnnealingLR(o, T_max=n - 1, eta_min=0.001),
    ),
    "exponential": (
        {"exponential": {"start": 0.1, "gamma": 0.97}},
        0.1,
        lambda n: lambda o: torchs.ExponentialLR(o, 0.97),
    ),
    "polynomial": (
        {"polynomial": [0.1, 0.0], "power": 0.9},
        0.1,
        lambda n: lambda o: torchs.PolynomialLR(o, total_iters=n - 1, power=0.9),
    ),
    "one_cycle": (
        {"one_cycle": [0.1 / 25, 0.1, 0.1 / 25e4]},
        0.1,
        lambda n: lambda o: torchs.OneCycleLR(o, 0.1, total_steps=n),
    ),
    "one_cycle with lines": (
        {"one_cycle": {"values": [0.01, 0.1, 0.001], "rise": "45%", "shape": "linear"}},
        0.1,
        lambda n: (
            lambda o: torchs.OneCycleLR(
                o, 0.1, total_steps=n, pct_start=0.45, anneal_strategy="linear", div_factor=10, final_div_factor=10
            )
        ),
    ),
    "formula": (
        {"formula": "0.1 * 0.5 + 0.05 * cos(pi * progress)"},
        0.1,
        lambda n: lambda o: torchs.CosineAnnealingLR(o, T_max=n - 1),
    ),
}


@pytest.mark.parametrize("per", ["epoch", "step"])
@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name, per):
    rule, start, make = CASES[name]
    units = EPOCHS if per == "epoch" else EPOCHS * STEPS
    expected = torch_rates(start, make(units), units)
    ours = our_values("lr", lr={**rule, "per": per})
    assert ours[:: STEPS if per == "epoch" else 1] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if per == "epoch":
        assert all(ours[i] == ours[i - i % STEPS] for i in range(len(ours)))


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_step_and_multistep_count_epochs_as_torch_does(per):
    # a drop at an epoch falls on that epoch's first step, whichever unit is counted
    step = our_values("lr", lr={"step": {"start": 0.1, "size": 30, "gamma": 0.1}, "per": per})
    assert step[::STEPS] == pytest.approx(torch_rates(0.1, lambda o: torchs.StepLR(o, 30, 0.1), EPOCHS))
    multistep = our_values("lr", lr={"multistep": {"start": 0.1, "milestones": [10, "80%"], "gamma": 0.5}, "per": per})
    assert multistep[::STEPS] == pytest.approx(torch_rates(0.1, lambda o: torchs.MultiStepLR(o, [10, 80], 0.5), EPOCHS))
    assert step[30 * STEPS - 1] == pytest.approx(0.1)
    assert step[30 * STEPS] == pytest.approx(0.01)


@pytest.mark.parametrize("per", ["epoch", "step"])
def test_warmup_equals_a_sequence_in_torch(per):
    unit = 1 if per == "epoch" else STEPS
    n, warm = EPOCHS * unit, 5 * unit

    def make(optimizer):
        rise = torchs.LinearLR(optimizer, 0.01, 1.0, total_iters=warm)
        fall = torchs.CosineAnnealingLR(optimizer, T_max=n - warm - 1, eta_min=0.001)
        return torchs.SequentialLR(optimizer, [rise, fall], [warm])

    ours = our_values("lr", lr={"warmup": 5, "start": 0.01, "then": {"cosine": [0.1, 0.001], "per": per}})
    with warnings.catch_warnings(action="ignore"):  # SequentialLR calls its parts in a way that it warns of itself
        expected = torch_rates(0.1, make, n)
    assert ours[:: STEPS // unit] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("factor", [1, 2])
def test_restarts_equal_torch_at_every_epoch_and_between(factor):
    rule = {"cosine_restarts": {"ends": [0.1, 0.001], "period": 7, "factor": factor}}

    def make(optimizer):
        return torchs.CosineAnnealingWarmRestarts(optimizer, T_0=7, T_mult=factor, eta_min=0.001)

    expected = torch_rates(0.1, make, EPOCHS)
    assert our_values("lr", lr={**rule, "per": "epoch"})[::STEPS] == pytest.approx(expected, rel=1e-9)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)
    between = []
    for step in range(EPOCHS * STEPS):
        scheduler.step(step / STEPS)  # as torch's documentation has it
        between.append(optimizer.param_groups[0]["lr"])
    ours = our_values("lr", lr=rule)
    # where torch's own division puts a restart a last bit away from ours, the two stand at the opposite ends of a jump
    agree = [a == pytest.approx(b, rel=1e-9) for a, b in zip(ours, between, strict=True)]
    assert sum(agree) >= len(agree) - 1


def test_one_cycles_momentum_is_torchs_own():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = torchs.OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * STEPS)
    expected = []
    for _ in range(EPOCHS * STEPS - 1):
        expected.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    ours = our_values("momentum", momentum={"one_cycle": [0.95, 0.85, 0.95]})
    assert ours[:-1] == pytest.approx(expected, rel=1e-9)
    assert ours[-1] == pytest.approx(0.95)


def test_a_rule_for_each_group_as_torchs_lambdas():
    weights = [("slow", torch.nn.Parameter(torch.zeros(2))), ("fast", torch.nn.Parameter(torch.zeros(2)))]
    settings = lookup("optimizer", "sgd").settings(
        lr={"formula": "0.1 * 0.95 ** epoch"},
        groups=[{"match": "slow", "lr": {"formula": "0.01 / (1 + epoch // 30)"}}],
    )
    ours = settings.build(parameter_groups(settings, weights, epochs=EPOCHS, steps_per_epoch=STEPS))
    set_values = value_setter(ours, settings, EPOCHS, STEPS)
    groups = [{"params": [weights[0][1]], "lr": 0.01}, {"params": [weights[1][1]], "lr": 0.1}]
    theirs = torch.optim.SGD(groups)
    scheduler = torchs.LambdaLR(theirs, [lambda epoch: 1 / (1 + epoch // 30), lambda epoch: 0.95**epoch])
    for epoch in range(EPOCHS):
        for step in range(STEPS):
            set_values(epoch * STEPS + step)
            assert [g["lr"] for g in ours.param_groups] == pytest.approx([g["lr"] for g in theirs.param_groups])
        theirs.step()
        scheduler.step()


def test_momentum_in_the_optimizer_follows_its_own_schedule():
    momentum = our_values("momentum", lr={"linear": [0.03, 0.0001]}, momentum={"linear": [0.9, 0.999], "per": "epoch"})
    assert momentum[0] == pytest.approx(0.9)
    assert momentum[-1] == pytest.approx(0.999)
    assert momentum[STEPS] == pytest.approx(0.9 + 0.099 / 99)


RULES = [
    {"constant": 0.3},
    {"linear": [0.03, 0.0001]},
    {"cosine": [0.0, 0.5]},
    {"exponential": {"start": 0.1, "gamma": 0.9}},
    {"exponential": {"start": 0.1, "gamma": 1.1}},
    {"exponential": {"start": -0.1, "gamma": 1.1}},
    {"step": {"start": 0.1, "size": 7, "gamma": 0.5}},
    {"multistep": {"start": 0.1, "milestones": [3, "50%"], "gamma": 0.1}},
    {"points": [[0, 0.1], ["50%", 0.7], [90, 0.2]]},
    {"points": [[0, 0.1], ["50%", 0.7]], "stairs": True},
    {"warmup": 5, "then": {"cosine": [0.5, 0.2]}},
    {"warmup": "10%", "then": 0.5, "start": 0.0},
    {"polynomial": [0.1, 0.5]},
    {"polynomial": [0.5, 0.1], "power": 3},
    {"one_cycle": [0.95, 0.85, 0.9]},
    {"one_cycle": [0.1, 0.5, 0.0], "rise": 0},
    {"one_cycle": [0.1, 0.5, 0.0], "rise": "100%", "shape": "linear"},
    {"cosine_restarts": [0.5, 0.1], "period": 7, "factor": 1.5},
    {"cosine_restarts": [0.1, 0.5], "period": "30%"},
    {"formula": "min(0.1, 0.9 ** epoch) + progress / epochs"},
    {"warmup": 3, "then": {"formula": "0.1 * 0.95 ** epoch"}},
]


@pytest.mark.parametrize("per", ["epoch", "step"])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: next(iter(rule)))
def test_extremes_bound_the_values(rule, per):
    if "then" in rule and isinstance(rule["then"], dict):
        rule = {**rule, "then": {**rule["then"], "per": per}}
    schedule = parse_schedule({**rule, "per": per})
    assert isinstance(schedule, Schedule)
    low, high = min(schedule.extremes()), max(schedule.extremes())
    values = [schedule.at_step(i, EPOCHS, STEPS) for i in range(EPOCHS * STEPS)]
    assert low - 1e-12 <= min(values)
    assert max(values) <= high + 1e-12


@pytest.mark.parametrize("rise", [0, 1, "100%"])
def test_one_cycle_of_one_unit_is_its_peak(rise):
    schedule = parse_schedule({"one_cycle": [0.1, 0.5, 0.0], "rise": rise, "per": "epoch"})
    assert schedule.at_step(0, 1, 3) == 0.5


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"one_cycle": [0.1, 0.2]},
         "must have more than 2 values in 'one_cycle' (a start, a peak and an end value, such as [0.004, 0.1, 1e-6])."),
        ({"one_cycle": [1, 2, 3, 4]},
         "must have at most 3 values in 'one_cycle' (a start, a peak and an end value, such as [0.004, 0.1, 1e-6]), but has 4."),
        ({"one_cycle": 0.1}, "one_cycle (=0.1) must be a list (a start, a peak and an end value, such as [0.004, 0.1, 1e-6])."),
        ({"cosine_restarts": [1, 0]},
         "requires 'cosine_restarts.period' (epochs, steps or fraction of all epochs, until the first restart)."),
        ({"cosine_restarts": [1, 0], "period": 0}, "cosine_restarts.period (=0) must be more than 0 epochs."),
        ({"step": {"start": 1, "size": "0%", "gamma": 0.1}}, "step.size (=0%) must be more than 0 epochs."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_what_is_asked_for(rule, line):
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        parse_schedule(rule)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: next(iter(rule)))
def test_a_schedule_is_read_back_from_what_it_writes(rule):
    schedule = parse_schedule(rule)
    assert parse_schedule(schedule.dump()) == schedule


def test_every_schedule_of_the_registry_is_in_the_tables():
    assert {entry.name for entry in entries("schedule")} <= {key for rule in RULES for key in rule}
