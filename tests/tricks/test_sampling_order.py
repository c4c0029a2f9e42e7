"""Which samples an epoch shows: balanced classes against counts and frequencies, and data in the order of its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.balanced_sampling import drawn, exact
from ablate.tricks.trick import NoEffect, Trick

SIZES = (50, 30, 7, 3)
TARGETS = torch.arange(4).repeat_interleave(torch.tensor(SIZES))[
    torch.randperm(90, generator=torch.Generator().manual_seed(1))
]
MEMBERS = [torch.nonzero(c == TARGETS).flatten() for c in range(4)]


def choice(kind: str, name: str, **options) -> Choice:
    return Choice(kind, name, None, lookup(kind, name).settings(**options))


def settings(*tricks: Choice, **fields) -> Settings:
    base = {
        "data": choice("data", "digits"),
        "model": choice("model", "mlp", hidden=[8]),
        "init": choice("init", "xavier_uniform"),
        "loss": choice("loss", "cross_entropy"),
        "optimizer": choice("optimizer", "sgd", lr=0.2),
        "metrics": (choice("metric", "accuracy"),),
        "tricks": tricks,
        "batch_size": 10,
        "epochs": 3,
    }
    return Settings(**(base | fields))


def parts(targets: torch.Tensor) -> Parts:
    draw = torch.Generator().manual_seed(0)
    classes = int(targets.max()) + 1
    centres = torch.rand(classes, 1, 4, 4, generator=draw)

    def part(targets: torch.Tensor) -> Part:
        return Part(centres[targets] + 0.1 * torch.randn(len(targets), 1, 4, 4, generator=draw), targets)

    valid = torch.arange(classes).repeat(20)
    return Parts(part(targets), part(valid), Spec((1, 4, 4), classes, "classification", tuple("abcd")[:classes]))


def test_exactly_as_many_of_each_class_and_every_sample_in_turn():
    noise = Noise((0,), "x")
    order = exact(MEMBERS, 90, noise)
    counts = torch.bincount(TARGETS[order], minlength=4)
    assert sorted(counts.tolist()) == [22, 22, 23, 23]
    shown = torch.bincount(order, minlength=90)
    for own, count in zip(MEMBERS, counts.tolist(), strict=True):
        assert set(shown[own].tolist()) <= {count // len(own), -(-count // len(own))}
    # rare classes are spread over the epoch, not gathered at its end
    assert all((TARGETS[half] == 3).sum() > 5 for half in order.split(45))


def test_the_classes_that_get_one_more_change_from_epoch_to_epoch():
    noise, more = Noise((0,), "x"), torch.zeros(4)
    for epoch in range(200):
        noise.begin(epoch)
        more += torch.bincount(TARGETS[exact(MEMBERS, 90, noise)], minlength=4) - 22
    assert more.sum() == 400
    # 200 draws with a chance of a half: five standard deviations are 35
    assert ((more - 100).abs() < 35).all()


def test_drawn_samples_come_as_often_as_torchs_weighted_sampler_has_them():
    noise, shown = Noise((0,), "x"), torch.zeros(90)
    for epoch in range(300):
        noise.begin(epoch)
        shown += torch.bincount(drawn(MEMBERS, 90, noise), minlength=90)
    weights = (1 / torch.tensor(SIZES).double())[TARGETS]
    expected = weights / weights.sum() * 300 * 90
    assert ((shown - expected).abs() < 5 * expected.sqrt()).all()


@pytest.mark.parametrize("order", [exact, drawn])
def test_a_stack_gets_what_each_seed_gets_alone(order):
    together = order(MEMBERS, 90, Noise((0, 5, 2), "x"))
    for row, seed in zip(together, (0, 5, 2), strict=True):
        assert torch.equal(row, order(MEMBERS, 90, Noise((seed,), "x")))


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_engine_trains_in_that_order(seeds):
    data = parts(TARGETS)
    balanced = assemble(Assignment(settings(choice("trick", "balanced_sampling"), stack=2), seeds, Path()), data)
    first, second = balanced.order(1), balanced.order(2)
    assert not torch.equal(first, second)
    assert torch.equal(first, balanced.order(1))
    shown = torch.cat([targets.reshape(len(seeds), -1) for _, targets in balanced.train.batches(first)], dim=1)
    for row in shown:
        assert sorted(torch.bincount(row).tolist()) == [22, 22, 23, 23]


def test_unlabelled_samples_are_never_shown():
    targets = TARGETS.clone()
    targets[::5] = -100
    trick = lookup("trick", "balanced_sampling").settings()
    order = trick.on_order(torch.arange(90), targets, Noise((0,), "x"))
    assert len(order) == 90
    assert (targets[order] >= 0).all()


def test_equal_classes_numbers_and_a_fixed_order_are_refused():
    trick = lookup("trick", "balanced_sampling").settings()
    with pytest.raises(NoEffect, match="every class has as many samples"):
        trick.on_data(parts(torch.arange(4).repeat(5)))
    with pytest.raises(ValueError, match="shuffle: true"):
        trick.on_settings(settings(shuffle=False))
    data = parts(TARGETS)
    with pytest.raises(ValueError, match="class numbers in memory"):
        trick.on_data(Parts(Part(data.train.inputs, TARGETS.float()), data.valid, data.spec))


class Reversed(Trick):
    """A user's own, written for one network."""

    def on_order(self, order, targets, noise):
        assert order.dim() == 1
        assert len(targets) == len(order)
        return order.flip(0)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_trick_for_one_network_orders_each_seed(shuffle, monkeypatch):
    own = Choice("trick", None, "sampling:Reversed", {})
    monkeypatch.setattr(Choice, "resolve", lambda self, folder: Reversed)
    data = parts(TARGETS)
    plain, turned = (
        assemble(Assignment(settings(*tricks, shuffle=shuffle, stack=2), (3, 4), Path()), data)
        for tricks in ((), (own,))
    )
    assert torch.equal(turned.order(1), plain.order(1).flip(1))


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_without_shuffling_data_come_as_they_stand(seeds):
    data = parts(TARGETS)
    made = assemble(Assignment(settings(shuffle=False, stack=2), seeds, Path()), data)
    for epoch in (1, 2):
        shown = torch.cat(
            [targets.reshape(len(seeds), -1) for _, targets in made.train.batches(made.order(epoch))], dim=1
        )
        assert all(torch.equal(row, TARGETS) for row in shown)


def test_sorted_data_train_badly_without_shuffling(heard):
    data, accuracy = parts(torch.arange(4).repeat_interleave(25)), {}
    for shuffle in (True, False):
        report = heard()
        train(Assignment(settings(shuffle=shuffle, epochs=8), (0,), Path()), data, report)
        accuracy[shuffle] = report.lines[0][-1]["accuracy"]
    # the last class seen is what it answers
    assert accuracy[False] < 0.6 < 0.9 < accuracy[True]
