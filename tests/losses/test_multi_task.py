"""Several losses on one network against each of them by itself, in float64."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from ablate.data.dataset import Spec
from ablate.losses.multi_task import MultiTask

TASKS = [
    {"loss": "mse", "outputs": 2},
    {"loss": "cross_entropy", "outputs": 3, "weight": 0.5},
    {"loss": "bce", "outputs": 1, "weight": 2},
]
SPEC = Spec((4,), 6, "regression")


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    prediction = torch.randn(50, 6, dtype=torch.float64, generator=draw)
    numbers = 100 * torch.randn(50, 2, dtype=torch.float64, generator=draw) + 7
    classes = torch.randint(0, 3, (50, 1), generator=draw).double()
    answers = (torch.rand(50, 1, generator=draw) < 0.2).double()
    return prediction, torch.cat([numbers, classes, answers], dim=1)


def parts(prediction, target):
    return (
        F.mse_loss(prediction[:, :2], target[:, :2]),
        F.cross_entropy(prediction[:, 2:5], target[:, 2].long()),
        F.binary_cross_entropy_with_logits(prediction[:, 5:], target[:, 3:]),
    )


def test_a_weighted_sum(data):
    mse, ce, bce = parts(*data)
    torch.testing.assert_close(MultiTask(tasks=TASKS)(*data), mse + 0.5 * ce + 2 * bce)


def test_balanced_tasks_begin_at_1_each(data):
    prediction, target = data
    balanced = MultiTask(tasks=TASKS, balance="magnitude").for_data(target, SPEC)
    share = target[:, 2].long().bincount().double() / 50
    yes = target[:, 3].mean()
    magnitudes = (
        target[:, :2].var(dim=0, correction=0).mean(),
        -(share * share.log()).sum(),
        -(yes * yes.log() + (1 - yes) * (1 - yes).log()),
    )
    mse, ce, bce = (value / size for value, size in zip(parts(*data), magnitudes, strict=True))
    torch.testing.assert_close(balanced(*data), mse + 0.5 * ce + 2 * bce)
    constant = torch.cat([target[:, :2].mean(0), share.log(), yes.logit()[None]]).expand(50, -1)
    assert balanced(constant, target).item() == pytest.approx(3.5, rel=1e-9)
    assert prediction.shape == (50, 6)


def test_gaps_are_left_out_task_by_task(data):
    prediction, target = data
    gaps = target.clone()
    gaps[::3, 0] = gaps[1::4, 2] = gaps[::2, 3] = torch.nan
    loss = MultiTask(tasks=TASKS)
    rows = [~gaps[:, i].isnan() for i in range(4)]
    error = (prediction[:, :2] - gaps[:, :2])[~gaps[:, :2].isnan()]
    ce = F.cross_entropy(prediction[rows[2], 2:5], target[rows[2], 2].long())
    bce = F.binary_cross_entropy_with_logits(prediction[rows[3], 5], target[rows[3], 3])
    torch.testing.assert_close(loss(prediction, gaps), error.square().mean() + 0.5 * ce + 2 * bce)
    nothing = torch.full_like(target, torch.nan)
    assert loss(prediction, nothing).item() == 0
    stacked = torch.vmap(loss)(torch.stack([prediction, -prediction]), torch.stack([gaps, target]))
    torch.testing.assert_close(stacked, torch.stack([loss(prediction, gaps), loss(-prediction, target)]))


def test_what_does_not_fit_is_said_in_one_line(data):
    prediction, target = data
    cases = [
        (
            lambda: MultiTask(tasks=TASKS).check("multi_task", Spec((4,), 5, "regression")),
            r"must have 5 outputs in total",
        ),
        (lambda: MultiTask(tasks=TASKS)(prediction, target[:, :3]), r"requires 6 predictions and 4 targets"),
        (lambda: MultiTask(tasks=TASKS, balance="magnitude").for_data(None, SPEC), r"loss\.balance \(=magnitude\)"),
        (
            lambda: MultiTask(tasks=TASKS, balance="magnitude").for_data(torch.ones(5, 4), SPEC),
            r"loss\.tasks\[0\] \(=mse\) has constant targets",
        ),
    ]
    for call, text in cases:
        with pytest.raises(ValueError, match=text) as error:
            call()
        assert "\n" not in str(error.value)
    with pytest.raises(ValidationError, match="a weight above 0"):
        MultiTask(tasks=[{"outputs": 1, "weight": 0}])
