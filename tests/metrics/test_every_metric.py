"""Metrics against torchmetrics and scikit-learn in float64: over a whole part, with gaps, for each seed of a stack."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics.functional as tm
from torch.nn import functional as F

from ablate.data.dataset import Spec, TargetScaling
from ablate.engine.each_seed import one_by_one
from ablate.metrics.regression import in_original_unit
from ablate.registry import entries, lookup

CLASSES = Spec((4,), 5, "classification")
NUMBERS = Spec((4,), 3, "regression")


def value(name, prediction, target, spec=CLASSES, **fields):
    found = lookup("metric", name).settings(**fields).measure(prediction, target, spec)
    assert found.shape == ()
    assert found.dtype == torch.float64
    return found.item()


@pytest.fixture
def logits():
    draw = torch.Generator().manual_seed(0)
    target = torch.multinomial(torch.tensor([0.4, 0.3, 0.2, 0.09, 0.01]), 300, replacement=True, generator=draw)
    hot = F.one_hot(target, 5).double()
    return 1.5 * hot + torch.randn(300, 5, dtype=torch.float64, generator=draw), target


@pytest.fixture
def masks():
    draw = torch.Generator().manual_seed(1)
    target = torch.randint(0, 3, (6, 8, 7), generator=draw)
    target[0] = 0
    return F.one_hot(target, 4).movedim(-1, 1).double() + 0.8 * torch.randn(
        6, 4, 8, 7, dtype=torch.float64, generator=draw
    ), target


@pytest.fixture
def numbers():
    draw = torch.Generator().manual_seed(2)
    target = torch.randn(80, 3, dtype=torch.float64, generator=draw) * torch.tensor([1.0, 10.0, 0.1])
    return target + 0.3 * torch.randn(80, 3, dtype=torch.float64, generator=draw), target


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k(logits, k):
    expected = sk.top_k_accuracy_score(logits[1], logits[0], k=k, labels=range(5))
    assert value("top_k", *logits, k=k) == pytest.approx(expected, rel=1e-12)
    if k == 1:
        assert value("accuracy", *logits) == pytest.approx(expected)


def test_top_k_of_ties_and_of_no_numbers():
    same = torch.zeros(5, 5)
    assert value("top_k", same, torch.arange(5), k=2) == pytest.approx(2 / 5)
    assert value("top_k", torch.full((5, 5), torch.nan), torch.arange(5), k=2) == 0
    with pytest.raises(ValueError, match=r"k \(=5\) must be less than the number of classes \(5\)"):
        lookup("metric", "top_k").settings(k=5).check("top_k", CLASSES)


def test_error(logits):
    assert value("error", *logits) == pytest.approx(1 - sk.accuracy_score(logits[1], logits[0].argmax(1)), rel=1e-12)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_f1(logits, average):
    expected = sk.f1_score(logits[1], logits[0].argmax(1), average=average)
    assert value("f1", *logits, average=average) == pytest.approx(expected, rel=1e-6)


def test_f1_of_the_positive_class(logits):
    prediction, target = logits[0][:, :2], logits[1].clamp(max=1)
    assert value("f1", prediction, target, average="positive") == pytest.approx(
        sk.f1_score(target, prediction.argmax(1)), rel=1e-6
    )


def test_overlap_over_the_set(masks):
    guess, truth = masks[0].argmax(1).flatten(), masks[1].flatten()
    assert set(truth.tolist()) == {0, 1, 2}
    assert set(guess.tolist()) >= {0, 1, 2}
    assert value("iou", *masks) == pytest.approx(sk.jaccard_score(truth, guess, average="macro"), rel=1e-12)
    assert value("iou", *masks) == pytest.approx(
        tm.jaccard_index(guess, truth, "multiclass", num_classes=4).item(), rel=1e-6
    )
    assert value("dice", *masks) == pytest.approx(sk.f1_score(truth, guess, average="macro"), rel=1e-12)
    foreground = sk.f1_score(truth, guess, average="macro", labels=sorted({*truth.tolist(), *guess.tolist()} - {0}))
    assert value("dice", *masks, background=False) == pytest.approx(foreground, rel=1e-12)


@pytest.mark.parametrize(("name", "reference"), [("dice", sk.f1_score), ("iou", sk.jaccard_score)])
def test_overlap_by_picture(masks, name, reference):
    each = [
        reference(truth.flatten(), guess.flatten(), average="macro")
        for guess, truth in zip(masks[0].argmax(1), masks[1], strict=True)
    ]
    assert value(name, *masks, per="picture") == pytest.approx(np.mean(each), rel=1e-12)
    assert value(name, *masks, per="picture") != pytest.approx(value(name, *masks))


def test_perplexity():
    draw = torch.Generator().manual_seed(3)
    logits, target = (
        torch.randn(4, 6, 9, dtype=torch.float64, generator=draw),
        torch.randint(0, 6, (4, 9), generator=draw),
    )
    target[:, -2:] = -100
    expected = tm.text.perplexity(logits.movedim(1, -1), target, ignore_index=-100)
    assert value("perplexity", logits, target) == pytest.approx(expected.item(), rel=1e-9)
    assert value("perplexity", torch.zeros(3, 6), torch.tensor([0, 1, 2])) == pytest.approx(6)


@pytest.mark.parametrize("norm", ["l1", "max"])
@pytest.mark.parametrize("bins", [10, 15])
def test_ece(logits, bins, norm):
    share = logits[0].softmax(1)
    confidence, guess = share.max(1)
    right = (guess == logits[1]).double()
    place = (confidence * bins).long().clamp(max=bins - 1)
    gaps, weights = [], []
    for i in place.unique():
        inside = place == i
        gaps.append(abs(right[inside].mean() - confidence[inside].mean()).item())
        weights.append(inside.double().mean().item())
    expected = max(gaps) if norm == "max" else np.dot(gaps, weights)
    assert value("ece", *logits, bins=bins, norm=norm) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
def test_ece_of_more_positions_than_float32_can_count():
    """2 ** 25 positions in one bin: float32 stops counting at 2 ** 24."""
    logits = torch.tensor([[math.log(3), 0.0]]).expand(2**25, 2)
    truth = torch.zeros(2**25, dtype=torch.int64)
    truth[::2] = 1
    assert value("ece", logits, truth) == pytest.approx(3 / 4 - 1 / 2, abs=1e-6)


def test_ece_takes_logits_between_0_and_1_for_logits(logits):
    small = logits[0].sigmoid()
    assert value("ece", small, logits[1]) == pytest.approx(value("ece", small + 100, logits[1]), rel=1e-9)


def test_of_numbers(numbers):
    prediction, target = numbers
    assert value("rmse", *numbers, NUMBERS) == pytest.approx(
        sk.root_mean_squared_error(target.flatten(), prediction.flatten())
    )
    assert value("mae", *numbers, NUMBERS) == pytest.approx(sk.mean_absolute_error(target, prediction))
    assert value("r2", *numbers, NUMBERS) == pytest.approx(sk.r2_score(target, prediction))
    assert value("r2", prediction[:, :1], target[:, 0], NUMBERS) == pytest.approx(
        sk.r2_score(target[:, 0], prediction[:, 0])
    )


SCALE_FREE = {"r2": sk.r2_score}
"""Metrics that depend neither on the unit nor on the mean of the targets, and scikit-learn's."""


