"""Losses of classes and masks against torch, NumPy and cases worked by hand, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.data.dataset import Spec
from ablate.registry import lookup

SHAPES = [(9, 5), (4, 3, 6), (2, 4, 5, 3)]


def loss(name, **fields):
    return lookup("loss", name).settings(**fields)


def case(shape, ignored=False):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64, generator=draw)
    classes = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=draw)
    if ignored:
        classes.view(-1)[::4] = -100
    return logits, classes


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ignored", [False, True])
def test_focal_of_gamma_0_is_cross_entropy(shape, ignored):
    logits, classes = case(shape, ignored)
    torch.testing.assert_close(loss("focal", gamma=0)(logits, classes), F.cross_entropy(logits, classes))
    soft = logits.roll(1, 0).softmax(dim=1)
    torch.testing.assert_close(loss("focal", gamma=0)(logits, soft), F.cross_entropy(logits, soft))


def test_focal_by_hand():
    # softmax of (log 3, 0) is (3/4, 1/4)
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]], dtype=torch.float64)
    easy, hard = (1 / 4) ** 2 * -math.log(3 / 4), (3 / 4) ** 2 * -math.log(1 / 4)
    assert loss("focal")(logits, torch.tensor([0, 1])).item() == pytest.approx((easy + hard) / 2, rel=1e-12)
    weighted = loss("focal", alpha=0.75)(logits, torch.tensor([0, 1]))
    assert weighted.item() == pytest.approx((0.25 * easy + 0.75 * hard) / 2, rel=1e-12)
    assert loss("focal", alpha=[0.25, 0.75])(logits, torch.tensor([0, 1])).item() == weighted.item()
    soft = loss("focal")(logits[:1], torch.tensor([[0.6, 0.4]], dtype=torch.float64))
    assert soft.item() == pytest.approx(0.6 * easy + 0.4 * hard, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_has_gradients_where_the_network_is_sure(gamma):
    logits = torch.tensor([[800.0, 0.0], [0.0, 800.0]], requires_grad=True)
    loss("focal", gamma=gamma)(logits, torch.tensor([0, 0])).backward()
    assert logits.grad.isfinite().all()


def test_focal_wants_an_alpha_for_each_class():
    spec = Spec((1,), 3, "classification")
    loss("focal", alpha=[1, 2, 3]).check("focal", spec)
    for alpha in (0.25, [0.5, 0.5]):
        with pytest.raises(ValueError, match=r"loss\.alpha \(=.*\) must have one number for each of the 3 classes"):
            loss("focal", alpha=alpha).check("focal", spec)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ignored", [False, True])
def test_mse_on_softmax(shape, ignored):
    logits, classes = case(shape, ignored)
    known = classes >= 0
    share = logits.softmax(1).movedim(1, -1)[known]
    expected = F.mse_loss(share, F.one_hot(classes[known], shape[1]).double())
    torch.testing.assert_close(loss("mse_on_softmax")(logits, classes), expected)


def test_mse_on_softmax_stalls_where_cross_entropy_does_not():
    logits = torch.tensor([[30.0, 0.0]], dtype=torch.float64, requires_grad=True)
    slopes = {}
    for name in ("mse_on_softmax", "cross_entropy"):
        logits.grad = None
        loss(name)(logits, torch.tensor([1])).backward()
        slopes[name] = logits.grad.abs().max().item()
    assert slopes["mse_on_softmax"] < 1e-10
    assert slopes["cross_entropy"] == pytest.approx(1)


@pytest.mark.parametrize("background", [True, False])
def test_dice_against_numpy(background):
    logits, classes = case((2, 4, 5, 3), ignored=True)
    share = logits.softmax(1).numpy()
    values = []
    for n in range(2):
        known = classes[n].numpy() >= 0
        for k in range(0 if background else 1, 4):
            p, t = share[n, k][known], (classes[n].numpy()[known] == k).astype(float)
            values.append(1 - (2 * (p * t).sum() + 0.5) / (p.sum() + t.sum() + 0.5))
    made = loss("dice", smooth=0.5, background=background)
    assert made(logits, classes).item() == pytest.approx(np.mean(values), rel=1e-12)
    whole = loss("dice_ce", smooth=0.5, background=background, dice_weight=2, ce_weight=0.25)(logits, classes)
    expected = 2 * np.mean(values) + 0.25 * F.cross_entropy(logits, classes).item()
    assert whole.item() == pytest.approx(expected, rel=1e-12)


def test_dice_is_near_0_for_the_right_masks_and_the_same_in_any_batch():
    _, classes = case((2, 4, 5, 3))
    sure = 50 * F.one_hot(classes, 4).double().movedim(-1, 1)
    assert loss("dice")(sure, classes).item() == pytest.approx(0, abs=1e-12)
    logits, _ = case((2, 4, 5, 3))
    alone = [loss("dice")(logits[i : i + 1], classes[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss("dice")(logits, classes), sum(alone) / 2)


@pytest.mark.parametrize("name", ["focal", "mse_on_softmax", "dice", "dice_ce"])
def test_stacks_soft_targets_and_refusals(name):
    made = loss(name)
    logits, classes = case((2, 4, 5, 3), ignored=True)
    stacked = torch.vmap(made)(torch.stack([logits, -logits]), torch.stack([classes, classes.roll(1, -1)]))
    torch.testing.assert_close(stacked, torch.stack([made(logits, classes), made(-logits, classes.roll(1, -1))]))
    full = classes.clamp(min=0)
    hot = F.one_hot(full, 4).movedim(-1, 1).double()
    torch.testing.assert_close(made(logits, hot), made(logits, full))
    with pytest.raises(ValueError, match=rf"loss \(={name}\) requires predictions \(N, classes, …\)") as error:
        made(torch.zeros(4, 3), torch.zeros(4, 2))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=rf"loss \(={name}\) requires class indices as targets"):
        made.check(name, Spec((1,), 2, "regression"))


@pytest.mark.parametrize("name", ["dice", "dice_ce"])
def test_dice_needs_masks(name):
    with pytest.raises(ValueError, match=rf"loss \(={name}\) requires segmentation masks"):
        loss(name)(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
