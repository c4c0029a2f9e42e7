"""Seeds of a stack with a rate each, against torch's optimizers with one network at a time, over 40 scheduled steps in
float64.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import functional_call

from ablate.optimizers.build import parameter_groups
from ablate.optimizers.steps.rate_per_seed import take_rates
from ablate.registry import entries, lookup

R, STEPS = 3, 40
CASES = [
    ("sgd", {"momentum": 0.9, "weight_decay": 0.01}),
    ("sgd", {"momentum": 0.9, "nesterov": True}),
    ("sgd", {"weight_decay": 0.01, "decay": "decoupled"}),
    ("sgd", {"weight_decay": 0.01, "decay": "plain"}),
    ("sgd", {"rate_in_velocity": True, "nesterov": True, "weight_decay": 0.01}),
    ("adam", {"weight_decay": 0.01}),
    ("adamw", {"weight_decay": 0.1}),
    *((entry.name, {}) for entry in entries("optimizer") if entry.name not in ("sgd", "adam", "adamw", "several")),
]


def rate(step, seed):
    return (0.02 - 0.019 * step / (STEPS - 1)) * (seed + 1) / 2


def gradients(network, parameters, step, seed):
    draw = torch.Generator().manual_seed(1000 * seed + step)
    inputs, targets = (torch.randn(16, n, generator=draw, dtype=torch.float64) for n in (5, 2))
    loss = torch.nn.functional.mse_loss(functional_call(network, parameters, (inputs,)), targets)
    return torch.autograd.grad(loss, list(parameters.values()))


@pytest.mark.slow
@pytest.mark.parametrize("as_tensor", [True, False], ids=["a rate each", "one rate"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{n}-{'-'.join(o)}" for n, o in CASES])
def test_a_stack_steps_as_its_seeds_do_alone(name, options, as_tensor):
    settings = lookup("optimizer", name).settings(**options, lr=0.01)
    networks = []
    for seed in range(R):
        torch.manual_seed(seed)
        layers = (torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 7), torch.nn.Tanh(), torch.nn.Linear(7, 2))
        networks.append(torch.nn.Sequential(*layers).double())
    leaves = {
        key: torch.stack([dict(n.named_parameters())[key].detach() for n in networks]).requires_grad_()
        for key, _ in networks[0].named_parameters()
    }
    together = settings.build_stacked(parameter_groups(settings, leaves.items(), stacked=True))
    take_rates(together)
    alone = [settings.build(parameter_groups(settings, network.named_parameters())) for network in networks]
    template = copy.deepcopy(networks[0])
    for step in range(STEPS):
        for group in together.param_groups:
            rates = torch.tensor([rate(step, seed) for seed in range(R)], dtype=torch.float64)
            group["lr"] = rates if as_tensor else rate(step, 0)
        for seed, (network, optimizer) in enumerate(zip(networks, alone, strict=True)):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, seed if as_tensor else 0)
            mine = gradients(template, {k: leaf[seed] for k, leaf in leaves.items()}, step, seed)
            for leaf, gradient in zip(leaves.values(), mine, strict=True):
                leaf.grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                leaf.grad[seed] = gradient
            parameters = dict(network.named_parameters())
            for parameter, gradient in zip(
                parameters.values(), gradients(template, parameters, step, seed), strict=True
            ):
                parameter.grad = gradient
            optimizer.step()
        together.step()
        if as_tensor:
            assert all(torch.is_tensor(group["lr"]) for group in together.param_groups)
    for seed, network in enumerate(networks):
        for key, parameter in network.named_parameters():
            torch.testing.assert_close(leaves[key][seed], parameter.detach(), rtol=1e-9, atol=1e-11)
