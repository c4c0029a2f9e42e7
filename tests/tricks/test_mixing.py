"""Mixup and cutmix: λ against SciPy's Beta, inputs and targets mixed alike, each seed of a stack within itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from ablate.data.dataset import Batch, Keypoints, Spec
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.mixing import blend, span, taken
from ablate.tricks.shared.beta import symmetric_beta
from ablate.tricks.trick import Context

CLASSES = Spec((1, 8, 8), 3, "classification")
NUMBERS = Spec((5,), 2, "regression")
POINTS = Spec((1, 8, 8), 4, "regression", keypoints=Keypoints((), ("a", "b")))
MASKS = Spec((1, 8, 8), 3, "other")


def applied(name, batch, seed=0, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(batch.spec, (seed,), 1, 1))
    return trick.on_batch(batch, Noise((seed,), "x"))


def batch_of(spec, n, classes=True, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.rand(n, *spec.input_shape, generator=draw, dtype=torch.float64)
    if spec is MASKS:
        targets = torch.randint(0, 3, (n, 8, 8), generator=draw)
    elif spec.task == "classification":
        targets = torch.randint(0, 3, (n,), generator=draw)
    else:
        targets = torch.randn(n, spec.outputs, generator=draw, dtype=torch.float64)
    return Batch(inputs, targets, targets, spec)


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 3.0, 50.0])
def test_lambda_has_scipys_beta_distribution(alpha):
    drawn = symmetric_beta(Noise((0,), "x"), alpha, 20000).double().numpy()
    assert ((drawn >= 0) & (drawn <= 1)).all()
    # kstest's p is below 1e-4 once in 10,000; both ends are beyond float32 for a small α
    inside = np.clip(drawn, 1e-7, 1 - 1e-7)
    distance = np.abs(np.sort(stats.beta(alpha, alpha).cdf(inside)) - (np.arange(20000) + 0.5) / 20000).max()
    ends = stats.beta(alpha, alpha).cdf(1e-7)
    assert distance < 0.016 + ends


def test_lambda_is_a_number_for_the_smallest_alpha():
    drawn = symmetric_beta(Noise((0,), "x"), 1e-3, 5000)
    assert drawn.isfinite().all()
    assert drawn.mean() == pytest.approx(0.5, abs=0.03)


def weights_of(inputs, out):
    """λ and the partner of each mixed sample (n, …), by trying every pair."""
    flat, mixed = inputs.flatten(1), out.flatten(1)
    found = []
    for i, sample in enumerate(mixed):
        options = []
        for j, other in enumerate(flat):
            direction = flat[i] - other
            weight = ((sample - other) @ direction / (direction @ direction)) if i != j else torch.tensor(1.0).double()
            error = (weight * flat[i] + (1 - weight) * other - sample).abs().max()
            options.append((float(error), j, float(weight)))
        error, partner, weight = min(options)
        assert error < 1e-9
        found.append((partner, weight))
    return found


@pytest.mark.parametrize("spec", [NUMBERS, POINTS], ids=["table", "keypoints"])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_mixup_of_regression_mixes_targets_as_inputs(spec, per):
    batch = batch_of(spec, 10)
    out = applied("mixup", batch, alpha=1.0, per=per)
    pairs = weights_of(batch.inputs, out.inputs)
    for i, (partner, weight) in enumerate(pairs):
        expected = weight * batch.targets[i] + (1 - weight) * batch.targets[partner]
        torch.testing.assert_close(out.targets[i], expected, atol=1e-9, rtol=0)
    assert out.true_targets is batch.true_targets
    # a sample that is its own partner has any λ, here found as 1
    mixed = [round(weight, 6) for _, weight in pairs if weight < 1]
    assert len(mixed) > 5
    assert len(set(mixed)) == (1 if per == "batch" else len(mixed))


def test_mixup_of_classes_gives_probabilities_and_the_loss_of_both():
    batch = batch_of(CLASSES, 12)
    out = applied("mixup", batch, alpha=1.0)
    assert out.targets.shape == (12, 3)
    assert out.targets.dtype == torch.float64
    torch.testing.assert_close(out.targets.sum(1), torch.ones(12).double())
    logits = torch.randn(12, 3, dtype=torch.float64)
    both = torch.stack(
        [
            weight * torch.nn.functional.cross_entropy(logits[i], batch.targets[i])
            + (1 - weight) * torch.nn.functional.cross_entropy(logits[i], batch.targets[partner])
            for i, (partner, weight) in enumerate(weights_of(batch.inputs, out.inputs))
        ]
    ).mean()
    loss = lookup("loss", "cross_entropy").settings()
    torch.testing.assert_close(loss(logits, out.targets), both, rtol=1e-9, atol=0)


def test_mixup_of_masks_gives_probabilities_at_every_pixel():
    batch = batch_of(MASKS, 6)
    out = applied("mixup", batch, alpha=1.0)
    assert out.targets.shape == (6, 3, 8, 8)
    torch.testing.assert_close(out.targets.sum(1), torch.ones(6, 8, 8).double())


@pytest.mark.parametrize(("name", "spec"), [("mixup", NUMBERS), ("mixup", CLASSES), ("cutmix", CLASSES)])
def test_a_share_is_mixed_and_the_rest_is_bit_equal(name, spec):
    batch = batch_of(spec, 40)
    kept = batch.inputs.clone()
    out = applied(name, batch, share=0.25, alpha=5.0)
    changed = (out.inputs != batch.inputs).flatten(1).any(1)
    assert 7 <= changed.sum() <= 10  # a sample may be its own partner
    targets = batch.targets if spec is NUMBERS else torch.nn.functional.one_hot(batch.targets).double()
    assert torch.equal(out.targets[~changed], targets[~changed])
    assert torch.equal(batch.inputs, kept)


def test_a_missing_half_is_missing_and_an_unmixed_sample_keeps_its_number():
    values, others = torch.tensor([[1.0], [2.0], [torch.nan]]), torch.tensor([[torch.nan], [torch.nan], [1.0]])
    out = blend(values, others, torch.tensor([0.5, 1.0, 0.5]))
    assert out[:, 0].isnan().tolist() == [True, False, True]


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_cutmix_mixes_targets_by_the_area_that_is_pasted(per):
    batch = batch_of(CLASSES, 20)
    batch.inputs = torch.arange(20.0).double()[:, None, None, None].expand(20, 1, 8, 8).clone()
    out = applied("cutmix", batch, per=per)
    hot = torch.nn.functional.one_hot(batch.targets).double()
    areas = []
    for i, picture in enumerate(out.inputs[:, 0]):
        others = picture[picture != i]
        assert len(others.unique()) <= 1
        partner = int(others[0]) if len(others) else i
        share = len(others) / 64
        torch.testing.assert_close(out.targets[i], (1 - share) * hot[i] + share * hot[partner])
        if len(others):
            areas.append(share)
            inside = picture != i
            rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
            assert inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].all()
    assert areas
    assert len(set(areas)) == 1 if per == "batch" else len(set(areas)) > 3


def test_masks_are_pasted_with_their_pictures():
    batch = batch_of(MASKS, 10)
    batch.inputs = batch.targets[:, None].double()
    out = applied("cutmix", batch, per="sample")
    assert out.targets.dtype == torch.int64
    assert torch.equal(out.inputs[:, 0], out.targets.double())
    assert not torch.equal(out.targets, batch.targets)


def test_a_stretch_is_cut_to_the_picture():
    first, past = span(torch.tensor([0.5, 0.0, 1.0, 0.5]), torch.tensor([0.5, 0.5, 0.5, 1.0]), 8)
    assert first.tolist() == [2, 0, 6, 0]
    assert past.tolist() == [6, 2, 8, 8]


def test_partners_are_of_the_same_seed():
    values = torch.arange(8).view(2, 4)
    assert taken(values, torch.tensor([[3, 2, 1, 0], [1, 0, 3, 2]])).tolist() == [[3, 2, 1, 0], [5, 4, 7, 6]]


def test_an_alpha_in_time_is_followed():
    batch = batch_of(CLASSES, 16)
    trick = lookup("trick", "mixup").settings(alpha={"linear": [0.001, 1000]}, per="sample")
    trick.bind(Context(CLASSES, (0,), 1, 2))
    shares = []
    for step in (0, 1):
        trick.now.set(step)
        shares.append(trick.on_batch(batch, Noise((0,), "x")).targets.amax(1).mean())
    assert shares[0] > 0.98
    assert shares[1] < 0.9


def test_tokens_cannot_be_blended():
    tokens = torch.ones(3, 5, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"trick \(=mixup\) requires floating-point inputs, but they are torch\.int64"):
        applied("mixup", Batch(tokens, tokens, tokens, NUMBERS))


@pytest.mark.parametrize(
    ("name", "fields"), [("mixup", {"alpha": 0}), ("cutmix", {"alpha": -1}), ("mixup", {"share": 2})]
)
def test_ranges(name, fields):
    with pytest.raises(ValueError, match="must be"):
        lookup("trick", name).settings(**fields)
