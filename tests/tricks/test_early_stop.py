"""Early stopping: when it stops which seed, what it leaves in the settings, and its state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.tricks.trick import Context

EARLY_STOP = lookup("trick", "early_stop").settings
SPEC = Spec((4,), 2, "classification")


def bound(*, seeds=(0,), epochs=100, monitor="valid_loss", better="lower", **fields):
    trick = EARLY_STOP(**fields)
    trick.bind(Context(SPEC, seeds, epochs, 1, monitor=monitor, better=better))
    return trick


def stops_at(trick, *curves, metric="valid_loss"):
    """The epoch (from 1) after which each seed is told to stop, None where it never is."""
    curves = np.array(curves, dtype=float)
    first = [None] * len(curves)
    for epoch in range(1, curves.shape[1] + 1):
        stop = trick.on_epoch(epoch, {metric: curves[:, epoch - 1]})
        assert stop.shape == (len(curves),)
        for i in np.flatnonzero(stop):
            first[i] = first[i] or epoch
        assert all(stop[i] for i, when in enumerate(first) if when), "a seed that stopped has to stay stopped"
    return first


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["alone", "stack"])
@pytest.mark.parametrize(("start", "restore"), [(0, True), (3, True), (5, True), (3, False)])
def test_epochs_before_its_start_are_not_the_best(seeds, start, restore, heard):
    """The validation loss rises from the first epoch on, because the training classes are noise."""
    draw = torch.Generator().manual_seed(0)
    parts = [Part(torch.randn(20, 4, generator=draw), torch.randint(0, 2, (20,), generator=draw)) for _ in range(2)]

    def chosen(kind, name, **fields):
        return Choice(kind, name, None, lookup(kind, name).settings(**fields))

    stop = chosen("trick", "early_stop", patience=50, start=start, restore_best=restore)
    choices = {"data": chosen("data", "digits"), "model": chosen("model", "mlp", hidden=[32])}
    choices |= {"init": chosen("init", "he_normal"), "loss": chosen("loss", "cross_entropy")}
    choices |= {"optimizer": chosen("optimizer", "adam", lr=0.05), "tricks": (stop,)}
    settings = stop.options.on_settings(Settings(**choices, epochs=5, batch_size=10, select="best"))
    report = heard()
    train(Assignment(settings, seeds, Path()), Parts(*parts, SPEC), report)
    for i in range(len(seeds)):
        curve = [line["valid_loss"] for line in report.lines[i]]
        ignored = start if restore else 0
        assert int(np.argmin(curve)) < 3, "the test has no point"
        best = ignored + int(np.argmin(curve[ignored:])) + 1 if ignored < 5 else None
        outcome = report.outcomes[i]
        assert (outcome.best_epoch, outcome.selected_epoch) == (best, best)
        assert outcome.results["selected"]["valid_loss"] == curve[(best or 5) - 1]


def test_it_stops_after_patience_epochs_without_improvement():
    assert stops_at(bound(patience=3), [5, 4, 3, 3, 3, 3, 3, 1]) == [6]
    assert stops_at(bound(patience=3), [5, 4, 3, 3, 3, 2, 3, 3]) == [None]
    assert stops_at(bound(patience=1), [5, 6]) == [2]


def test_each_seed_stops_by_itself():
    trick = bound(seeds=(0, 1, 2), patience=2)
    assert stops_at(trick, [3, 2, 2, 2, 9], [9, 8, 7, 6, 5], [1, 2, 0.5, 3, 4]) == [4, None, 5]


def test_improvement_must_exceed_min_delta():
    falling = [1.0, 0.95, 0.9, 0.85, 0.8, 0.75]
    assert stops_at(bound(patience=2, min_delta=0.2), falling) == [3]
    assert stops_at(bound(patience=4, min_delta=0.12), falling) == [None]


def test_higher_can_be_better():
    trick = bound(patience=2, monitor="accuracy", better="higher")
    assert stops_at(trick, [0.1, 0.5, 0.6, 0.6, 0.5], metric="accuracy") == [5]


def test_no_number_is_no_improvement():
    assert stops_at(bound(patience=2), [1, np.nan, np.nan, 0.5]) == [3]


def test_patience_may_be_a_share_of_the_epochs():
    assert stops_at(bound(patience="5%", epochs=60), [1, 2, 2, 2, 2]) == [4]
    assert stops_at(bound(epochs=20), [1, 2, 2, 2, 2]) == [3]
    assert stops_at(bound(patience=0), [1, 0.9, 2]) == [3]


def test_the_scale_of_a_recipe_multiplies_a_count():
    trick = EARLY_STOP.model_validate({"patience": 200}, context={"scale": 0.01})
    assert trick.patience.of(1000) == 2


def test_rows_report_the_best_epoch():
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    settings = Settings(**choices)
    assert settings.select == "last"
    assert EARLY_STOP().on_settings(settings).select == "best"


def test_only_what_beats_the_baseline_counts():
    assert stops_at(bound(patience=3, baseline=2.0), [5, 4, 3, 2.5, 1]) == [3]
    assert stops_at(bound(patience=3, baseline=2.0), [5, 4, 1.9, 2, 2, 2, 2]) == [6]
    rising = bound(patience=2, baseline=0.5, monitor="accuracy", better="higher")
    assert stops_at(rising, [0.1, 0.4, 0.9], [0.1, 0.6, 0.7], metric="accuracy") == [2, None]


def test_epochs_before_the_start_are_not_watched():
    assert stops_at(bound(patience=2, start=3), [1, 5, 5, 4, 4, 4]) == [6]
    assert stops_at(bound(patience=2, start="50%", epochs=8), [1, 5, 5, 5, 4, 4, 4]) == [7]


def test_a_seed_that_is_good_enough_stops_at_once():
    assert stops_at(bound(seeds=(0, 1), patience=3, goal=2.0), [5, 4, 2, 9, 9], [5, 4, 3, 2.5, 2.1]) == [3, None]
    rising = bound(patience=3, goal=0.9, monitor="accuracy", better="higher")
    assert stops_at(rising, [0.1, 0.9, 0.2], metric="accuracy") == [2]


def test_a_monitor_of_its_own_is_watched_and_decides_which_epoch_is_the_best():
    own = {"metric": "accuracy", "better": "higher"}
    trick = EARLY_STOP(patience=2, monitor=own)
    trick.bind(Context(SPEC, (0,), 100, 1))
    losses, accuracies = [5, 4, 3, 2, 1], [0.1, 0.5, 0.5, 0.4, 0.9]
    stops = [
        bool(trick.on_epoch(i, {"valid_loss": np.array([loss]), "accuracy": np.array([accuracy])})[0])
        for i, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]
    assert stops == [False, False, False, True, True]
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    assert trick.on_settings(Settings(**choices)).monitor.model_dump() == own


def test_the_settings_stay_where_the_best_is_not_restored():
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    settings = Settings(**choices)
    trick = EARLY_STOP(restore_best=False, monitor={"metric": "train_loss"})
    assert trick.on_settings(settings) == settings


def test_a_resumed_trick_stops_at_the_same_epoch():
    curve = [5, 4, 4, 4.5, 4, 4, 3, 3]
    trick = bound(patience=4)
    for epoch in range(1, 4):
        trick.on_epoch(epoch, {"valid_loss": np.array([curve[epoch - 1]])})
    resumed = bound(patience=4)
    resumed.restore(trick.state())
    stops = [bool(resumed.on_epoch(epoch, {"valid_loss": np.array([curve[epoch - 1]])})[0]) for epoch in range(4, 9)]
    assert stops == [False, False, True, True, True]


def test_a_metric_that_is_not_measured_is_said():
    with pytest.raises(
        ValueError, match=r"early_stop\.monitor\.metric \(=dice\) must be one of train_loss, valid_loss"
    ):
        bound(monitor="dice").on_epoch(1, {"train_loss": np.ones(1), "valid_loss": np.ones(1)})


@pytest.mark.parametrize("fields", [{"patience": -1}, {"patience": "120%"}, {"min_delta": -0.1}])
def test_ranges(fields):
    with pytest.raises(ValidationError):
        EARLY_STOP(**fields)
