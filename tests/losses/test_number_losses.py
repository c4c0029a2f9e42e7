"""Losses of numbers and of yes/no answers against NumPy and torch in float64, with gaps, soft targets and stacks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.data.dataset import Spec
from ablate.registry import lookup


def loss(name, **fields):
    return lookup("loss", name).settings(**fields)


def numpy_huber(x, delta):
    return np.where(np.abs(x) <= delta, 0.5 * x**2, delta * (np.abs(x) - 0.5 * delta))


BY_HAND = {
    "l1": ({}, np.abs),
    "smooth_l1": ({}, lambda x: np.where(np.abs(x) < 1, 0.5 * x**2, np.abs(x) - 0.5)),
    "smooth_l1 of beta 0.3": ({"beta": 0.3}, lambda x: numpy_huber(x, 0.3) / 0.3),
    "huber": ({"delta": 0.7}, lambda x: numpy_huber(x, 0.7)),
}


@pytest.fixture
def pair():
    draw = np.random.default_rng(0)
    prediction, target = draw.normal(size=(7, 4)), draw.normal(size=(7, 4))
    gaps = draw.random((7, 4)) < 0.3
    return prediction, target, gaps


@pytest.mark.parametrize("case", BY_HAND)
def test_of_numbers(pair, case):
    prediction, target, gaps = pair
    fields, by_hand = BY_HAND[case]
    made = loss(case.split()[0], **fields)
    p, t = torch.tensor(prediction, requires_grad=True), torch.tensor(np.where(gaps, np.nan, target))
    assert made.for_targets(missing=False)(p, torch.tensor(target)).item() == pytest.approx(
        by_hand(prediction - target).mean(), rel=1e-12
    )
    value = made(p, t)
    assert value.shape == ()
    assert value.item() == pytest.approx(by_hand(prediction - target)[~gaps].mean(), rel=1e-12)
    assert made.weight(t).item() == (~gaps).sum()
    value.backward()
    assert not p.grad[torch.tensor(gaps)].any()
    assert p.grad[torch.tensor(~gaps)].all()
    torch.testing.assert_close(
        torch.vmap(made)(torch.stack([p, 2 * p]), torch.stack([t, t + 1])),
        torch.stack([made(p, t), made(2 * p, t + 1)]),
    )


@pytest.mark.parametrize("name", ["l1", "smooth_l1", "huber", "bce"])
def test_nothing_known_is_0_and_shapes_are_checked(name):
    made, p = loss(name), torch.ones(2, 3, requires_grad=True)
    value = made(p, torch.full((2, 3), torch.nan))
    value.backward()
    assert value.item() == 0
    assert not p.grad.any()
    with pytest.raises(
        ValueError, match=rf"loss \(={name}\) requires predictions and targets of the same shape"
    ) as error:
        made(torch.zeros(4, 3), torch.zeros(4, 2))
    assert "\n" not in str(error.value)
    assert made(torch.tensor([[1.0], [0.0]]), torch.tensor([1.0, 0.0])).shape == ()


def test_smooth_l1_is_differentiable_at_0_and_l1_is_not():
    x = torch.tensor([[-1e-3], [1e-3]], dtype=torch.float64, requires_grad=True)
    for name, slope in (("smooth_l1", 1e-3), ("l1", 1.0)):
        x.grad = None
        loss(name)(x, torch.zeros(2, 1, dtype=torch.float64)).backward()
        assert (x.grad * 2).flatten().tolist() == pytest.approx([-slope, slope])


@pytest.mark.parametrize("positive", [1.0, 3.0])
def test_bce_of_answers_with_gaps(pair, positive):
    prediction, _, gaps = pair
    share = np.random.default_rng(1).random((7, 4))
    sigmoid = 1 / (1 + np.exp(-prediction))
    each = -(positive * share * np.log(sigmoid) + (1 - share) * np.log(1 - sigmoid))
    made = loss("bce", positive=positive)
    p, t = torch.tensor(prediction), torch.tensor(np.where(gaps, np.nan, share))
    assert made(p, t).item() == pytest.approx(each[~gaps].mean(), rel=1e-12)
    assert made.for_targets(missing=False)(p, torch.tensor(share)).item() == pytest.approx(each.mean(), rel=1e-12)
    torch.testing.assert_close(torch.vmap(made)(p[None], t[None])[0], made(p, t))


def test_bce_of_class_numbers():
    logits = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 2, 1, -100, 1, 0])
    known = classes >= 0
    hot = F.one_hot(classes.clamp(min=0), 3).double()
    expected = F.binary_cross_entropy_with_logits(logits[known], hot[known])
    torch.testing.assert_close(loss("bce")(logits, classes), expected)
    one = loss("bce")(logits[:, :1], classes.clamp(max=1))
    torch.testing.assert_close(
        one, F.binary_cross_entropy_with_logits(logits[known, 0], classes[known].clamp(max=1).double())
    )
    torch.testing.assert_close(torch.vmap(loss("bce"))(logits[None], classes[None])[0], expected)


def test_bce_refuses_targets_that_are_no_probabilities():
    spec = Spec((1,), 1, "regression")
    with pytest.raises(
        ValueError, match=r"loss \(=bce\) requires targets between 0 and 1, but they range from -3 to 0.5"
    ) as error:
        loss("bce").for_data(torch.tensor([[-3.0], [0.5], [torch.nan]]), spec)
    assert "\n" not in str(error.value)
    for fine in (None, torch.tensor([0, 1]), torch.tensor([0.0, torch.nan, 1.0])):
        assert loss("bce").for_data(fine, spec) == loss("bce")
