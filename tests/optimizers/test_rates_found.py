"""vsgd and adasecant: their formulas in NumPy, a quadratic with known curvature, and tuned SGD beside them."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from ablate.optimizers.steps.adasecant import AdaSecant
from ablate.optimizers.steps.vsgd import VSGD

CURVATURES = torch.logspace(-1, 1, 20, dtype=torch.float64)


def batches(steps, noise, seed=0):
    """The centre of each step's bowl: ½ Σ h (w − centre)² is a sample of a quadratic with minimum 0 and the known
    diagonal h.
    """
    return noise * torch.randn(steps, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def take_step(optimizer, loss_now, twice):
    """One step; ``twice``: by a closure, which the optimizer may call again elsewhere."""

    def closure():
        optimizer.zero_grad()
        loss = loss_now()
        loss.backward()
        return loss

    if twice:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def descend(make, centres, *, twice=False, start=3.0):
    """The expected loss after each step, and the optimizer. ``twice``: it gets a closure, and so the gradient of the
    same batch elsewhere.
    """
    weight = nn.Parameter(torch.full((20,), start, dtype=torch.float64))
    optimizer = make([weight])
    losses = []
    for centre in centres:
        take_step(optimizer, lambda centre=centre: (0.5 * CURVATURES * (weight - centre) ** 2).sum(), twice)
        losses.append((0.5 * CURVATURES * weight.detach() ** 2).sum().item())
    return losses, optimizer


def state(optimizer):
    return next(iter(optimizer.state.values()))


# vsgd


def test_vsgd_with_a_closure_equals_the_published_algorithm():
    """Schaul and LeCun 2013, algorithm 1 with one sample a batch, in NumPy."""
    steps, centres = 100, batches(100, 1.0).numpy()
    h_true = CURVATURES.numpy()
    _, optimizer = descend(VSGD, torch.from_numpy(centres), twice=True)
    w = np.full(20, 3.0)
    g_, v_, h_, hh_, tau = (np.zeros(20) for _ in range(5))
    for t in range(steps):
        g = h_true * (w - centres[t])
        shift = g_ if t else g
        h = np.abs((h_true * (w + shift - centres[t]) - g) / shift)
        if t < 10:  # slow start: plain means, no steps
            for mean, new in ((g_, g), (v_, g**2), (h_, h), (hh_, h**2)):
                mean += (new - mean) / (t + 1)
            continue
        if t == 10:
            tau[:] = 10
            v_ *= 2
            h_ *= 2
            hh_ *= 4
        tau += ((g - g_) ** 2 > 4 * (v_ - g_**2)) | ((h - h_) ** 2 > 4 * (hh_ - h_**2))
        for mean, new in ((g_, g), (v_, g**2), (h_, h), (hh_, h**2)):
            mean *= 1 - 1 / tau
            mean += new / tau
        w -= np.minimum(g_**2 / v_ * h_ / hh_, 10) * g
        tau = (1 - g_**2 / v_) * tau + 1
    found = state(optimizer)
    for key, expected in {"mean": g_, "square": v_, "curvature": h_, "curvature_square": hh_, "memory": tau}.items():
        np.testing.assert_allclose(found[key].numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("noise", "twice"), [(0.0, True), (1.0, True), (0.0, False)])
def test_vsgds_curvature_approaches_the_true_diagonal(noise, twice):
    _, optimizer = descend(VSGD, batches(300, noise), twice=twice)
    torch.testing.assert_close(state(optimizer)["curvature"], CURVATURES, rtol=0.02, atol=0)


def test_vsgd_without_a_second_gradient_does_not_take_noise_for_curvature():
    # differences of single batches would give curvatures a thousand times too large by now, and rates of nothing
    _, optimizer = descend(VSGD, batches(3000, 1.0))
    found = state(optimizer)
    ratio = found["curvature"] / CURVATURES
    assert 0.3 < ratio.median() < 20
    assert (found["mean"].abs() < 1).all()


def test_vsgds_rates_fall_as_noise_takes_over_and_rise_when_the_goal_moves():
    still = batches(600, 1.0)
    _, optimizer = descend(VSGD, still, twice=True)
    settled = VSGD._rate(optimizer, state(optimizer))
    _, moved = descend(VSGD, torch.cat([still, still[:30] + 30]), twice=True)
    assert (settled * CURVATURES).max() < 0.05  # 1 is Newton's step
    assert (VSGD._rate(moved, state(moved)) / settled).min() > 10


@pytest.mark.parametrize("twice", [True, False])
def test_vsgd_stays_where_the_loss_is_a_plane(twice):
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = VSGD([weight])
    slope = torch.tensor([0.0, 1e-8, 1.0, 100.0], dtype=torch.float64)

    def closure():
        optimizer.zero_grad()
        (slope * weight).sum().backward()
        return 0.0

    for _ in range(100):
        if twice:
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
    assert weight[0] == 0
    assert (weight[1:] < 0).all()  # down, in steps of a thousandth
    assert weight.abs().max() <= 0.1 + 1e-9


def test_a_closure_leaves_the_gradient_and_the_slow_start_does_not_move():
    weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = VSGD([weight], window=5)
    calls = []

    def closure():
        optimizer.zero_grad()
        calls.append(weight.detach().clone())
        (weight**2).sum().backward()
        return len(calls)

    for step in range(5):
        assert optimizer.step(closure) == 2 * step + 1
        assert torch.equal(weight, torch.ones(3, dtype=torch.float64))
        assert torch.equal(weight.grad, torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.equal(calls[3], torch.full((3,), 3.0, dtype=torch.float64))  # at the weight plus the mean gradient
    optimizer.step(closure)
    assert (weight < 1).all()


# adasecant


@pytest.mark.parametrize(("variance_reduction", "adagrad"), [(True, False), (True, True), (False, False)])
def test_adasecant_equals_its_formula(variance_reduction, adagrad):
    steps, centres = 100, batches(100, 1.0).numpy()
    h = CURVATURES.numpy()

    def make(params):
        return AdaSecant(params, variance_reduction=variance_reduction, adagrad=adagrad)

    _, optimizer = descend(make, torch.from_numpy(centres))
    tiny = 1e-7
    w, tau = np.full(20, 3.0), np.full(20, 2.1)
    eg, eg2, ea, ea2, ead, last, above, below, last_corrected = (np.full(20, tiny) for _ in range(9))
    total = np.zeros(20)
    for t in range(steps):
        g = h * (w - centres[t])
        g = g / (np.sqrt((g**2).sum()) + tiny)
        if t == 0:
            ed, ed2 = g, g**2
        old = 1 - 1 / tau
        eg, eg2 = 0.95 * eg + 0.05 * g, 0.95 * eg2 + 0.05 * g**2
        corrected = g
        if variance_reduction:
            gamma = np.minimum(np.sqrt(above) / np.sqrt(below + tiny), 1.8)
            corrected = (g + gamma * eg) / (1 + gamma)
            above = old * above + (1 - old) * ((g - last_corrected) * (last_corrected - eg)) ** 2
            below = old * below + (1 - old) * ((eg - g) * (last_corrected - eg)) ** 2
        a = g - last
        ea, ea2 = old * ea + (1 - old) * a, old * ea2 + (1 - old) * a**2
        rate = np.sqrt(ed2 + 1e-6) / np.sqrt(ea2 + 1e-6) - ead / (ea2 + 1e-6)
        d = -np.clip(rate, -50, 50) * corrected
        total += corrected**2
        if adagrad:
            d = d / np.maximum(1, np.sqrt(total))
        memory = (1 - ed**2 / (ed2 + tiny)) * tau + 1 + tiny
        odd = (np.abs(g - eg) > 2 * np.sqrt(np.maximum(eg2 - eg**2, 0))) | (
            np.abs(a - ea) > 2 * np.sqrt(np.maximum(ea2 - ea**2, 0))
        )
        ed, ed2, ead = old * ed + (1 - old) * d, old * ed2 + (1 - old) * d**2, old * ead + (1 - old) * d * a
        tau = np.clip(np.where(odd, 2.2, memory), 1.5, 1e8)
        last, last_corrected = g, corrected
        w = w + d
    np.testing.assert_allclose(optimizer.param_groups[0]["params"][0].detach().numpy(), w, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(state(optimizer)["memory"].numpy(), tau, rtol=1e-6)


def test_adasecant_does_not_care_for_the_losss_unit():
    def train(scale):
        weight = nn.Parameter(torch.full((20,), 3.0, dtype=torch.float64))
        optimizer = AdaSecant([weight])
        for centre in batches(50, 1.0):
            weight.grad = scale * CURVATURES * (weight.detach() - centre)
            optimizer.step()
        return weight

    torch.testing.assert_close(train(1.0), train(1000.0), rtol=1e-3, atol=1e-4)


# both against SGD


@cache
def best_sgd(seed):
    """The least final loss of SGD over constant rates a factor of 2 apart."""
    rates = 0.18 / 2.0 ** np.arange(8)
    return min(final(descend(lambda p, r=r: torch.optim.SGD(p, lr=r), batches(1000, 1.0, seed))[0]) for r in rates)


def final(losses):
    return sum(losses[-100:]) / 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("make", "twice"), [(VSGD, True), (VSGD, False), (AdaSecant, False)], ids=["vsgd-fd", "vsgd", "adasecant"]
)
def test_beats_the_best_constant_rate_on_a_noisy_quadratic(make, twice, seed):
    # one rate has to do for curvatures a hundredfold apart, and does not fall with the noise
    losses, _ = descend(make, batches(1000, 1.0, seed), twice=twice)
    assert final(losses) < 0.5 * best_sgd(seed)


def loss_on_digits(make, twice=False):
    """The loss of a small network on its training digits after eight epochs."""
    data = load_digits()
    inputs, targets = torch.tensor(data.data / 16.0), torch.tensor(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).double()
    optimizer = make(model.parameters())
    for epoch in range(8):
        for rows in torch.randperm(len(inputs), generator=torch.Generator().manual_seed(epoch)).split(64):
            take_step(optimizer, lambda rows=rows: cross_entropy(model(inputs[rows]), targets[rows]), twice)
    with torch.no_grad():
        return cross_entropy(model(inputs), targets).item()


@cache
def tuned_sgd_on_digits():
    """The least loss of SGD over rates a factor of 2 apart."""
    return min(loss_on_digits(lambda p, r=r: torch.optim.SGD(p, lr=r)) for r in (0.05, 0.1, 0.2, 0.4, 0.8))


@pytest.mark.parametrize(
    ("make", "twice"), [(VSGD, True), (VSGD, False), (AdaSecant, False)], ids=["vsgd-fd", "vsgd", "adasecant"]
)
def test_ends_near_tuned_sgd_on_digits(make, twice):
    tuned = tuned_sgd_on_digits()
    assert tuned < 0.2
    # vsgd-fd counts what other weights do to a gradient as curvature, and so is the most careful
    assert loss_on_digits(make, twice) < (3 if twice else 2) * tuned
