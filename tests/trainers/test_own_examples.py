"""Losses of single samples that a user's own function reports: those of the selected epoch are kept, also through a
checkpoint, and wrong ones are one line.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.trainers.shared import own_examples
from ablate.trainers.shared.own_examples import ExamplesByPoint
from tests.trainers.listening import train

TRAIN = """
import torch

LOSSES = {1: [3.0, 4.0], 2: [0.5, 1.5], 3: [2.0, 3.0]}

def main(run):
    for epoch in range(DONE + 1, run.epochs + 1):
        losses = LOSSES[epoch]
        run.log(epoch=epoch, train_loss=1.0, valid_loss=sum(losses) / 2)
        run.examples(torch.tensor([9, 4]), torch.tensor(losses), groups=[7, 7])
        run.examples([4, 9], [epoch > 1, True], metric="hit")
        SAVE
"""

RECIPE = """
study: own
trainer: {target: "CODE:main"}
seeds: 1
baseline: {name: base, epochs: 3, select: SELECT}
"""


@pytest.fixture
def write(tmp_path):
    def written(select="last", state=False):
        name = f"own_examples_{select}_{state}_{abs(hash(tmp_path.name))}"
        done, save = (
            ('(run.resume() or {"done": 0})["done"]', 'run.checkpoint({"done": epoch})') if state else ("0", "")
        )
        code = TRAIN.replace("DONE", done).replace("SAVE", save)
        (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / "own.yaml").write_text(RECIPE.replace("CODE", name).replace("SELECT", select))
        return tmp_path / "own.yaml"

    return written


@pytest.mark.parametrize(("select", "losses"), [("last", [3.0, 2.0]), ("best", [1.5, 0.5])])
def test_the_losses_of_the_selected_epoch_are_kept_in_the_order_of_ids(write, select, losses):
    [outcome] = train(write(select)).outcomes
    found = outcome.examples
    assert found.ids.tolist() == [4, 9]
    assert found.groups.tolist() == [7, 7]
    assert found.values["valid_loss"].tolist() == losses
    assert found.values["hit"].tolist() == [1.0, 1.0]
    assert found.values["valid_loss"].mean() == outcome.results["selected"]["valid_loss"]


def test_they_survive_a_checkpoint(write):
    path = write("best", state=True)
    first = train(path, due_at=(2, 3))
    resumed = train(path, state=first.saved[0])  # after the best epoch
    assert [line["epoch"] for line in resumed.lines] == [3]
    for one in (*first.outcomes, *resumed.outcomes):
        assert one.selected_epoch == 2
        assert one.examples.values["valid_loss"].tolist() == [1.5, 0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], [0.0, 1.0]), "ids must be different"),
        (([1, 2], [0.0]), "losses (1) must be as many as ids (2)"),
        (
            ([1.5, 2.0], [0.0, 1.0]),
            "ids must be integers of shape (n,), but are an array of shape (2,) and type float64",
        ),
        (([1, 2], torch.zeros(2, 2)), "losses must be numbers of shape (n,), but are an array of shape (2, 2)"),
        (([1, 2], ["a", "b"]), "losses must be numbers"),
        (([1, 2], [0.0, 1.0], [3]), "groups (1) must be as many as ids (2)"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, message):
    with pytest.raises(ValueError, match=r"run\.examples: ") as raised:
        ExamplesByPoint().add(1, "valid_loss", *arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_too_many_samples_and_values_that_are_not_finite_are_not_kept(monkeypatch):
    kept = ExamplesByPoint()
    kept.add(1, "valid_loss", [1, 2], [np.inf, 1.0])
    monkeypatch.setattr(own_examples, "MOST", 1)
    kept.add(2, "valid_loss", [1, 2], [0.0, 1.0])
    assert kept.points == {}
