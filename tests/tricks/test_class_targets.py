"""Label smoothing and class weights against torch's own, in float64."""

from __future__ import annotations

import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from ablate.data.dataset import Batch, Part, Parts, Spec
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context

SPEC = Spec((5,), 4, "classification")
MASKS = Spec((1, 6, 7), 4, "other")
LOSS = lookup("loss", "cross_entropy").settings()


def example(spec=SPEC, n=30, seed=0):
    """A batch and logits, in float64; class 0 is the most frequent."""
    draw = torch.Generator().manual_seed(seed)
    places = spec.input_shape[1:]
    targets = (torch.rand(n, *places, generator=draw) ** 2 * 4).long()
    inputs = torch.rand(n, *spec.input_shape, generator=draw).double()
    logits = torch.randn(n, 4, *places, generator=draw, dtype=torch.float64)
    return Batch(inputs, targets, targets, spec), logits


def applied(name, batch, *, targets=None, **fields):
    trick = lookup("trick", name).settings(**fields)
    trick.bind(Context(batch.spec, (0,), 1, 1))
    part = Part(torch.zeros(1), batch.targets if targets is None else targets)
    trick.on_data(Parts(part, part, batch.spec))
    out = trick.on_batch(batch, Noise((0,), "x"))
    assert torch.equal(out.true_targets, batch.true_targets)
    return out


@pytest.mark.parametrize("spec", [SPEC, MASKS], ids=["classes", "masks"])
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.7])
def test_smoothing_equals_torchs(spec, epsilon):
    batch, logits = example(spec)
    out = applied("label_smoothing", batch, epsilon=epsilon)
    expected = F.cross_entropy(logits, batch.targets, label_smoothing=epsilon)
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)


def test_smoothing_of_what_mixup_mixed():
    batch, logits = example()
    soft = torch.rand(30, 4, dtype=torch.float64)
    soft = soft / soft.sum(1, keepdim=True)
    batch.targets = soft
    out = applied("label_smoothing", batch, targets=batch.true_targets)
    expected = F.cross_entropy(logits, soft, label_smoothing=0.1)
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("spec", [SPEC, MASKS], ids=["classes", "masks"])
def test_weighing_equals_torchs(spec):
    batch, logits = example(spec)
    weights = [1.0, 0.25, 3.0, 0.0]
    out = applied("class_weights", batch, weights=weights)
    expected = F.cross_entropy(logits, batch.targets, weight=torch.tensor(weights).double())
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)


def test_what_the_loss_leaves_out_stays_out():
    batch, logits = example(MASKS)
    batch.targets[0] = -100
    out = applied("class_weights", batch, weights=[1, 2, 3, 4])
    expected = F.cross_entropy(logits, batch.targets, weight=torch.tensor([1.0, 2, 3, 4]).double())
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)
    smooth = applied("label_smoothing", batch).targets
    assert smooth[0].isnan().all()
    expected = F.cross_entropy(logits, batch.targets, label_smoothing=0.1)
    torch.testing.assert_close(LOSS(logits, smooth), expected, atol=1e-12, rtol=0)


def test_balanced_weights_are_scikit_learns():
    batch, logits = example()
    train = example(n=200, seed=1)[0].targets
    weights = compute_class_weight("balanced", classes=torch.arange(4).numpy(), y=train.numpy())
    out = applied("class_weights", batch, targets=train)
    expected = F.cross_entropy(logits, batch.targets, weight=torch.tensor(weights))
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)


def test_a_class_that_is_not_in_training_does_not_count():
    batch, _ = example()
    train = torch.tensor([0, 0, 0, 1, 2, 2])
    trick = lookup("trick", "class_weights").settings()
    trick.bind(Context(SPEC, (0,), 1, 1))
    part = Part(torch.zeros(6), train)
    trick.on_data(Parts(part, part, SPEC))
    assert trick._weights.tolist() == pytest.approx([6 / 9, 2, 1, 0])
    assert trick.on_batch(batch, Noise((0,), "x")).targets.isfinite().all()


def test_a_batch_of_classes_that_do_not_count_has_loss_0():
    batch, logits = example()
    batch.targets = torch.full((30,), 3)
    assert LOSS(logits, applied("class_weights", batch, weights=[1, 1, 1, 0]).targets) == 0


def test_smoothing_and_weights_together_are_torchs_two_arguments():
    batch, logits = example()
    weights = torch.tensor([1.0, 0.25, 3.0, 0.5]).double()
    smooth = applied("label_smoothing", batch)
    out = applied("class_weights", smooth, weights=weights.tolist())
    expected = F.cross_entropy(logits, batch.true_targets, weight=weights, label_smoothing=0.1)
    torch.testing.assert_close(LOSS(logits, out.targets), expected, atol=1e-12, rtol=0)
    assert out.weight.item() == pytest.approx(weights[batch.true_targets].mean().item(), rel=1e-12)


@pytest.mark.parametrize("name", ["label_smoothing", "class_weights", "label_noise"])
def test_numbers_have_no_classes(name):
    with pytest.raises(ValueError, match=rf"trick \(={name}\) requires class indices as targets"):
        lookup("trick", name).settings().bind(Context(Spec((5,), 1, "regression"), (0,), 1, 1))


def test_floats_of_other_data_are_not_smoothed():
    batch, _ = example()
    batch = Batch(batch.inputs, torch.rand(30, 4), torch.rand(30, 4), Spec((5,), 4, "other"))
    with pytest.raises(ValueError, match=r"trick \(=label_smoothing\) requires class indices"):
        applied("label_smoothing", batch)


def test_weights_fit_the_classes_and_the_loss():
    make = lookup("trick", "class_weights").settings
    with pytest.raises(
        ValueError, match=r"class_weights\.weights \(=\[1\.0, 2\.0\]\) must have one weight for each of the 4 classes"
    ):
        make(weights=[1, 2]).bind(Context(SPEC, (0,), 1, 1))
    with pytest.raises(ValueError, match="must not all be 0"):
        make(weights=[0, 0, 0, 0]).bind(Context(SPEC, (0,), 1, 1))
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "optimizer")}
    settings = Settings(**choices, loss=Choice("loss", "mse", None, lookup("loss", "mse").settings()))
    with pytest.raises(
        ValueError, match=r"trick \(=class_weights\) requires loss \(=cross_entropy\), but the loss is mse"
    ):
        make().on_settings(settings)
