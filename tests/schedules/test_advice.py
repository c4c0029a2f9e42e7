"""Advice on schedules that are likely a slip, and none on those that are not."""

from __future__ import annotations

import pytest

from ablate.registry import lookup
from ablate.schedules import parse_schedule
from ablate.schedules.schedule import advice_on

SLIPS = [
    ({"exponential": {"start": 0.1, "gamma": 0.01}}, "exponential: gamma (=0.01) reduces the value to a millionth or less after 3 epochs."),
    ({"exponential": {"start": 0.1, "gamma": 0.97}, "per": "step"}, "gamma (=0.97) reduces the value to a millionth or less after 454 steps."),
    ({"exponential": {"start": 0.1, "gamma": 2}}, "gamma (=2) increases the value a million-fold after 20 epochs."),
    ({"exponential": {"start": 0.1, "gamma": 1}}, "exponential: gamma (=1) never changes the value."),
    ({"step": {"start": 0.1, "size": 2, "gamma": 0.1}}, "step: gamma (=0.1) reduces the value to a millionth or less after 12 epochs."),
    ({"step": {"start": 0.1, "size": "1%", "gamma": 0.1}}, "reduces the value to a millionth or less after 6% of the training."),
    (
        {"multistep": {"start": 0.1, "milestones": [10, 20, "80%"], "gamma": 0.001}},
        "multistep: gamma (=0.001) reduces the value to a millionth or less after 2 of its 3 milestones.",
    ),
    ({"warmup": 5, "then": {"exponential": {"start": 0.1, "gamma": 0.01}}}, "after 3 epochs."),
    ({"formula": "0.1 * 2"}, "none of step, epoch, progress, epochs."),
]  # fmt: skip

SOUND = [
    {"exponential": {"start": 0.1, "gamma": 0.95}},
    {"exponential": {"start": 0.1, "gamma": 0.9999}, "per": "step"},
    {"exponential": {"start": 0.1, "gamma": 1.1}},
    {"step": {"start": 0.1, "size": 30, "gamma": 0.1}},
    {"step": {"start": 0.1, "size": "10%", "gamma": 0.1}},
    {"multistep": {"start": 0.1, "milestones": [10, 20, "80%"], "gamma": 0.1}},
    {"warmup": 5, "then": 0.1},
    {"linear": [0.1, 0]},
    {"one_cycle": [0.01, 0.1, 0]},
    {"formula": "0.1 * 0.95 ** epoch"},
]


@pytest.mark.parametrize(("rule", "expected"), SLIPS)
def test_a_slip_is_told_with_what_comes_of_it(rule, expected):
    schedule = parse_schedule(rule)
    advice = schedule.advice()
    assert advice.endswith(expected)
    assert "\n" not in advice


@pytest.mark.parametrize("rule", SOUND)
def test_a_sound_schedule_gets_none(rule):
    assert parse_schedule(rule).advice() is None


def test_the_advice_is_true():
    # what is said to be left after so many epochs is a millionth or less, and more than that one epoch before
    schedule = parse_schedule({"exponential": {"start": 0.1, "gamma": 0.2}})
    assert "after 9 epochs" in schedule.advice()
    values = [schedule.at_step(i, 20, 1) for i in range(20)]
    assert values[9] <= 0.1 * 1e-6 < values[8]


def test_it_is_found_in_groups_of_an_optimizer_and_in_lists_of_a_trick():
    slip = {"exponential": {"start": 0.1, "gamma": 0.01}}
    sgd = lookup("optimizer", "sgd").settings(momentum=slip, groups=[{"match": "a"}, {"match": "b", "lr": slip}])
    assert [path for path, _ in advice_on(sgd)] == ["groups.1.lr", "momentum"]
    dropout = lookup("trick", "dropout").settings(conv=[0.1, slip])
    assert [path for path, _ in advice_on(dropout)] == ["conv.1"]
