"""Tricks can know which samples of the training set a batch has, whatever the loader, the order and the stack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.training import train
from ablate.recipe.settings import Choice
from ablate.registry import lookup

CODE = """
from ablate import Trick

SEEN = []

class Looks(Trick):
    asks: bool = True
    def needs_positions(self):
        return self.asks
    def on_batch(self, batch, noise):
        SEEN.append((self.context.seeds, batch.epoch, batch.positions, batch.inputs[..., 0, 0, 0]))
        return batch

class LooksAtStacks(Looks):
    stacked = True
"""


@pytest.fixture
def numbered():
    """50 images whose first pixel is their number."""
    inputs = torch.rand(50, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    inputs[:, 0, 0, 0] = torch.arange(50)
    part = Part(inputs, torch.arange(50) % 3)
    return Parts(part, part, Spec((1, 8, 8), 3, "classification"))


@pytest.fixture
def looks(tmp_path, settings, assign, numbered, report):
    """What a trick sees in a training."""
    (tmp_path / "looking_tricks.py").write_text(CODE)

    def run(name, *more, seeds=(0,), asks=True, **fields):
        trick = Choice("trick", None, f"looking_tricks:{name}", {"asks": asks})
        made = settings(tricks=[*more, trick], epochs=2, stack=len(seeds), **fields)
        seen = trick.resolve(tmp_path).on_batch.__globals__["SEEN"]
        seen.clear()
        train(replace(assign(made), seeds=seeds, folder=tmp_path), numbered, report)
        assert report.facts.stack == [list(seeds)]
        return list(seen)

    return run


@pytest.mark.parametrize("loader", ["resident", "streamed"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("seeds", [(0,), (3, 5)], ids=["alone", "stacked"])
@pytest.mark.parametrize("name", ["Looks", "LooksAtStacks"])
def test_positions_are_those_of_the_samples(looks, make_choice, loader, shuffle, seeds, name):
    accumulate = make_choice("trick", "accumulate", batches=2)
    seen = looks(name, accumulate, seeds=seeds, loader=loader, shuffle=shuffle)
    for _, _, positions, inputs in seen:
        assert torch.equal(positions, inputs.long())
    for epoch in (1, 2):
        shown = torch.cat([positions.reshape(-1) for _, e, positions, _ in seen if e == epoch])
        assert torch.equal(shown.bincount(), torch.full((50,), len(seeds)))


def test_positions_are_computed_only_for_tricks_that_need_them(looks):
    assert all(positions is None for _, _, positions, _ in looks("Looks", asks=False))


def test_after_tricks_that_choose_samples(looks, make_choice):
    fewer = make_choice("trick", "train_fraction", share=0.5)
    positions = torch.cat([positions for _, epoch, positions, _ in looks("Looks", fewer) if epoch == 1])
    assert sorted(positions.tolist()) == list(range(len(positions)))
    assert len(positions) < 30


FLIP = lookup("trick", "flip").settings


def test_alternate_flips_each_image_in_every_other_epoch(looks, make_choice, numbered):
    """The first pixel is the image's number, or that of the right corner if it is flipped."""
    corners = numbered.train.inputs[:, 0, 0, -1]
    flipped = {}
    for seeds, epoch, positions, first in looks("Looks", make_choice("trick", "flip", alternate=True), seeds=(0, 1)):
        for position, value in zip(positions.tolist(), first, strict=True):
            assert value in (position, corners[position])
            flipped.setdefault(seeds, {}).setdefault(epoch, {})[position] = bool(value == corners[position])
    for each in flipped.values():
        assert all(each[1][i] != each[2][i] for i in range(50))
        assert 10 < sum(each[1].values()) < 40
    assert flipped[(0,)] != flipped[(1,)]
    alone = [
        positions[first != positions]
        for _, _, positions, first in looks("Looks", make_choice("trick", "flip", alternate=True), seeds=(1,))
    ]
    together = {i for i, was in flipped[(1,)][1].items() if was}
    assert {int(i) for part in alone[: len(alone) // 2] for i in part} == together


def test_share_and_alternate_exclude_each_other():
    with pytest.raises(ValidationError, match="share"):
        FLIP(alternate=True, share=0.2)
