"""The epochs and steps of a user's own training: in points, tables, curves, the progress and MLflow."""

from __future__ import annotations

import pytest

from ablate.api import Recipe
from ablate.api import run as ablate_run
from ablate.cli.progress_state import ProgressState
from ablate.execution.events import EpochEnded, RunStarted, decode, encode
from ablate.planning.plan import make_plan
from ablate.report.curves import Curves
from ablate.report.draw_curves import draw_curves
from ablate.report.figure import drawing
from ablate.store.places import axis_of, place_text
from ablate.store.records import RunRecord
from ablate.store.store import Store
from ablate.tracking.describe import stepped
from ablate.trainers.shared.points import Points

BASE = "trainer: {target: 'train:main'}\nbaseline: {name: base, args: {lr: 0.1}}\n"

BY_EPOCH = [{"epoch": 3.3, "step": 100}, {"epoch": 6.6, "step": 200}, {"epoch": 9.9, "step": 300}]
BY_STEP = [{"step": 100}, {"step": 200}, {"epoch": 1}, {"step": 300}]
LATER = [{}, {"epoch": 1}, {"epoch": 2}, {}]


def points_of(tmp_path, places):
    """The points of a run that logs at these places, and its lines."""
    (tmp_path / "train.py").write_text("def main(run, lr): ...")
    (tmp_path / "own.yaml").write_text(BASE)
    lines = []
    points = Points(Recipe.load(tmp_path / "own.yaml").variant("base").settings, lines.append)
    for i, place in enumerate(places):
        points.add({"valid_loss": abs(i - 1.0)}, **place)
    return points, lines


@pytest.mark.parametrize(
    ("places", "ats", "last", "best"),
    [
        ([{"epoch": 1}, {"epoch": 2}], [None, None], {"epoch": 2}, {"epoch": 2}),
        (BY_EPOCH, BY_EPOCH, BY_EPOCH[2], BY_EPOCH[1]),
        # the step holds until the next one; some points have no epoch, so the run has none
        (BY_STEP, [*BY_STEP[:2], {"step": 200, "epoch": 1}, BY_STEP[3]], {"step": 300}, {"step": 200}),
        (LATER, [{}, {"epoch": 1}, {"epoch": 2}, {"epoch": 2}], {"epoch": 2}, {"epoch": 1}),
        ([{}, {}], [{}, {}], {}, {}),
    ],
)
def test_a_point_is_where_the_code_says(tmp_path, places, ats, last, best):
    points, lines = points_of(tmp_path, places)
    assert points.outcome(0).places == {"last": last, "best": best}
    assert [line.get("at") for line in lines] == ats


def test_places_survive_a_checkpoint(tmp_path):
    whole, _ = points_of(tmp_path, BY_STEP)
    again, _ = points_of(tmp_path, [])
    whole.flush()
    again.restore(whole.state())
    for points in (whole, again):
        points.add({"valid_loss": 5.0})
    assert again.outcome(0) == whole.outcome(0)
    assert again.at == {"step": 300}


@pytest.mark.parametrize("place", [{"epoch": float("nan")}, {"step": float("inf")}, {"step": 10**16}])
def test_a_place_is_a_number_of_usual_size(tmp_path, place):
    [name] = place
    with pytest.raises(ValueError, match=rf"{name} \(=(nan|inf|1e\+16)\) must be a number between"):
        points_of(tmp_path, [place])


def run(places, epoch=3):
    return RunRecord("a", 0, epoch=epoch, places=places and {"last": places})


@pytest.mark.parametrize(
    ("runs", "axis"),
    [
        ([run(None), run(None)], "epoch"),
        ([run({"epoch": 3, "step": 9}), run({"epoch": 4})], "epoch"),
        ([run({"epoch": 3, "step": 9}), run({"step": 4})], "step"),
        ([run(None), run({"step": 4})], "point"),
        ([run({"epoch": 3}), RunRecord("b", 1, epoch=3, places={})], "point"),
        ([run({"step": 3}), RunRecord("b", 1)], "step"),
        ([], "epoch"),
    ],
)
def test_a_study_has_one_axis(runs, axis):
    assert axis_of(runs) == axis


def test_places_as_text():
    assert place_text(4, None) == "epoch 4"
    assert place_text(4, {"epoch": 9.9, "step": 7}) == "epoch 9.9"
    assert place_text(4, {"step": 1234567}) == "step 1,234,567"
    assert place_text(4, {}) == "point 4"


# MLflow


@pytest.mark.parametrize(
    ("ats", "steps"),
    [
        ([None, None, None], [1, 2, 3]),
        (BY_EPOCH, [100, 200, 300]),
        ([{"epoch": 3.3}, {"epoch": 6.6}, {"epoch": 9.9}], [4, 7, 10]),
        ([{"epoch": 0.25 * i} for i in range(1, 6)], [1, 2, 3, 4, 5]),
        ([{"epoch": 10}, {"epoch": 20}, {"epoch": 20}], [10, 20, 21]),
        ([{"step": 50}, {"step": 50, "epoch": 1}, {"step": 100}], [50, 51, 100]),
        ([None, None, {"epoch": 1}, {"epoch": 2}], [1, 2, 3, 4]),
        ([{}, {}], [1, 2]),
        ([{"epoch": -1}, {"epoch": 0}, None], [-1, 0, 3]),
    ],
)
def test_steps_in_mlflow_are_integers_that_grow(ats, steps):
    lines = [{"epoch": i} if at is None else {"epoch": i, "at": at} for i, at in enumerate(ats, 1)]
    assert [step for _, step in stepped(lines)] == steps


