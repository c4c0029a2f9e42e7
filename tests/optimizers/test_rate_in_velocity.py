"""The two conventions for the rate are one and the same while the rate stands still, also under a schedule of the
momentum.
"""

from __future__ import annotations

import pytest
import torch

from ablate.optimizers.sgd import Sgd
from ablate.optimizers.steps.velocity_sgd import VelocitySGD


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_constant_rate_takes_torchs_optimizer_with_the_same_steps(nesterov):
    start = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    settings = Sgd(lr=0.05, momentum=0.9, nesterov=nesterov, weight_decay=0.01, rate_in_velocity=True)
    weights = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    values = settings.group_values({"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01})
    ours = settings.build([{"params": [weights[0]], **values}])
    formula = VelocitySGD([weights[1]], nesterov=nesterov, **values)
    assert isinstance(ours, torch.optim.SGD)
    for step in range(100):
        for weight, optimizer in zip(weights, (ours, formula), strict=True):
            optimizer.param_groups[0]["momentum"] = 0.5 + 0.4 * step / 99
            optimizer.zero_grad()
            (weight**2 - weight.cos()).sum().backward()
            optimizer.step()
    torch.testing.assert_close(*weights, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(weights[0], start)


def test_a_scheduled_rate_takes_the_formula():
    settings = Sgd(lr={"linear": [0.1, 0.01]}, rate_in_velocity=True)
    weight = torch.nn.Parameter(torch.ones(2))
    assert type(settings.build([{"params": [weight], "lr": 0.1, "momentum": 0.9}])) is VelocitySGD


def test_a_rate_that_tricks_move_takes_the_formula():
    """The two forms are the same only while the rate stands still, and a plateau's does not."""
    weight = torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [weight], "lr": 0.1, "momentum": 0.9}]
    assert type(Sgd(rate_in_velocity=True).under_tricks().build(groups)) is VelocitySGD
    assert isinstance(Sgd().under_tricks().build([dict(groups[0])]), torch.optim.SGD)
