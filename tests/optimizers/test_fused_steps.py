"""The fused steps of SGD and Adam are torch's own, bit by bit, and so is what they keep."""

from copy import deepcopy

import pytest
import torch

from ablate.engine.step_closure import clearing
from ablate.optimizers.adam import Adam, AdamW
from ablate.optimizers.sgd import Sgd

SHAPES = [(37, 5), (5,), (8, 3, 3, 3), ()]

CASES = {
    "sgd": (Sgd(lr=0.1, momentum=0.0, weight_decay=0.01), torch.optim.SGD),
    "momentum": (Sgd(lr=0.1, momentum=0.9), torch.optim.SGD),
    "nesterov": (Sgd(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01), torch.optim.SGD),
    "adam": (Adam(lr=0.01, beta1=0.8, weight_decay=0.1), torch.optim.Adam),
    "adamw": (AdamW(lr=0.01, beta2=0.99, weight_decay=0.1), torch.optim.AdamW),
}


def parameters(dtype):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def both(case, dtype=torch.float32):
    """Our optimizer and torch's, each with parameters of its own."""
    settings, kind = CASES[case]
    values = settings.group_values(settings.fields())
    ours, theirs = parameters(dtype), parameters(dtype)
    nesterov = {"nesterov": settings.nesterov} if case == "nesterov" else {}
    optimizer = settings.build([{"params": ours, **values}])
    reference = kind([{"params": theirs, **values, **nesterov}], fused=True)
    assert type(optimizer) is not kind
    return (ours, optimizer), (theirs, reference)


def take(pair, steps):
    """Steps with the gradients of their numbers. The second parameter is frozen for three of them."""
    for step in steps:
        for place, shape in enumerate(SHAPES):
            generator = torch.Generator().manual_seed(step * len(SHAPES) + place)
            for weights, _ in pair:
                gradient = torch.randn(shape, generator=generator.manual_seed(step), dtype=weights[0].dtype)
                weights[place].grad = None if place == 1 and 3 <= step < 6 else gradient
        for _, optimizer in pair:
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
            optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_steps_equal_those_of_torch_bit_by_bit(case, dtype):
    pair = (ours, optimizer), (theirs, reference) = both(case, dtype)
    take(pair, range(10))
    assert all(map(torch.equal, ours, theirs))
    assert not torch.equal(ours[0], parameters(dtype)[0])
    for one, other in zip(ours, theirs, strict=True):
        assert optimizer.state[one].keys() == reference.state[other].keys()
        assert all(torch.equal(optimizer.state[one][key], kept) for key, kept in reference.state[other].items())


@pytest.mark.parametrize("case", CASES)
def test_a_training_that_torch_began_is_resumed_bit_by_bit(case):
    """A checkpoint may be of a version that used `torch.optim` itself."""
    pair = (ours, optimizer), (theirs, reference) = both(case)
    take(pair[1:], range(5))
    with torch.no_grad():
        torch._foreach_copy_(ours, theirs)
    optimizer.load_state_dict(deepcopy(reference.state_dict()))
    take(pair, range(5, 10))
    assert all(map(torch.equal, ours, theirs))


def test_momentum_that_begins_later():
    """A trick may raise it from 0."""
    pair = (ours, optimizer), (theirs, reference) = both("sgd")
    take(pair, range(3))
    for one in (optimizer, reference):
        one.param_groups[0]["momentum"] = 0.5
    take(pair, range(6, 10))
    assert all(map(torch.equal, ours, theirs))


def test_hooks_of_the_step_are_called():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = Sgd(lr=0.1, momentum=0.0).build([{"params": [weight], "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}])
    seen = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(weight.tolist()))
    optimizer.register_step_post_hook(lambda *_: seen.append(weight.tolist()))
    weight.grad = torch.ones(2)
    optimizer.step()
    assert seen == [[1.0, 1.0], pytest.approx([0.9, 0.9])]


def test_parameters_of_several_dtypes_take_torchs_step():
    groups = [{"params": [torch.nn.Parameter(torch.ones(2, dtype=dtype))]} for dtype in (torch.float32, torch.float64)]
    for settings in (Sgd(), Adam(), AdamW()):
        values = settings.group_values(settings.fields())
        optimizer = settings.build([{**group, **values} for group in groups])
        assert type(optimizer).__module__.startswith("torch.optim")


def test_an_optimizer_clears_gradients_in_its_own_way_if_it_has_one():
    class Kept(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            super().zero_grad(set_to_none=False)

    for kind, left in ((torch.optim.SGD, [None, None]), (Kept, [0.0, 0.0])):
        weights = [torch.nn.Parameter(torch.ones(())) for _ in range(2)]
        optimizer = kind([{"params": [one]} for one in weights], lr=0.1)
        for one in weights:
            one.grad = torch.ones(())
        clearing(optimizer)()
        assert [one.grad if one.grad is None else float(one.grad) for one in weights] == left
