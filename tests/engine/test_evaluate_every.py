"""Evaluation at several points of an epoch, against loops written by hand in float64, and with a kill in the middle."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ablate.cli.app import run_command
from ablate.engine.assembly import assemble
from ablate.engine.points import Points
from ablate.engine.training import train
from ablate.planning.estimates import Estimates
from ablate.recipe.intervals import Evaluate
from ablate.store.places import epochs_of

EVERY = Evaluate(every="2 steps")
SEEDS = (0, 1)


@pytest.fixture
def trained(settings, pictures, assign, make_choice, heard):
    """40 samples in batches of 8: 5 steps in an epoch, evaluated after 2, 4 and 5."""

    def run(*tricks, stack="off", report=None, resume=None, seeds=SEEDS, evaluate=EVERY, **fields):
        chosen = settings(
            **{
                "model": make_choice("model", "mlp", hidden=[6]),
                "optimizer": make_choice("optimizer", "sgd", lr=0.1, momentum=0.5),
                "metrics": (make_choice("metric", "accuracy"),),
                "tricks": tricks,
                "stack": stack,
                "batch_size": 8,
                "precision": "float64",
                "evaluate": evaluate,
                **fields,
            }
        )
        for trick in tricks:
            chosen = trick.options.on_settings(chosen)
        report = report or heard()
        train(replace(assign(chosen), seeds=seeds), pictures, report, resume)
        return chosen, report

    return run


def by_hand(chosen, pictures, assign, seed, steps):
    """(training loss of the epoch so far, validation loss) after 2, 4 and 5 steps of each epoch, and the weights then."""
    network = assemble(replace(assign(chosen), seeds=(seed,)), pictures).network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
    loss_of = torch.nn.functional.cross_entropy
    found, losses = [], []
    for step in range(steps):
        within = step % 5
        losses = losses if within else []
        rows = slice(8 * within, 8 * within + 8)
        optimizer.zero_grad()
        loss = loss_of(network(pictures.train.inputs[rows].double()), pictures.train.targets[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if within in (1, 3, 4) or step == steps - 1:
            with torch.no_grad():
                valid = loss_of(network(pictures.valid.inputs.double()), pictures.valid.targets).item()
            weights = {name: value.clone() for name, value in network.state_dict().items()}
            found.append((sum(losses) / len(losses), valid, weights))
    return found


@pytest.mark.parametrize("stack", ["off", 2])
@pytest.mark.parametrize(("length", "steps"), [({"epochs": 3}, 15), ({"steps": 13}, 13), ({"steps": 12}, 12)])
def test_points_are_those_of_a_loop_by_hand(stack, length, steps, trained, pictures, assign):
    chosen, report = trained(stack=stack, shuffle=False, **length)
    places = [2, 4, 5, 7, 9, 10, *([12, 14, 15] if steps == 15 else [12, 13] if steps == 13 else [12])]
    for place, seed in enumerate(SEEDS):
        lines, expected = report.lines[place], by_hand(chosen, pictures, assign, seed, steps)
        assert [line["epoch"] for line in lines] == list(range(1, len(places) + 1))
        assert [line["at"] for line in lines] == [{"epoch": round(step / 5, 4), "step": step} for step in places]
        for line, (loss, valid, _) in zip(lines, expected, strict=True):
            assert (line["train_loss"], line["valid_loss"]) == pytest.approx((loss, valid), rel=1e-6)
            assert "accuracy" in line
            assert "lr" in line
        best = min(range(len(expected)), key=lambda i: expected[i][1])
        for which, at in (("last", -1), ("best", best)):
            for name, value in report.kept[place, which].items():
                torch.testing.assert_close(value, expected[at][2][name], rtol=1e-6, atol=1e-9)
        outcome = report.outcomes[place]
        assert (outcome.epoch, outcome.best_epoch) == (len(places), best + 1)
        assert outcome.places["last"] == lines[-1]["at"]
        assert outcome.places["best"] == lines[best]["at"]


DRAWING = ["dropout", "ema", "mc_dropout", "batch_norm", "flip"]


@pytest.mark.parametrize("stack", ["off", 2])
@pytest.mark.parametrize(
    "tricks",
    [["dropout"], ["dropout", "mc_dropout"], ["batch_norm", "ema"], ["flip", "early_stop", "plateau"]],
    ids="+".join,
)
def test_the_training_is_the_same_as_without(tricks, stack, trained, make_choice):
    """At the ends of epochs all numbers and weights are equal, bit by bit, whatever draws random numbers or is measured."""
    chosen = [make_choice("trick", name) for name in tricks]
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[8])
    _, plain = trained(*chosen, stack=stack, model=model, evaluate=Evaluate())
    _, points = trained(*chosen, stack=stack, model=model)
    for place in range(len(SEEDS)):
        ends = [line for line in points.lines[place] if float(line["at"]["epoch"]).is_integer()]
        assert len(ends) == len(plain.lines[place])
        for mine, other in zip(ends, plain.lines[place], strict=True):
            assert mine["at"]["epoch"] == other["epoch"]
            kept = ("train_loss", "valid_loss", "accuracy", "lr")
            assert [mine[name] for name in kept] == [other[name] for name in kept]
        for name, value in plain.kept[place, "last"].items():
            assert torch.equal(value, points.kept[place, "last"][name])


@pytest.mark.parametrize("stack", ["off", 2])
@pytest.mark.parametrize("killed", [1, 2])
def test_a_training_that_was_killed_goes_on_bit_by_bit(stack, killed, trained, heard, tmp_path, make_choice):
    class Kept(heard):
        def due(self, epoch):
            return epoch == killed

        def checkpoint(self, state):
            torch.save(dict(state), tmp_path / "state.pt")

    tricks = [make_choice("trick", "dropout"), make_choice("trick", "ema")]
    _, whole = trained(*tricks, report=Kept(), stack=stack, select="best")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    _, rest = trained(*tricks, resume=state, stack=stack, select="best")
    assert rest.outcomes == whole.outcomes
    for place in range(len(SEEDS)):
        lines = [dict(line, time=0, seconds=0) for line in whole.lines[place]]
        assert [dict(line, time=0, seconds=0) for line in rest.lines[place]] == lines[3 * killed :]
    for which, weights in whole.kept.items():
        assert all(torch.equal(value, rest.kept[which][name]) for name, value in weights.items())


def test_the_best_point_counts_all_and_early_stopping_counts_epochs(trained, make_choice):
    stop = make_choice("trick", "early_stop", patience=1, min_delta=1.0)  # nothing is an improvement
    _, report = trained(stop, epochs=4)
    assert len(report.lines[0]) == 6, "two epochs of three points"
    _, report = trained(
        epochs=1,
        select="best",
        optimizer=make_choice(
            "optimizer", "sgd", lr={"points": [[0, 0.3], ["3 steps", 0.3], ["4 steps", 30.0]], "stairs": True}
        ),
    )
    outcome = report.outcomes[0]
    assert outcome.places["best"]["step"] < outcome.places["last"]["step"] == 5
    assert outcome.results["selected"]["valid_loss"] == report.lines[0][outcome.best_epoch - 1]["valid_loss"]


def test_a_seed_that_diverges_within_an_epoch_stops_there(trained, make_choice):
    _, report = trained(optimizer=make_choice("optimizer", "sgd", lr=1e200), seeds=(0,))
    outcome = report.outcomes[0]
    assert (outcome.status, outcome.epoch) == ("diverged", 1)
    assert "in epoch 1" in outcome.reason
    assert outcome.places["last"] == {"epoch": 0.4, "step": 2}
    assert len(report.lines[0]) == 1


def test_a_tracked_metric_is_recorded_at_the_ends_of_epochs(trained, make_choice):
    _, report = trained(watch=(make_choice("watch", "gradient_norm"),), seeds=(0,))
    have = [any("gradient" in name for name in line) for line in report.lines[0]]
    assert have == [False, False, True] * 3


def test_points_of_an_epoch():
    points = Points(5, 12, 2)
    assert [step for step in range(13) if points.between(step)] == [2, 4, 7, 9]
    assert [points.step(point) for point in range(1, 8)] == [2, 4, 5, 7, 9, 10, 12]
    plain = Points(5, 12)
    assert [plain.at(point) for point in (1, 2, 3)] == [None, None, {"epoch": 2.4}]
    assert not any(plain.between(step) for step in range(13))


def test_estimates_count_epochs_and_not_points():
    run = SimpleNamespace(epoch=6, places={"last": {"epoch": 2, "step": 10}})
    assert epochs_of(run) == 2
    record = SimpleNamespace(epoch=6, places=run.places, seconds=8.0, epochs=4, status="interrupted")
    planned = SimpleNamespace(
        record=record,
        identity="a",
        fingerprint="f",
        variant=SimpleNamespace(settings=SimpleNamespace(planned_epochs=4)),
    )
    estimates = Estimates(SimpleNamespace(runs=[planned]), None)
    assert estimates.seconds([planned]) == 8.0, "two epochs of four seconds are left"


RECIPE = """
study: points
seeds: 2
data: {{name: digits}}
baseline:
  name: base
  model: {{name: mlp, hidden: [4]}}
  loss: cross_entropy
  optimizer: {{name: sgd, lr: 0.1}}
  batch_size: 256
  epochs: 2
  metrics: [accuracy]
  evaluate: {evaluate}
