"""Learning curves and wrong labels: shares that contain each other, in the classes' proportions, whatever the run's
seed.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from ablate.data.dataset import Part, Parts, Spec
from ablate.registry import lookup
from ablate.tricks.label_noise import wrong
from ablate.tricks.train_fraction import nested_order
from ablate.tricks.trick import Context, NoEffect

SPEC = Spec((1,), 3, "classification")


def data(n=300, spec=SPEC):
    """Samples whose input is their number; classes 0, 1, 2 in the proportions 6 : 3 : 1."""
    classes = torch.tensor([0, 0, 1, 0, 2, 0, 1, 0, 1, 0]).repeat(n // 10)
    targets = classes if spec is SPEC else torch.randn(n, spec.outputs)
    part = Part(torch.arange(n).float()[:, None], targets, rows=torch.arange(n) + 1000, groups=torch.arange(n) % 7)
    return Parts(part, part, spec, notes={"train": n, "valid": n})


def applied(name, parts, *, run_seed=0, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(parts.spec, (run_seed,), 1, 1))
    return trick.on_data(parts)


def kept(share, **fields):
    return set(applied("train_fraction", data(), share=share, **fields).train.inputs[:, 0].int().tolist())


def test_small_shares_are_part_of_large_ones():
    shares = [kept(share) for share in (0.05, 0.1, 0.2, 0.5, 0.9)]
    assert [len(share) for share in shares] == [15, 30, 60, 150, 270]
    for small, large in pairwise(shares):
        assert small < large


def test_samples_depend_on_the_tricks_seed_only():
    assert kept(0.1) == kept(0.1, run_seed=5)
    assert kept(0.1) != kept(0.1, seed=1)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.33, 0.7])
def test_classes_keep_their_proportions(share):
    targets = applied("train_fraction", data(), share=share).train.targets
    n = round(share * 300)
    np.testing.assert_allclose(torch.bincount(targets, minlength=3), [0.6 * n, 0.3 * n, 0.1 * n], atol=1)


def test_a_part_keeps_its_rows_groups_and_notes():
    out = applied("train_fraction", data(), share=0.2)
    numbers = out.train.inputs[:, 0].long()
    assert torch.equal(out.train.rows, numbers + 1000)
    assert torch.equal(out.train.groups, numbers % 7)
    assert out.notes == {"train": 60, "valid": 300}
    assert len(out.valid) == 300


def test_regression_takes_any_samples():
    out = applied("train_fraction", data(spec=Spec((1,), 2, "regression")), share=0.1)
    assert len(out.train) == 30
    assert sorted(nested_order(50, 0).tolist()) == list(range(50))
    assert sorted(nested_order(50, 0, torch.arange(50) % 7).tolist()) == list(range(50))


def test_streamed_data_are_thinned_out_too():
    part = Part(dataset=TensorDataset(torch.arange(100.0)[:, None], torch.zeros(100)))
    out = applied("train_fraction", Parts(part, part, SPEC), share=0.1)
    assert len(out.train) == 10
    assert len({float(out.train.dataset[i][0]) for i in range(10)}) == 10


def test_nothing_left_and_everything_left_are_said():
    with pytest.raises(
        ValueError, match=r"train_fraction\.share \(=0\.001\) leaves no training samples \(300 in total\)"
    ):
        applied("train_fraction", data(), share=0.001)
    with pytest.raises(NoEffect, match="train_fraction has no effect"):
        applied("train_fraction", data(), share=1)


def test_a_share_of_labels_is_not_rounded_to_all():
    few = Parts(*(Part(torch.rand(3, 1), torch.arange(3)) for _ in range(2)), Spec((1,), 3, "classification"))
    with pytest.raises(ValueError, match=r"label_noise\.share \(=0\.9\) is rounded to all 3 labels"):
        applied("label_noise", few, share=0.9)
    assert (applied("label_noise", few, share=1).train.targets != few.train.targets).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_exactly_a_share_of_labels_is_wrong(share):
    parts = data()
    before = parts.train.targets.clone()
    out = applied("label_noise", parts, share=share)
    assert (out.train.targets != before).sum() == share * 300
    assert out.train.targets.min() >= 0
    assert out.train.targets.max() <= 2
    assert torch.equal(parts.train.targets, before)
    assert out.valid.targets is parts.valid.targets


def test_more_wrong_labels_keep_those_of_fewer():
    before = data().train.targets
    few, many = (
        applied("label_noise", data(), share=share, run_seed=seed).train.targets for share, seed in ((0.1, 0), (0.4, 3))
    )
    changed = few != before
    assert torch.equal(many[changed], few[changed])


def test_all_wrong_classes_are_as_likely():
    targets = torch.zeros(6000, dtype=torch.int64)
    counts = torch.bincount(wrong(targets, 4, 6000, 0), minlength=4)
    assert counts[0] == 0
    assert ((counts[1:] - 2000.0) ** 2 / 2000).sum() < 19  # chi-squared, 2 degrees of freedom, 1 in 10,000


def test_a_samples_wrong_label_is_the_same_at_every_share_of_the_data():
    noisy = applied("label_noise", data(), share=0.3)
    for share in (0.1, 0.5):
        part = applied("train_fraction", noisy, share=share).train
        assert torch.equal(part.targets, noisy.train.targets[part.inputs[:, 0].long()])
    assert lookup("trick", "label_noise").settings.order < lookup("trick", "train_fraction").settings.order


def test_masks_and_no_noise_are_said():
    part = Part(torch.zeros(5, 1, 4, 4), torch.zeros(5, 4, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"trick \(=label_noise\) requires one class index per sample"):
        applied("label_noise", Parts(part, part, Spec((1, 4, 4), 3, "other")))
    with pytest.raises(NoEffect, match="label_noise has no effect"):
        applied("label_noise", data(), share=0.001)
