"""A share of the samples is a share at every batch size: tricks that change part of each batch."""

from __future__ import annotations

import math

import pytest
import torch

from ablate.data.dataset import Batch, Part, Parts, Spec
from ablate.recipe.mends import CHOOSING
from ablate.registry import entries, lookup
from ablate.rng.noise import Noise
from ablate.schedules import Schedule
from ablate.tricks.shared.pictures import Share, choose
from ablate.tricks.trick import Context

SPEC = Spec((3, 8, 8), 4, "regression")
BATCHES = 1500


def chosen(share, samples, *, seeds=(0,), batches=BATCHES):
    noise = Noise(seeds, "trick/x")
    noise.begin(1)
    return torch.stack([choose(noise, samples, share) for _ in range(batches)])


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 33])
@pytest.mark.parametrize("share", [0.1, 0.4, 0.5, 0.8])
def test_each_sample_is_chosen_with_probability_share(share, samples):
    found = chosen(share, samples).double()
    counts, exact = found.sum(1), share * samples
    assert set(counts.tolist()) <= {math.floor(exact), math.ceil(exact)}
    fraction = exact % 1
    # four standard deviations of a binomial mean
    assert counts.mean() == pytest.approx(exact, abs=4 * math.sqrt(fraction * (1 - fraction) / BATCHES) + 1e-9)
    most = 4 * math.sqrt(share * (1 - share) / BATCHES)
    assert found.mean(0).tolist() == pytest.approx([share] * samples, abs=most)


# from version 0.1.0: by seed: share, samples and those chosen, in successive calls
BEFORE = {
    0: [(0.5, 8, [0, 1, 2, 3]), (0.25, 8, [0, 1]), (0.1, 30, [1, 6, 29]), (0.7, 10, [1, 2, 3, 4, 5, 6, 9])],
    3: [(0.5, 8, [3, 5, 6, 7]), (0.25, 8, [1, 6]), (0.1, 30, [2, 7, 13]), (0.7, 10, [1, 2, 3, 4, 7, 8, 9])],
}
# its random_erasing and flip of two in eight samples, in three batches
FLIPPED = [[0, 5], [0, 2], [1, 4]]
ERASED, SUMS = [[2, 6], [2, 7], [1, 4]], [255.7054, 256.4842, 261.6748]


@pytest.mark.parametrize("seed", BEFORE)
def test_whole_numbers_of_samples_are_those_of_before(seed):
    noise = Noise((seed,), "trick/x")
    noise.begin(2)
    for share, samples, expected in BEFORE[seed]:
        if share == 0.7:  # after one more call
            assert choose(noise, 100, 0.57).sum() == 57
        assert choose(noise, samples, share).nonzero()[:, 0].tolist() == expected


def test_what_follows_a_whole_number_is_that_of_before():
    spec, inputs = Spec((1, 8, 8), 4, "regression"), torch.arange(8 * 64.0).view(8, 1, 8, 8) / 512
    for name, expected in (("flip", FLIPPED), ("random_erasing", ERASED)):
        trick = lookup("trick", name).settings(share=0.25)
        trick.bind(Context(spec, (1,), 1, 1))
        noise = Noise((1,), f"trick/{name}")
        outs = [trick.on_batch(Batch(inputs, inputs, inputs, spec), noise).inputs for _ in range(3)]
        assert [(out != inputs).flatten(1).any(1).nonzero()[:, 0].tolist() for out in outs] == expected
        if name == "random_erasing":
            assert [float(out.double().sum()) for out in outs] == pytest.approx(SUMS, abs=1e-3)


def batches_of(name, share, samples, batches, seeds=(0,)):
    """The inputs of batches before and after a trick."""
    trick = lookup("trick", name).settings(share=share, **({"pixels": 3} if name == "cutout" else {}))
    trick.bind(Context(SPEC, seeds, 1, 1))
    draw = torch.Generator().manual_seed(1)
    data = Part(torch.rand(20, *SPEC.input_shape, generator=draw), torch.rand(20, 4, generator=draw))
    trick.on_data(Parts(data, data, SPEC))
    noise = Noise(seeds, f"trick/{name}")
    for _ in range(batches):
        inputs = torch.rand(samples, *SPEC.input_shape, generator=draw)
        targets = torch.rand(samples, 4, generator=draw)
        if len(seeds) > 1:
            inputs, targets = (values.expand(len(seeds), *values.shape) for values in (inputs, targets))
        yield inputs, trick.on_batch(Batch(inputs, targets, targets, SPEC), noise).inputs


def changed(*args):
    """The fraction of samples that a trick changes."""
    rows = [(after != before).flatten(1).any(1).double().mean() for before, after in batches_of(*args)]
    return float(sum(rows) / len(rows))


def test_the_tricks_with_a_share_of_each_batch_are_known():
    fields = {entry.name: entry.settings.model_fields.get("share") for entry in entries("trick")}
    own = {name for name, field in fields.items() if field and Schedule in getattr(field.annotation, "__args__", ())}
    assert own == set(CHOOSING)
    assert Share.__args__ == (float | Schedule,)


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 3, 7])
@pytest.mark.parametrize("name", CHOOSING)
def test_a_trick_changes_its_share_at_every_batch_size(name, samples):
    batches = 600 // samples
    # cutmix and crop may leave a chosen sample as it is, and mixup has no partner for a single one
    most = changed(name, 1, samples, batches)
    found = changed(name, 0.4, samples, batches)
    assert found == pytest.approx(0.4 * most, abs=4 * math.sqrt(0.24 / (samples * batches)))


@pytest.mark.parametrize("name", CHOOSING)
def test_a_stack_changes_what_each_seed_changes_alone(name):
    together = [after for _, after in batches_of(name, 0.4, 3, 20, seeds=(0, 1, 2))]
    for i in range(3):
        alone = [after for _, after in batches_of(name, 0.4, 3, 20, seeds=(i,))]
        assert all(torch.equal(mine[i], own) for mine, own in zip(together, alone, strict=True))