variants:
  - {{name: plain, set: {{evaluate.every: null}}}}
"""

WRONG = {
    "a number without a unit": ("{every: 200}", "evaluate.every (=200) must be a number of steps, such as 200 steps."),
    "a word without a unit": ("{every: '200'}", "evaluate.every (='200') must be a number of steps, such as 200 steps."),
    "no steps": ("{every: 0 steps}", "evaluate.every (=0 steps) must be a number of steps, such as 200 steps."),
    "epochs": ("{every: 1 epoch}", "evaluate.every (=1 epoch) must be a number of steps, such as 200 steps."),
    "a number": ("200", "evaluate (=200) must be a mapping, such as {every: 200 steps}"),
    "an unknown key": ("{evry: 2 steps}", "evaluate.evry is not a setting of evaluate. Did you mean 'every'?"),
    "longer than an epoch": ("{every: 200 steps}", "evaluate.every (=200 steps) must be less than an epoch, which has 6 steps. Remove it, or choose a smaller number"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_in_one_line(wrong, tmp_path, capsys, monkeypatch):
    evaluate, message = WRONG[wrong]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE.format(evaluate=evaluate))
    assert run_command(["plan", "r.yaml"]) == 2
    said = capsys.readouterr().err
    assert len([one for one in said.splitlines() if message in one]) == 1, said


def test_tables_show_epochs_and_curves_have_all_points(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(RECIPE.format(evaluate="{every: 2 steps}"))
    assert run_command(["run", "r.yaml", "--no-mlflow"]) == 0
    assert run_command(["table", "r.yaml", "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))
    rows = {row["variant"]: row for row in table["rows"]}
    assert table["axis"] == "epoch"
    assert rows["base"]["epochs"] == rows["plain"]["epochs"] == 2
    assert rows["base"]["steps"] == rows["plain"]["steps"]
    for name in ("train_loss", "valid_loss", "accuracy"):
        assert rows["base"][name] == rows["plain"][name], "the same training, at the same place"
    files = sorted((tmp_path / "runs" / "store").glob("*/metrics.jsonl"))
    counts = sorted(len(file.read_text().splitlines()) for file in files)
    assert counts == [2, 2, 6, 6]
