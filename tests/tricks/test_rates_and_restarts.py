"""Rules on settings of what happens around the step: rates that follow the batch, epochs in order."""

from __future__ import annotations

import math

import pytest

from ablate.recipe.settings import Choice, Settings
from ablate.registry import entries, lookup
from ablate.schedules import parse_schedule
from ablate.tricks.trick import NoEffect

SCALE_LR, RESTART, SWA = (lookup("trick", name).settings for name in ("scale_lr", "restart", "swa"))
SCHEDULES = [
    {"constant": 0.3},
    {"linear": [0.1, 0.01]},
    {"cosine": [0.1, 0.01]},
    {"polynomial": [0.1, 0.01], "power": 3},
    {"exponential": {"start": 0.1, "gamma": 0.9}},
    {"step": {"start": 0.1, "gamma": 0.5, "size": 3}},
    {"multistep": {"start": 0.1, "gamma": 0.5, "milestones": [3, "80%"]}},
    {"one_cycle": [0.01, 0.1, 0.001], "rise": "40%"},
    {"cosine_restarts": [0.1, 0.01], "period": "20%", "factor": 2},
    {"points": [[0, 0.1], ["50%", 0.2]]},
    {"formula": "0.1 * 0.95 ** epoch"},
    {"warmup": 2, "then": {"linear": [0.1, 0]}},
    {"warmup": 2, "then": 0.1},
]


def settings(name="sgd", tricks=(), batch_size=64, epochs=10, **options):
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "loss")}
    optimizer = Choice("optimizer", name, None, lookup("optimizer", name).settings(**options))
    made = tuple(Choice("trick", n, None, lookup("trick", n).settings(**fields)) for n, fields in tricks)
    return Settings(**choices, optimizer=optimizer, tricks=made, batch_size=batch_size, epochs=epochs)


def rate(settings):
    return settings.optimizer.options.lr


@pytest.mark.parametrize(
    ("batch", "tricks", "fields", "factor"),
    [
        (256, (), {}, 4),
        (16, (), {}, 0.25),
        (256, (), {"rule": "sqrt"}, 2),
        (32, (), {"base": 128}, 0.25),
        (32, (("accumulate", {"batches": 8}),), {}, 4),
    ],
)
def test_the_rate_follows_the_samples_of_a_step(batch, tricks, fields, factor):
    before = settings(lr=0.05, batch_size=batch, tricks=tricks)
    assert rate(SCALE_LR(**fields).on_settings(before)) == pytest.approx(0.05 * factor)
    assert rate(before) == 0.05


def test_all_rates_follow():
    groups = [{"match": "1d", "lr": 0.1}, {"match": "out*", "weight_decay": 0}]
    after = SCALE_LR().on_settings(settings("muon", lr={"linear": [0.2, 0]}, groups=groups, batch_size=128))
    named = after.optimizer.options
    assert named.lr.ends == (0.4, 0)
    assert named.adamw_lr == pytest.approx(6e-4)
    assert [group.lr for group in named.groups] == [0.2, None]


def test_nothing_to_scale_is_said():
    with pytest.raises(NoEffect, match=r"scale_lr has no effect: the batch size per step \(64\)"):
        SCALE_LR().on_settings(settings())
    own = settings(batch_size=128).replace(optimizer=Choice("optimizer", None, "mine:Optimizer", {}))
    with pytest.raises(ValueError, match=r"scale_lr requires optimizer\.lr, but optimizer \(=Optimizer\)"):
        SCALE_LR().on_settings(own)


@pytest.mark.parametrize("written", SCHEDULES, ids=lambda written: next(iter(written)))
def test_a_schedule_times_a_number(written):
    schedule = parse_schedule(written)
    larger = schedule.times(2.5)
    for step in range(40):
        assert larger.at_step(step, 10, 4) == pytest.approx(2.5 * schedule.at_step(step, 10, 4), rel=1e-12)
    assert parse_schedule(larger.dump()).dump() == larger.dump()


def test_every_schedule_can_be_multiplied():
    assert {next(iter(written)) for written in SCHEDULES} == {entry.name for entry in entries("schedule")}


@pytest.mark.parametrize(("at", "back"), [(5, 5), (3, 5), (10, 2), ("100%", "50%")])
def test_a_restart_needs_epochs_in_order(at, back):
    with pytest.raises(ValueError, match=r"restart\.at \(=\d+\) must be greater than restart\.from_epoch"):
        RESTART(at=at, from_epoch=back).on_settings(settings())
    assert RESTART().on_settings(settings()) == settings()


def test_a_restart_has_one_rate_for_one_rate():
    with pytest.raises(ValueError, match="lr cannot be combined with factor"):
        RESTART(lr=0.1, factor=0.1)
    with pytest.raises(
        ValueError, match=r"restart\.lr \(=0\.1\) would replace several learning rates .* Use restart\.factor"
    ):
        RESTART(lr=0.1).on_settings(settings(groups=[{"match": "1d", "lr": 0.1}]))
    assert RESTART(factor=0.1).on_settings(settings("muon"))


def test_swa_needs_epochs_to_average():
    with pytest.raises(NoEffect, match=r"swa\.start \(=10\) must be less than epochs \(=10\)"):
        SWA(start=10).on_settings(settings())
    assert math.isclose(SWA(lr=0.1).lr, 0.1)


@pytest.mark.parametrize(
    ("average", "kept"),
    [({"ema": {}}, True), ({"swa": {"start": 6}}, True), ({"swa": {"start": 3}}, False), ({"lookahead": {}}, False)],
)
def test_an_average_of_what_a_restart_throws_away_is_refused(average, kept):
    [(name, fields)] = average.items()
    given = settings(tricks=((name, fields), ("restart", {"at": 6, "from_epoch": 2})))
    restart = given.trick("restart").options
    if kept:
        assert restart.on_settings(given) is given
        return
    with pytest.raises(ValueError, match=rf"trick \(={name}\) averages weights that restart\.at \(=6\)"):
        restart.on_settings(given)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "normalise_targets"])
def test_columns_of_class_numbers_are_neither_mixed_nor_scaled(name):
    trick = lookup("trick", name).settings()
    loss = lookup("loss", "multi_task").settings

    def with_tasks(*tasks):
        made = loss.model_validate({"tasks": [{"loss": task, "outputs": 2} for task in tasks]})
        return settings().replace(loss=Choice("loss", "multi_task", None, made))

    numbers = with_tasks("mse", "bce")
    assert trick.on_settings(numbers) is numbers
    with pytest.raises(ValueError, match=rf"trick \(={name}\) requires regression targets or one class"):
        trick.on_settings(with_tasks("mse", "cross_entropy"))
