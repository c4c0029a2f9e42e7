"""Muon: near-orthogonal steps, its formula in NumPy, torch's own Muon, and who takes which parameter."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from ablate.optimizers.build import parameter_groups, value_setter
from ablate.optimizers.steps.muon import Muon, orthogonalised
from ablate.registry import lookup

SETTINGS = lookup("optimizer", "muon").settings
STEPS = 100


def network():
    torch.manual_seed(0)
    layers = {
        "embedding": nn.Embedding(5, 16),
        "conv1": nn.Conv2d(1, 6, 3),
        "norm1": nn.BatchNorm2d(6),
        "hidden1": nn.Linear(24, 12),
        "hidden2": nn.Linear(12, 30),
        "output": nn.Linear(30, 4),
    }
    return nn.Sequential(OrderedDict(layers)).double()


def random_gradients(model, step):
    draw = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)


def newton_schulz(matrix, steps=5):
    x = matrix / np.sqrt((matrix**2).sum())
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x


@pytest.mark.parametrize("shape", [(32, 64), (64, 32), (40, 10), (3, 48, 20), (2, 3, 8, 100)])
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalised(matrices))
    # the published coefficients give up exactness for speed: 0.68 is the least that five steps leave behind
    assert values.min() > 0.68
    assert values.max() < 1.2
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inner = left.mT @ orthogonalised(matrices) @ right.mT
    torch.testing.assert_close(inner, torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1)), rtol=0, atol=1e-12)


def test_a_steps_singular_values_are_the_rates():
    model = nn.Sequential(nn.Linear(20, 50, bias=False), nn.Linear(50, 3, bias=False)).double()
    settings = SETTINGS(lr=0.1, weight_decay=0)
    optimizer = settings.build(parameter_groups(settings, model.named_parameters()))
    before = model[0].weight.detach().clone()
    random_gradients(model, 0)
    optimizer.step()
    values = torch.linalg.svdvals((before - model[0].weight) / (0.1 * (50 / 20) ** 0.5))
    assert values.min() > 0.68
    assert values.max() < 1.2


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("scale", ["original", "match_adamw"])
def test_equals_its_formula_and_adamw_over_scheduled_steps(nesterov, scale):
    model, others = network(), network()
    lr, momentum = {"linear": [0.05, 0.001]}, {"linear": [0.8, 0.95]}
    settings = SETTINGS(
        lr=lr, momentum=momentum, nesterov=nesterov, scale=scale, adamw_lr={"linear": [0.01, 0.002]}, weight_decay=0.1
    )
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=STEPS))
    set_values = value_setter(optimizer, settings, STEPS, 1)
    hidden = ("conv1.weight", "hidden1.weight", "hidden2.weight")
    weights = {name: model.get_parameter(name).detach().numpy().copy() for name in hidden}
    means = {name: np.zeros_like(value) for name, value in weights.items()}
    adamw = torch.optim.AdamW(others.parameters(), betas=(0.9, 0.95), weight_decay=0.1, foreach=False)
    for step in range(STEPS):
        part = step / (STEPS - 1)
        rate, memory = 0.05 + (0.001 - 0.05) * part, 0.8 + 0.15 * part
        set_values(step)
        random_gradients(model, step)
        random_gradients(others, step)
        for name in hidden:
            gradient = model.get_parameter(name).grad.numpy()
            means[name] = memory * means[name] + (1 - memory) * gradient
            ahead = (1 - memory) * gradient + memory * means[name] if nesterov else means[name]
            out, rest = len(ahead), ahead[0].size
            size = max(1, out / rest) ** 0.5 if scale == "original" else 0.2 * max(out, rest) ** 0.5
            matrix = ahead.reshape(out, rest)
            update = newton_schulz(matrix.T).T if out > rest else newton_schulz(matrix)
            weights[name] = (1 - rate * 0.1) * weights[name] - rate * size * update.reshape(ahead.shape)
        adamw.param_groups[0]["lr"] = 0.01 + (0.002 - 0.01) * part
        optimizer.step()
        adamw.step()
    for name, parameter in model.named_parameters():
        expected = torch.from_numpy(weights[name]) if name in hidden else others.get_parameter(name)
        torch.testing.assert_close(parameter, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon to compare with")
@pytest.mark.parametrize("scale", ["original", "match_adamw"])
def test_steps_as_torchs_own_muon_but_for_its_rounding(scale):
    start = torch.randn(40, 24, generator=torch.Generator().manual_seed(0))
    ours, theirs = (nn.Parameter(start.clone()) for _ in range(2))
    a = Muon([ours], lr=0.02, weight_decay=0.1, match_adamw=scale == "match_adamw")
    other = {"original": "original", "match_adamw": "match_rms_adamw"}[scale]
    b = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, adjust_lr_fn=other)
    for step in range(20):
        for parameter in (ours, theirs):
            parameter.grad = torch.randn(40, 24, generator=torch.Generator().manual_seed(step))
        a.step()
        b.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.02 * moved  # bfloat16 has three digits


def test_who_takes_what():
    shapes = {name: tuple(parameter.shape) for name, parameter in network().named_parameters()}
    parts = SETTINGS().part(shapes, shapes)
    assert [n for n, part in parts.items() if part == "muon"] == ["conv1.weight", "hidden1.weight", "hidden2.weight"]
    assert set(parts) == set(shapes)
    parts = SETTINGS(output="muon", adamw=("conv*", "HIDDEN1.*")).part(shapes, shapes)
    chosen = ["embedding.weight", "hidden2.weight", "output.weight"]
    assert [name for name, part in parts.items() if part == "muon"] == chosen


def test_a_network_without_hidden_weights_is_an_error():
    model = nn.Linear(3, 2)
    with pytest.raises(
        ValueError, match=r"^optimizer \(=muon\) requires hidden weight matrices, .* Use adamw, or set output: muon\.$"
    ):
        parameter_groups(SETTINGS(), model.named_parameters())


def test_groups_give_both_parts_their_rates():
    model = network()
    settings = SETTINGS(
        lr=0.1, adamw_lr=0.01, groups=[{"match": "hidden1.*", "lr": 0.5}, {"match": "1d", "weight_decay": 0}]
    )
    groups = parameter_groups(settings, model.named_parameters())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    seen = {names[id(p)]: (g["part"], g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert seen == {
        "embedding.weight": ("adamw", 0.01, 0.01),
        "conv1.weight": ("muon", 0.1, 0.01),
        "conv1.bias": ("adamw", 0.01, 0),
        "norm1.weight": ("adamw", 0.01, 0),
        "norm1.bias": ("adamw", 0.01, 0),
        "hidden1.weight": ("muon", 0.5, 0.01),
        "hidden1.bias": ("adamw", 0.5, 0.01),
        "hidden2.weight": ("muon", 0.1, 0.01),
        "hidden2.bias": ("adamw", 0.01, 0),
        "output.weight": ("adamw", 0.01, 0.01),
        "output.bias": ("adamw", 0.01, 0),
    }


def test_each_part_follows_its_own_schedule():
    model = network()
    settings = SETTINGS(lr=0.1, adamw_lr={"linear": [0.01, 0.0]})
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=11))
    set_values = value_setter(optimizer, settings, 11, 1)
    optimizer.param_groups[1]["lr"] = 0.3  # muon's rate has no schedule, so a trick may change it
    assert [group["part"] for group in optimizer.param_groups] == ["adamw", "muon"]
    set_values(5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.005, 0.3])


def test_a_vector_is_no_matrix():
    with pytest.raises(ValueError, match="must be a weight with two or more axes"):
        Muon([nn.Parameter(torch.zeros(3))])
    with pytest.raises(ValueError, match="must be a weight with two or more axes"):
        Muon([nn.Parameter(torch.zeros(2, 3))], stacked=True)
