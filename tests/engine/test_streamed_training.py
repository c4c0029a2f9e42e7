"""Training on data that come out different at every reading: what they draw belongs to the seed and the epoch, whatever
else draws.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ablate.data.dataset import Part
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice


class Shaken:
    """Pictures under noise from the global generator, as a user's augmentation draws it."""

    def __init__(self, part):
        self.part = part

    def __len__(self):
        return len(self.part)

    def __getitem__(self, index):
        picture = self.part.inputs[index]
        return picture + 0.3 * torch.randn(picture.shape), self.part.targets[index]


@pytest.fixture
def shaken(pictures):
    return replace(pictures, train=Part(dataset=Shaken(pictures.train)))


@pytest.fixture
def losses(settings, shaken, heard):
    """The train and valid losses of every epoch of each seed."""

    def go(seeds=(0,), data=None, folder=Path(), **fields):
        report = heard()
        train(Assignment(settings(precision="float64", **fields), seeds, folder), data or shaken, report)
        return [[(line["train_loss"], line["valid_loss"]) for line in report.lines[i]] for i in range(len(seeds))]

    return go


def test_workers_change_nothing(losses):
    assert losses(workers=2) == losses(workers=0)


def test_every_epoch_draws_anew_also_in_the_same_order(losses, settings, make_choice):
    """With a rate of almost nothing, only what is drawn makes epochs differ."""
    still = make_choice("optimizer", "sgd", lr=1e-12, momentum=0)
    values = [train for train, _ in losses(optimizer=still, shuffle=False, epochs=4)[0]]
    assert all(abs(a - b) > 1e-6 for i, a in enumerate(values) for b in values[:i])


def test_a_seed_draws_in_a_stack_what_it_draws_alone(losses):
    together = losses((0, 1, 2), stack=3)
    for seed in range(3):
        for mine, alone in zip(together[seed], losses((seed,))[0], strict=True):
            assert mine == pytest.approx(alone, rel=1e-9)


def test_a_models_own_draws_do_not_depend_on_what_the_data_draw(losses, pictures, tmp_path):
    """The same network on the same samples: read from a dataset that draws and throws away, and from one that does not."""
    (tmp_path / "drawing_model.py").write_text(
        """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Flatten(), nn.Linear(64, outputs))
    def forward(self, x):
        return super().forward(x + torch.randn_like(x))
"""
    )

    class Draws(Shaken):
        def __getitem__(self, index):
            torch.rand(3)
            return self.part.inputs[index], self.part.targets[index]

    class Quiet(Shaken):
        def __getitem__(self, index):
            return self.part.inputs[index], self.part.targets[index]

    model = Choice("model", None, "drawing_model:Net", {})
    first, second = (
        losses(data=replace(pictures, train=Part(dataset=kind(pictures.train))), folder=tmp_path, model=model)
        for kind in (Draws, Quiet)
    )
    assert first == second