def test_every_metric_of_numbers_is_known_to_be_scale_free_or_in_the_unit_of_the_targets(numbers):
    prediction, target = numbers
    for entry in entries("metric"):
        if entry.settings.task != "regression":
            continue
        tenfold = value(entry.name, 10 * prediction, 10 * target, NUMBERS)
        same = tenfold == pytest.approx(value(entry.name, prediction, target, NUMBERS))
        assert same == (entry.name in SCALE_FREE), entry.name


@pytest.mark.parametrize("name", SCALE_FREE)
@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("shift", [0.0, 1e6, 1e9])
def test_the_unit_and_the_mean_of_targets_make_no_difference(numbers, name, unit, shift):
    prediction, target = ((values + shift) * unit for values in numbers)
    found = value(name, prediction, target, NUMBERS)
    assert found == pytest.approx(SCALE_FREE[name](target.numpy(), prediction.numpy()), rel=1e-9)
    assert found == pytest.approx(value(name, *numbers, NUMBERS), abs=1e-4)
    scaled = Spec((4,), 3, "regression", target_scaling=TargetScaling((shift * unit,), (unit,)))
    measure = in_original_unit(lambda p, t: lookup("metric", name).settings().measure(p, t, scaled), scaled)
    stored = tuple(values.float() for values in numbers)
    assert measure(*stored).item() == pytest.approx(value(name, *numbers, NUMBERS), abs=1e-4)


