"""Trainings that end after a number of steps, in the middle of an epoch: against torch's own loop in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.engine.assembly import assemble
from ablate.engine.training import train
from ablate.schedules import parse_schedule
from ablate.tricks.trick import NoEffect

SEEDS = (0, 1)
PER_EPOCH = 3
"""40 samples in batches of 16."""


@pytest.fixture
def trained(settings, pictures, assign, make_choice, heard):
    def run(*tricks, stack="off", report=None, resume=None, **fields):
        lr = fields.pop("lr", {"linear": [0.2, 0.01]})
        chosen = settings(
            **{
                "model": make_choice("model", "mlp", hidden=[6]),
                "optimizer": make_choice("optimizer", "sgd", lr=lr, momentum=0.9),
                "tricks": tricks,
                "stack": stack,
                "shuffle": False,
                "precision": "float64",
                **fields,
            }
        )
        for trick in tricks:
            chosen = trick.options.on_settings(chosen)
        report = report or heard()
        train(replace(assign(chosen), seeds=SEEDS), pictures, report, resume)
        return chosen, report

    return run


def by_hand(chosen, pictures, assign, seed, rates, batches=1):
    """Steps with the given learning rates. Returns the weights, and the mean loss since the last whole epoch."""
    network = assemble(replace(assign(chosen), seeds=(seed,)), pictures).network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    inputs, targets = pictures.train.inputs.double(), pictures.train.targets
    parts = torch.arange(40).split(16 * batches)
    network.train()
    losses = []
    for step, rate in enumerate(rates):
        rows = parts[step % len(parts)]
        losses = [] if step % len(parts) == 0 else losses
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        losses.append((len(rows), loss.item()))
    return network.state_dict(), sum(n * loss for n, loss in losses) / sum(n for n, _ in losses)


def line(a, b, n):
    return [a + (b - a) * step / (n - 1) for step in range(n)]


def agree(found, expected):
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("stack", ["off", 2])
@pytest.mark.parametrize(("fields", "steps"), [({"steps": 10}, 10), ({"steps": 2}, 2), ({"epochs": 2.7}, 8)])
def test_training_ends_after_its_steps_with_the_schedule_over_exactly_these(
    trained, pictures, assign, stack, fields, steps
):
    chosen, report = trained(stack=stack, **fields)
    assert report.facts.stack == ([[0, 1]] if stack == 2 else [[0], [1]])
    for i, seed in enumerate(SEEDS):
        weights, loss = by_hand(chosen, pictures, assign, seed, line(0.2, 0.01, steps))
        agree(report.kept[i, "last"], weights)
        last, outcome = report.lines[i][-1], report.outcomes[i]
        assert last["train_loss"] == pytest.approx(loss, rel=1e-9)
        assert last["lr"] == pytest.approx(0.01)
        place = round(steps / PER_EPOCH, 4)
        assert [known["epoch"] for known in report.lines[i]] == list(range(1, -(-steps // PER_EPOCH) + 1))
        assert last["at"] == {"epoch": place}
        assert not any("at" in known for known in report.lines[i][:-1])
        assert (outcome.epoch, outcome.places["last"]) == (last["epoch"], {"epoch": place})
        assert outcome.results["last"]["valid_loss"] == last["valid_loss"]
        assert outcome.places["best"]["epoch"] == min(outcome.best_epoch, place)


def test_whole_epochs_in_steps_are_those_epochs(trained):
    _, by_steps = trained(steps=9)
    _, by_epochs = trained(epochs=3)
    assert by_steps.outcomes == by_epochs.outcomes
    assert by_steps.outcomes[0].places is None
    for which, weights in by_epochs.kept.items():
        assert all(torch.equal(value, by_steps.kept[which][name]) for name, value in weights.items())


def test_steps_are_those_of_the_optimizer_with_accumulation(trained, make_choice, pictures, assign):
    chosen, report = trained(make_choice("trick", "accumulate", batches=2), steps=5)  # 2 steps per epoch
    weights, loss = by_hand(chosen, pictures, assign, 1, line(0.2, 0.01, 5), batches=2)
    agree(report.kept[1, "last"], weights)
    assert report.lines[1][-1]["train_loss"] == pytest.approx(loss, rel=1e-9)
    assert report.lines[1][-1]["at"] == {"epoch": 2.5}


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (9, 4)])
def test_early_stopping_may_end_it_before(trained, make_choice, patience, epochs):
    stop = make_choice("trick", "early_stop", patience=patience, min_delta=1.0)  # nothing is an improvement
    _, report = trained(stop, steps=10)
    outcome = report.outcomes[0]
    assert outcome.epoch == len(report.lines[0]) == epochs
    assert (outcome.places is None) == (epochs == 2)


@pytest.mark.parametrize("stack", ["off", 2])
def test_a_resumed_training_ends_at_the_same_step(trained, heard, tmp_path, make_choice, stack):
    class Kept(heard):
        def due(self, epoch):
            return epoch == 2

        def checkpoint(self, state):
            torch.save(dict(state), tmp_path / "state.pt")

    fields = {"steps": 10, "shuffle": True, "precision": "float32", "stack": stack}
    _, whole = trained(make_choice("trick", "dropout"), report=Kept(), **fields)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    _, rest = trained(make_choice("trick", "dropout"), resume=state, **fields)
    assert rest.outcomes == whole.outcomes
    assert [known["epoch"] for known in rest.lines[0]] == [3, 4]
    for which, weights in whole.kept.items():
        assert all(torch.equal(value, rest.kept[which][name]) for name, value in weights.items())


@pytest.mark.parametrize(
    ("lr", "rates"),
    [
        ({"linear": [0.2, 0.05], "per": "epoch"}, [0.2] * 3 + [0.15] * 3 + [0.1] * 3 + [0.05]),
        ({"points": [[0, 0.2], ["50%", 0.1]], "stairs": True}, [0.2] * 5 + [0.1] * 5),
        ({"multistep": {"start": 0.2, "milestones": ["50%"], "gamma": 0.5}, "per": "step"}, [0.2] * 5 + [0.1] * 5),
        ({"formula": "0.1 * epochs / 10 + 0 * epoch"}, [0.1 / 3] * 10),
    ],
)
def test_percentages_and_epochs_of_a_schedule_count_the_last_part_of_an_epoch(trained, pictures, assign, lr, rates):
    chosen, report = trained(lr=lr, steps=10)
    weights, _ = by_hand(chosen, pictures, assign, 0, rates)
    agree(report.kept[0, "last"], weights)
    assert parse_schedule(lr).at_step(9, 10 / 3, 3) == pytest.approx(rates[-1])


def test_a_trick_counts_the_epochs_of_its_percentage(trained, make_choice):
    _, report = trained(make_choice("trick", "plateau", patience="60%", threshold=0.99, factor=0.5), steps=10, lr=0.1)
    assert [known["lr"] for known in report.lines[0]] == pytest.approx([0.1, 0.1, 0.1, 0.1]), "60% of 3.3 epochs: 2"
    with pytest.raises(NoEffect, match=r"swa\.start \(=3\) must be less than epochs \(=3\.33333\)"):
        trained(make_choice("trick", "swa", start="75%"), steps=10)
    with pytest.raises(ValueError, match=r"restart requires epochs, but steps \(=10\) is set\. Set epochs instead\."):
        trained(make_choice("trick", "restart"), steps=10)


def test_a_job_that_is_shorter_than_an_epoch_has_a_line(trained):
    _, report = trained(epochs=0.1)
    assert report.lines[0][-1]["at"] == {"epoch": 0.3333}
