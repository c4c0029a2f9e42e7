from __future__ import annotations

from functools import partial

import pytest

from ablate.cli.progress_state import ProgressState, spoken
from ablate.execution.events import EpochEnded, RunEnded, RunStarted


def play(rows, events):
    """Events as (second, variant, seed, event, epoch or None, further facts)."""
    advance = ProgressState(rows)
    for now, variant, seed, event, epoch, *more in events:
        facts = {"variant": variant, "seed": seed, "epochs": 10, **(more[0] if more else {})}
        made = {"started": RunStarted, "epoch": partial(EpochEnded, epoch=epoch)}
        ended = partial(RunEnded, status=event, epoch=epoch)
        advance.take(made.get(event, ended)(**facts), float(now))
    return advance


def test_counts_runs_and_epochs():
    advance = play(
        [("a", 2, 10), ("b", 1, 10)],
        [
            (0, "a", 0, "started", None),
            (1, "a", 0, "epoch", 1),
            (4, "a", 0, "epoch", 4, {"train_loss": 0.5, "valid_loss": 0.7}),
        ],
    )
    row = advance.rows["a"]
    assert (advance.done, advance.planned) == (0, 3)
    assert (row.behind, row.work, row.slowest.epoch, row.loss("train_loss")) == (4, 20, 4, 0.5)


def test_how_long_a_run_is_may_be_known_only_when_it_starts():
    events = [(0, "a", 0, "started", None), (1, "a", 0, "epoch", 5), (2, "a", 0, "epoch", 10, {"at": {"epoch": 9.9}})]
    row = play([("a", 2, 0)], events).rows["a"]
    assert (row.work, row.behind) == (20, 9.9)


def test_time_left_is_what_is_to_do_at_the_pace_so_far():
    advance = play(
        [("a", 1, 10), ("b", 1, 10)],
        [(100, "a", 0, "started", None), (101, "a", 0, "epoch", 1), (104, "a", 0, "epoch", 4)],
    )
    assert advance.left(104.0) == pytest.approx(16.0)


def test_there_is_no_time_left_to_tell_before_an_epoch_is_over():
    assert ProgressState([("a", 1, 10)]).left(5.0) is None
    assert play([("a", 1, 10)], [(0, "a", 0, "started", None)]).left(5.0) is None


def test_epochs_of_another_day_make_no_pace():
    advance = play(
        [("a", 1, 400)],
        [(0, "a", 0, "started", None), (1, "a", 0, "epoch", 301), (2, "a", 0, "epoch", 302)],
    )
    assert advance.rows["a"].behind == 302
    assert advance.left(2.0) == pytest.approx(98.0)


def test_an_early_end_is_an_end():
    advance = play([("a", 1, 10)], [(0, "a", 0, "started", None), (3, "a", 0, "epoch", 3), (3, "a", 0, "finished", 3)])
    assert (advance.done, advance.rows["a"].behind, advance.left(4.0)) == (1, 10, 0)


@pytest.mark.parametrize("event", ["diverged", "failed", "out_of_memory", "timeout", "no_effect"])
def test_a_run_that_ended_badly_is_over(event):
    advance = play([("a", 2, 10)], [(0, "a", 0, "started", None), (3, "a", 0, event, 3)])
    assert (advance.done, advance.rows["a"].active) == (1, [])


def test_an_interrupted_run_is_not_over():
    advance = play([("a", 1, 10)], [(0, "a", 0, "started", None), (3, "a", 0, "interrupted", 3)])
    assert (advance.done, advance.rows["a"].active) == (0, [])


def test_a_run_that_is_tried_again_is_under_way_again():
    advance = play(
        [("a", 1, 10)],
        [(0, "a", 0, "started", None), (3, "a", 0, "epoch", 3), (4, "a", 0, "failed", 3), (5, "a", 0, "started", None)],
    )
    assert (advance.done, advance.rows["a"].behind, len(advance.rows["a"].active)) == (0, 0, 1)


def test_the_seeds_of_a_stack_go_together():
    stack = {"job": 7}
    started = [(0, "a", seed, "started", None, stack) for seed in range(3)]
    advance = play(
        [("a", 4, 10)],
        [
            *started,
            (0, "a", 3, "started", None, {"job": 8}),
            (2, "a", 0, "epoch", 1, stack),
            (4, "a", 0, "epoch", 5, stack),
        ],
    )
    row = advance.rows["a"]
    assert [run.epoch for run in row.runs.values()] == [5, 5, 5, 0]
    assert (row.earned, row.slowest.epoch) == (15, 0)


def test_seeds_without_a_job_go_alone():
    advance = play(
        [("a", 2, 10)], [(0, "a", 0, "started", None), (0, "a", 1, "started", None), (1, "a", 0, "epoch", 1)]
    )
    assert [run.epoch for run in advance.rows["a"].runs.values()] == [1, 0]


def test_folds_are_runs_of_their_own():
    advance = play(
        [("a", 2, 10)], [(0, "a", 0, "finished", 10, {"fold": 0}), (0, "a", 0, "started", None, {"fold": 1})]
    )
    assert advance.done == 1


def test_losses_are_of_the_runs_under_way_then_of_the_finished():
    ends = [(1, "a", 0, "finished", 10, {"valid_loss": 0.2}), (1, "a", 1, "diverged", 3, {"valid_loss": 9.0})]
    assert play([("a", 3, 10)], ends).rows["a"].loss("valid_loss") == 0.2
    running = play([("a", 3, 10)], [*ends, (2, "a", 2, "epoch", 1, {"valid_loss": 0.8})])
    assert running.rows["a"].loss("valid_loss") == 0.8
    assert running.rows["a"].loss("train_loss") is None


def test_a_row_that_nobody_announced_is_counted():
    advance = play([], [(0, "new", 0, "epoch", 1, {"epochs": 5})])
    assert (advance.planned, advance.rows["new"].work) == (1, 5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (42, "42 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert spoken(seconds) == text