# progress


def test_progress_is_in_epochs_of_the_code():
    def ended(point, at):
        return decode(encode(EpochEnded(variant="a", seed=0, epoch=point, epochs=10, at=at)))

    state = ProgressState([("a", 1, 10)])
    state.take(RunStarted(variant="a", seed=0, epochs=10), 0)
    state.take(ended(50, {"epoch": 2.5, "step": 50}), 1)
    assert (state.rows["a"].behind, state.left(1)) == (2.5, 7.5 / 1)


# whole studies

CODE = """
PLACES = PLACES_OF_THE_TEST

def main(run, lr=0.1):
    for i, place in enumerate(PLACES):
        run.log(**place, train_loss=lr * abs(i - 0.5), valid_loss=lr * abs(i - 1.2) + run.seed)
"""

RECIPE = """
trainer: {target: 'train:main'}
seeds: 2
reach: {valid_loss: 1.1}
baseline: {name: base, epochs: 10, select: best, args: {lr: 0.1}}
variants:
  - {name: slow, set: {args.lr: 0.01}}
"""


@pytest.fixture
def study(tmp_path, ablate):
    """Train a study whose runs log at these places; its recipe."""

    def trained(places):
        code = CODE.replace("PLACES_OF_THE_TEST", repr(places)).replace("lr=0.1):", "lr=0.1):\n    run.epochs")
        (tmp_path / "train.py").write_text(code)
        (tmp_path / "own.yaml").write_text(RECIPE)
        done = ablate("run", "own.yaml", "--no-mlflow")
        assert done.code == 0, done.err
        return done

    return trained


@pytest.mark.parametrize(
    ("places", "axis", "titles", "last", "best", "reached", "said"),
    [
        (BY_EPOCH, "epoch", ("Epochs", "Best epoch"), 9.9, 6.6, 4.95, "epoch 9.9/10, "),
        (BY_STEP, "step", ("Steps", "Best step"), 300, 200, 150, "step 300, "),
        ([{}, {}, {}], "point", ("Points", "Best point"), 3, 2, 1.5, "point 3, "),
        ([{"epoch": 1}, {"epoch": 2}], "epoch", ("Epochs", "Best epoch"), 2, 2, 1.5, "epoch 2/10, "),
    ],
)
def test_tables_and_curves_show_the_epochs_or_steps_of_the_code(
    study, ablate, tmp_path, places, axis, titles, last, best, reached, said
):
    done = study(places)
    assert said in done.err
    assert titles[0] in done.out
    tree = ablate("table", "own.yaml", "--format", "json").json()
    assert tree["axis"] == axis
    for row in tree["rows"]:
        assert (row["epochs"], row["best_epoch"]) == (last, best)
        assert row["steps"] == (None if axis != "step" and places is not BY_EPOCH else 300)
    assert tree["rows"][0]["reach_valid_loss_epochs"] == pytest.approx(reached)
    table = ablate("table", "own.yaml", "--format", "md", "--columns", "epochs,best_epoch,reach_valid_loss_epochs")
    assert [cell.strip() for cell in table.out.splitlines()[0].split("|")[1:3]] == list(titles)
    assert f"{axis.capitalize()}s to" in table.out


@pytest.mark.parametrize(
    ("places", "label", "epochs", "limits"),
    [
        (BY_EPOCH, "epoch", [3.3, 6.6, 9.9], (0, 9.9)),
        (BY_STEP, "step", [100, 200, 200, 300], (0, 300)),
        ([{"epoch": 0.25}, {"epoch": 0.5}], "epoch", [0.25, 0.5], (0, 0.5)),
        ([{"step": 2000}], "step", [2000], (1999.5, 2000.5)),
        ([{}, {}], "point", [1, 2], (0, 2)),
    ],
)
def test_curves_are_drawn_over_the_epochs_or_steps_of_the_code(study, tmp_path, places, label, epochs, limits):
    study(places)
    record = make_plan(Recipe.load(tmp_path / "own.yaml"), store := Store(tmp_path / "runs")).record()
    curves = Curves(record, store)
    curve = curves.of("base")["valid_loss"]
    assert list(curve.epochs) == epochs
    assert len(curve.mean) == len(epochs)
    with drawing():
        first, _ = draw_curves(record, curves).axes
        assert (first.get_xlabel(), first.get_xlim()) == (label, limits)
        assert len(first.get_xticks()) >= 1


def test_seeds_that_log_at_other_steps_are_drawn_one_by_one(study, tmp_path):
    study([{"step": 100}, {"step": 200}])
    path = tmp_path / "train.py"
    path.write_text(path.read_text().replace("**place", "step=place['step'] + i * run.seed"))
    study_of = Recipe.load(tmp_path / "own.yaml")
    ablate_run(study_of, root=tmp_path / "runs")
    record = make_plan(study_of, store := Store(tmp_path / "runs")).record()
    curve = Curves(record, store).of("base")["valid_loss"]
    assert list(curve.epochs) == [100]
    assert [list(line.epochs) for line in curve.lines] == [[100, 200], [100, 201]]
