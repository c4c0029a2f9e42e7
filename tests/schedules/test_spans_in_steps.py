"""Durations of schedules in optimizer steps: their values, next to those in percent and in epochs."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler as torchs

from ablate.recipe import Recipe, RecipeError, fingerprint
from ablate.recipe.recipe import advice_of
from ablate.schedules import parse_schedule

PER_EPOCH, N = 7, 30
"""A training that ends in the middle of its fifth epoch."""


def values(schedule):
    read = parse_schedule(schedule)
    return [read.at_step(step, N / PER_EPOCH, PER_EPOCH) for step in range(N)]


def cosine(a, b, share):
    return b + (a - b) * (1 + math.cos(math.pi * share)) / 2


def warmed(length):
    up = [0.2 * (0.01 + 0.99 * step / length) for step in range(length)]
    rest = N - length
    return up + [0.2 * (1 - step / (rest - 1)) for step in range(rest)]


EXPECTED = [
    ({"warmup": "10 steps", "then": {"linear": [0.2, 0]}}, warmed(10)),
    ({"warmup": "1 step", "then": {"linear": [0.2, 0]}}, warmed(1)),
    ({"warmup": "0 steps", "then": {"linear": [0.2, 0]}}, warmed(0)),
    ({"warmup": "10%", "then": {"linear": [0.2, 0]}}, warmed(3)),
    ({"warmup": "5 %", "then": {"linear": [0.2, 0]}}, warmed(2)),
    ({"warmup": 2, "then": {"linear": [0.2, 0]}}, warmed(14)),
    (
        {"step": {"start": 1, "size": "4 steps", "gamma": 0.5}, "per": "step"},
        [0.5 ** (step // 4) for step in range(N)],
    ),
    (
        {"multistep": {"start": 1, "milestones": ["9 steps", "50%", 3], "gamma": 0.5}, "per": "step"},
        [0.5 ** ((step >= 9) + (step >= 15) + (step >= 21)) for step in range(N)],
    ),
    ({"points": [["0 steps", 0.1], ["20 steps", 0.5]]}, [0.1 + 0.4 * min(step, 20) / 20 for step in range(N)]),
    (
        {"cosine_restarts": {"ends": [0.1, 0], "period": "9 steps"}},
        [cosine(0.1, 0, step % 9 / 9) for step in range(N)],
    ),
    (
        {"one_cycle": {"values": [0.1, 1, 0], "rise": "11 steps", "shape": "linear"}},
        [0.1 + 0.9 * step / 10 if step <= 10 else 1 - (step - 10) / 19 for step in range(N)],
    ),
]


@pytest.mark.parametrize(("schedule", "expected"), EXPECTED, ids=[str(schedule) for schedule, _ in EXPECTED])
def test_a_duration_has_its_number_of_steps(schedule, expected):
    assert values(schedule) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    read = parse_schedule(schedule)
    assert parse_schedule(read.dump()) == read


def test_a_warmup_of_steps_is_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.2)
    first = torchs.LinearLR(optimizer, 0.01, 1.0, total_iters=10)
    second = torchs.CosineAnnealingLR(optimizer, T_max=N - 11)
    scheduler = torchs.SequentialLR(optimizer, [first, second], milestones=[10])
    rates = []
    for _ in range(N):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert values({"warmup": "10 steps", "then": {"cosine": [0.2, 0]}}) == pytest.approx(rates, abs=1e-12)


TEXT = "data: digits\nbaseline: {{model: mlp, loss: cross_entropy, optimizer: {{name: sgd, lr: {lr}}}}}\nvariants: []\n"


def load(tmp_path, lr, **options):
    (tmp_path / "r.yaml").write_text(TEXT.format(lr=lr))
    return Recipe.load(tmp_path / "r.yaml", **options)


def test_scale_multiplies_steps(tmp_path):
    recipe = load(tmp_path, "{warmup: 501 steps, then: 0.1}", scale=0.1)
    assert recipe.variants[0].settings.optimizer.dump()["lr"]["warmup"] == "51 steps"


def test_a_schedule_in_epochs_keeps_its_fingerprint(tmp_path):
    lr = "{warmup: 2, then: {one_cycle: {values: [0.01, 0.1, 0], rise: 3}}}"
    assert (
        fingerprint(load(tmp_path, lr).variants[0].settings, 0, folder=tmp_path) == "a0e9c185f23b7fea993a2c6948ea459f"
    )


def test_advice_counts_steps(tmp_path):
    recipe = load(tmp_path, "{step: {start: 1, size: 100 steps, gamma: 0.1}, per: step}")
    assert "step: gamma (=0.1) reduces the value to a millionth or less after 600 steps" in advice_of(recipe)[0]
    assert advice_of(load(tmp_path, "{step: {start: 1, size: 900 steps, gamma: 0.1}, per: step}")) == []


@pytest.mark.parametrize(
    ("lr", "message"),
    [
        (
            "{step: {start: 1, size: 5 steps, gamma: 0.1}}",
            r"step has size \(=5 steps\), which requires per: step\. Set",
        ),
        ("{warmup: 5 steps, then: 0.1, per: epoch}", r"has warmup \(=5 steps\), which requires per: step"),
        ("{warmup: 5 steps, then: {exponential: {start: 1, gamma: 0.9}}}", r"has warmup \(=5 steps\), which requires"),
        ("{step: {start: 1, size: 0 steps, gamma: 0.1}, per: step}", r"must be more than 0 epochs"),
        (
            "{warmup: 5 stepps, then: 0.1}",
            r"must be a number of epochs \(200\), of steps \(500 steps\) or a percentage",
        ),
        ("{points: [[9 steps, 1], [5 steps, 0]]}", r"must be in ascending order of time"),
        ("{multistep: {start: 1, milestones: [9 steps, 5 steps], gamma: 0.1}, per: step}", r"ascending order"),
    ],
)
def test_wrong_steps_are_told(tmp_path, lr, message):
    with pytest.raises(RecipeError, match=message) as error:
        load(tmp_path, lr)
    assert len(str(error.value).splitlines()) == 1
