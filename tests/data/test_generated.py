"""The curve, the imbalanced table and the one of two tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.generated import Curve, Imbalanced, MultiTask

MADE = [Curve, Imbalanced, MultiTask]


@pytest.mark.parametrize("data", MADE)
def test_the_same_seed_makes_the_same_bytes(data):
    first, again, other = (data(seed=seed, test=0.1).load() for seed in (1, 1, 2))
    for part in ("train", "valid", "test"):
        a, b, c = (getattr(parts, part) for parts in (first, again, other))
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)
        assert not torch.equal(a.inputs, c.inputs)
    assert first.spec == data().spec()
    assert tuple(first.train.inputs.shape[1:]) == first.spec.input_shape


def ordered(parts) -> tuple[torch.Tensor, torch.Tensor]:
    both = [parts.train, parts.valid]
    order = torch.cat([part.rows for part in both]).argsort()
    return torch.cat([part.inputs for part in both])[order], torch.cat([part.targets for part in both])[order]


@pytest.mark.parametrize(("data", "field"), [(Curve, "points"), (MultiTask, "count")])
def test_more_of_it_keeps_what_fewer_have(data, field):
    noisy = {"noisy_valid": True} if data is Curve else {}
    few, many = (ordered(data(**{field: n}, **noisy).load()) for n in (20, 50))
    assert all(torch.equal(a, b[:20]) for a, b in zip(few, many, strict=True))


def test_the_curve_is_noisy_where_it_trains_and_clean_where_it_validates():
    parts = Curve(points=4000, waves=1.5, noise=0.2, valid=0.5, test=0.1).load()

    def rest(part):
        return (part.targets - torch.sin(1.5 * torch.pi * part.inputs)).double()

    assert rest(parts.train).std().item() == pytest.approx(0.2, rel=0.05)
    assert rest(parts.valid).abs().max() < 1e-5
    assert rest(parts.test).abs().max() < 1e-5
    noisy = Curve(points=4000, waves=1.5, noise=0.2, valid=0.5, noisy_valid=True).load()
    assert rest(noisy.valid).std().item() == pytest.approx(0.2, rel=0.05)
    assert (len(Curve().load().train), len(Curve().load().valid)) == (20, 80)


def test_a_large_net_learns_the_noise_of_the_curve_by_heart():
    parts = Curve().load()
    network = nn.Sequential(nn.Linear(1, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    train, valid = [], []
    for _ in range(400):
        loss = nn.functional.mse_loss(network(parts.train.inputs), parts.train.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        train.append(loss.item())
        with torch.no_grad():
            valid.append(nn.functional.mse_loss(network(parts.valid.inputs), parts.valid.targets).item())
    assert train[-1] < 0.55 * 0.3**2, "it has gone far below the noise"
    assert valid[-1] > 1.5 * min(valid), "and has left the curve behind"


@pytest.mark.parametrize(("count", "share"), [(2000, 0.05), (333, 0.02), (100, 0.3)])
def test_the_rare_class_has_its_share(count, share):
    _, targets = ordered(Imbalanced(count=count, share=share).load())
    assert len(targets) == count
    assert abs(int(targets.sum()) - share * count) <= 1


def test_the_rare_class_can_be_learned_but_is_not_by_always_saying_common():
    from sklearn.metrics import f1_score
    from sklearn.neighbors import KNeighborsClassifier

    near, far = (Imbalanced(separation=separation, count=3000).load() for separation in (0.5, 2.0))
    scores = []
    for parts in (near, far):
        model = KNeighborsClassifier(3).fit(parts.train.inputs, parts.train.targets)
        scores.append(f1_score(parts.valid.targets, model.predict(parts.valid.inputs)))
    assert scores[0] < 0.6 < scores[1]
    with pytest.raises(ValueError, match=r"data\.share \(=0\.01\) of data\.count \(=100\)"):
        Imbalanced(count=100, share=0.01).load()


def test_the_tasks_are_of_unlike_size_and_rest_on_the_inputs():
    inputs, targets = ordered(MultiTask(count=20_000, ratio=50, noise=0).load())
    assert targets.std(0).tolist() == pytest.approx([50, 1], rel=0.05)
    assert targets.mean(0).div(targets.std(0)).abs().max() < 0.05
    assert abs(np.corrcoef(targets.T.numpy())[0, 1]) < 0.9
    noisy = ordered(MultiTask(count=20_000, ratio=50, noise=0.5).load())
    assert torch.equal(noisy[0], inputs)
    assert ((noisy[1] - targets) / targets.new_tensor([50, 1])).std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.03)
    assert MultiTask().spec().target_names == ("large", "small")