def test_r2_of_equal_targets():
    target = torch.full((7, 1), 0.1, dtype=torch.float64)
    ones = np.ones(7)
    assert value("r2", target, target, NUMBERS) == sk.r2_score(ones, ones) == 1
    assert value("r2", target + 1e-9, target, NUMBERS) == sk.r2_score(ones, ones + 1e-9) == 0


def test_gaps_of_numbers(numbers):
    prediction, target = numbers
    gaps = target.clone()
    gaps[torch.rand(gaps.shape, generator=torch.Generator().manual_seed(4)) < 0.4] = torch.nan
    known = ~gaps.isnan()
    assert value("rmse", prediction, gaps, NUMBERS) == pytest.approx(
        sk.root_mean_squared_error(target[known], prediction[known])
    )
    assert value("mae", prediction, gaps, NUMBERS) == pytest.approx(
        sk.mean_absolute_error(target[known], prediction[known])
    )
    each = [sk.r2_score(target[known[:, i], i], prediction[known[:, i], i]) for i in range(3)]
    assert value("r2", prediction, gaps, NUMBERS) == pytest.approx(np.mean(each))
    nothing = torch.full_like(target, torch.nan)
    assert all(np.isnan(value(name, prediction, nothing, NUMBERS)) for name in ("rmse", "mae", "r2"))


OF_CLASSES = ("top_k", "error", "f1", "dice", "iou", "perplexity", "ece")


@pytest.mark.parametrize("name", OF_CLASSES)
def test_what_has_no_class_does_not_count(masks, name):
    prediction, target = masks
    fields = {"k": 2} if name == "top_k" else {}
    known = target.clone()
    known[:, :2] = -100
    rest = value(name, prediction[:, :, 2:], target[:, 2:], **fields)
    assert value(name, prediction, known, **fields) == pytest.approx(rest, rel=1e-9)
    assert rest != pytest.approx(value(name, prediction, target, **fields), rel=1e-9)


@pytest.mark.parametrize("name", [*OF_CLASSES, "rmse", "mae", "r2"])
def test_targets_of_the_other_kind_are_refused(name):
    metric = lookup("metric", name).settings(**({"k": 2} if name == "top_k" else {}))
    of_classes = name in OF_CLASSES
    other, kinds = (
        (NUMBERS, "class indices as targets, but the targets are continuous values")
        if of_classes
        else (CLASSES, "continuous values as targets, but the targets are class indices")
    )
    with pytest.raises(ValueError, match=rf"metric \(={name}\) requires {kinds}"):
        metric.check(name, other)
    wrong = (
        (torch.zeros(4, 3, 2), torch.zeros(4, 3, 2))
        if of_classes
        else (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    )
    with pytest.raises(ValueError, match=rf"metric \(={name}\) requires") as error:
        metric.measure(*wrong, other)
    assert "\n" not in str(error.value)


def test_every_seed_of_a_stack_has_its_own(masks):
    prediction, target = masks
    for entry in entries("metric"):
        if entry.settings.task != "classification":
            continue
        metric = entry.settings(**({"k": 2} if entry.name == "top_k" else {}))
        stacked = one_by_one(lambda p, t, metric=metric: metric.measure(p, t, CLASSES))
        found = stacked(torch.stack([prediction, prediction.roll(1, 0)]), target.expand(2, *target.shape))
        expected = [metric.measure(p, target, CLASSES) for p in (prediction, prediction.roll(1, 0))]
        assert found.tolist() == pytest.approx([float(x) for x in expected]), entry.name
        assert expected[0] != expected[1]


@pytest.mark.parametrize("name", [*OF_CLASSES, "rmse", "mae", "r2"])
def test_a_network_that_has_diverged_is_measured_without_an_error_and_never_looks_good(name, masks, numbers):
    metric = lookup("metric", name).settings(**({"k": 2} if name == "top_k" else {}))
    prediction, target = masks if name in OF_CLASSES else numbers
    good = metric.measure(prediction, target, CLASSES).item()
    found = metric.measure(torch.full_like(prediction, torch.nan), target, CLASSES).item()
    assert np.isnan(found) or (found < good if metric.better == "higher" else found > good)
    assert np.isnan(found) or name in ("top_k", "error", "f1", "dice", "iou")
