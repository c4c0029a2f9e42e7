"""The loss of the first step, and the units of the targets, as the record has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.training import train


def first_by_hand(assignment, data):
    """The loss of the untrained network on the first batch in the seed's order."""
    assembly = assemble(assignment, data)
    assembly.begin_epoch(1)
    inputs, targets = next(iter(assembly.train.batches(assembly.order(1))))
    return float(assembly.loss(assembly.replicas.forward(inputs), targets).detach())


def test_it_is_that_of_the_untrained_network(settings, pictures, assign, report):
    assignment = assign(settings())
    [outcome] = train(assignment, pictures, report)
    assert outcome.first_loss == first_by_hand(assignment, pictures)


def test_each_seed_of_a_stack_has_its_own(settings, pictures, assign, report):
    assignment = replace(assign(settings(precision="float64", stack=3)), seeds=(0, 1, 2))
    outcomes = train(assignment, pictures, report)
    expected = [first_by_hand(replace(assignment, seeds=(seed,)), pictures) for seed in (0, 1, 2)]
    assert [outcome.first_loss for outcome in outcomes] == pytest.approx(expected, rel=1e-12)
    assert len(set(expected)) == 3


def test_a_resumed_training_keeps_it(settings, pictures, assign, report):
    [whole] = train(assign(settings()), pictures, report)
    [resumed] = train(assign(settings()), pictures, type(report)(), resume=report.states[0])
    assert resumed.first_loss == whole.first_loss is not None


def test_a_change_that_acts_later_leaves_it(settings, pictures, assign, report, make_choice):
    def first(**fields):
        return train(assign(settings(epochs=1, **fields)), pictures, type(report)())[0].first_loss

    base = first()
    assert first(tricks=(make_choice("trick", "max_norm", limit=0.01),)) == base
    assert first(optimizer=make_choice("optimizer", "adam", lr=0.01)) == base
    assert first(tricks=(make_choice("trick", "dropout"),)) != base
    assert first(tricks=(make_choice("trick", "flip"),)) != base


def test_scaled_targets_are_part_of_the_facts(settings, assign, report, make_choice):
    generator = torch.Generator().manual_seed(0)

    def part(n):
        inputs = torch.rand(n, 1, 8, 8, generator=generator)
        return Part(inputs, 100 + 5 * inputs.mean((1, 2, 3))[:, None])

    data = Parts(part(32), part(16), Spec((1, 8, 8), 1, "regression"))
    plain = settings(loss=make_choice("loss", "mse"), epochs=1, optimizer=make_choice("optimizer", "sgd", lr=1e-6))
    train(assign(plain), data, report)
    assert report.facts.target_scaling is None
    train(assign(plain.replace(tricks=(make_choice("trick", "normalise_targets"),))), data, report)
    assert report.facts.target_scaling["shift"][0] == pytest.approx(102.5, abs=0.5)
