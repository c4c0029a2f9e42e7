"""A user's trick that remembers the network: the same numbers whether its seeds train as a stack or one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.engine.dry_run import stack_reason
from ablate.engine.training import train
from ablate.recipe.settings import Choice

TEACHERS = """
import copy
import functools
import weakref
from typing import Any, ClassVar

import torch
from pydantic import PrivateAttr
from torch import nn

from ablate import Scheduled, Trick

SEEN = {}


class Teacher(Trick):
    # a mean teacher: it follows the student, which it remembers in a different way in each subclass
    _teacher: Any = PrivateAttr(default=None)
    _kept: Any = PrivateAttr(default=None)

    def keep(self, model): ...

    def on_model(self, model):
        self._teacher = copy.deepcopy(model)
        self.keep(model)
        return model, ["teacher"]

    def on_weights(self, parameters):
        with torch.no_grad():
            for mean, weight in zip(self._teacher.parameters(), self.student(parameters), strict=True):
                mean.lerp_(weight, 0.5)

    def on_loss(self, loss, prediction, batch):
        return loss + (prediction - self._teacher(batch.inputs)).square().mean()


class Attribute(Teacher):
    def keep(self, model):
        self._kept = model
    def student(self, parameters):
        return self._kept.parameters()

class Layers(Teacher):
    def keep(self, model):
        self._kept = {"layers": [layer for layer in model.modules() if not list(layer.children())]}
    def student(self, parameters):
        return [weight for layer in self._kept["layers"] for weight in layer.parameters()]

class Parameters(Teacher):
    def keep(self, model):
        self._kept = tuple(model.parameters())
    def student(self, parameters):
        return self._kept

class Closure(Teacher):
    def keep(self, model):
        self._kept = lambda: model.parameters()
    def student(self, parameters):
        return self._kept()

class Bound(Teacher):
    def keep(self, model):
        self._kept = functools.partial(model.parameters)
    def student(self, parameters):
        return self._kept()

class Nested(Teacher):
    def keep(self, model):
        class Slots:
            __slots__ = ("found",)
        self._kept = Slots()
        self._kept.found = [{"student": model}]
    def student(self, parameters):
        return self._kept.found[0]["student"].parameters()

class Weak(Teacher):
    def keep(self, model):
        self._kept = weakref.ref(model)
    def student(self, parameters):
        return self._kept().parameters()

class Proxy(Teacher):
    def keep(self, model):
        self._kept = weakref.proxy(model)
    def student(self, parameters):
        return self._kept.parameters()

class Views(Teacher):
    def keep(self, model):
        self._kept = [weight.detach().view(-1) for weight in model.parameters()]
    def student(self, parameters):
        return [flat.view_as(mean) for flat, mean in zip(self._kept, self._teacher.parameters())]

class Arrays(Teacher):
    def keep(self, model):
        self._kept = [weight.detach().numpy() for weight in model.parameters()]
    def student(self, parameters):
        return map(torch.from_numpy, self._kept)

class Global(Teacher):
    def keep(self, model):
        SEEN[self.context.seeds] = model
    def student(self, parameters):
        return SEEN[self.context.seeds].parameters()

class OfTheClass(Teacher):
    kept: ClassVar[dict] = {}
    def keep(self, model):
        self.kept[self.context.seeds] = model
    def student(self, parameters):
        return self.kept[self.context.seeds].parameters()

class Optimized(Teacher):
    def keep(self, model):
        self._kept = torch.optim.SGD(model.parameters(), lr=0.1)
    def student(self, parameters):
        return self._kept.param_groups[0]["params"]

class OwnStep(Teacher):
    # changes the weights itself
    def keep(self, model):
        self._kept = model
    def student(self, parameters):
        with torch.no_grad():
            for weight in self._kept.parameters():
                weight.mul_(0.99)
        return self._kept.parameters()

class Whole(Trick):
    # for the whole stack: shrinks the weights of the networks that it was given
    stacked = True
    _kept: list = PrivateAttr(default_factory=list)
    def on_model(self, model):
        self._kept.append(model)
        return model, ["all"]
    def on_weights(self, parameters):
        with torch.no_grad():
            for model in self._kept:
                for weight in model.parameters():
                    weight.mul_(0.9)


class Activity(Trick):
    # what passes through the network is penalised; a hook tells it
    _seen: Any = PrivateAttr(default=None)
    def watch(self, layer):
        layer.register_forward_hook(self.hear)
    def hear(self, layer, inputs, output):
        self._seen = output
    def seen(self):
        return self._seen
    def on_model(self, model):
        layer = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][0]
        self.watch(layer)
        return model, ["hooked"]
    def on_loss(self, loss, prediction, batch):
        return loss + 0.1 * self.seen().square().mean()

class InAList(Activity):
    def watch(self, layer):
        heard = []
        layer.register_forward_hook(lambda layer, inputs, output: heard.append(output))
        self._seen = lambda: heard[-1]
    def seen(self):
        return self._seen()

class InACell(Activity):
    def watch(self, layer):
        heard = None
        def hear(layer, inputs, output):
            nonlocal heard
            heard = output
        layer.register_forward_hook(hear)
        self._seen = lambda: heard
    def seen(self):
        return self._seen()

class Counting(Trick):
    # a hook counts passes, and the trick acts on their number
    _kept: dict = PrivateAttr(default_factory=lambda: {"passes": 0})
    def on_model(self, model):
        kept = self._kept
        def count(layer, inputs):
            kept["passes"] += layer.training
        model.register_forward_pre_hook(count)
        return model, ["counted"]
    def on_loss(self, loss, prediction, batch):
        return loss * (1 + 0.1 * self._kept["passes"])


class Alone(Trick):
    # only its hook remembers
    def on_model(self, model):
        model.output.register_forward_hook(self.hook({"passes": 0}))
        return model, ["output"]
    def hook(self, kept):
        def grow(layer, inputs, output):
            kept["passes"] += layer.training
            return output * (1 + 0.01 * kept["passes"])
        return grow

class AloneInACell(Alone):
    def hook(self, kept):
        passes = 0
        def grow(layer, inputs, output):
            nonlocal passes
            passes += layer.training
            return output * (1 + 0.01 * passes)
        return grow

PASSES = 0

class AloneInAGlobal(Alone):
    def hook(self, kept):
        def grow(layer, inputs, output):
            global PASSES
            PASSES += layer.training
            return output * (1 + 1e-3 * (PASSES > 0))
        return grow

class AloneInAnObject(Alone):
    def hook(self, kept):
        return functools.partial(Grow().grow, by=0.01)

class Grow:
    passes = 0
    def grow(self, layer, inputs, output, by):
        self.passes += layer.training
        return output * (1 + by * self.passes)


class Given(Teacher):
    # what it follows is given to the hook
    def student(self, parameters):
        return parameters.values()

class Start(Teacher):
    # pulls the weights towards copies of their initial values
    def keep(self, model):
        self._kept = [weight.detach().clone() for weight in model.parameters()]
    def student(self, parameters):
        with torch.no_grad():
            for weight, first in zip(parameters.values(), self._kept, strict=True):
                weight.lerp_(first, 0.1)
        return parameters.values()

class Names(Teacher):
    def keep(self, model):
        self._kept = [name for name, _ in model.named_parameters()]
    def student(self, parameters):
        return [parameters[name] for name in self._kept]

class Faded(nn.Module):
    def __init__(self, layer, now):
        super().__init__()
        self.layer, self.now = layer, now
    def forward(self, x):
        return self.layer(x) * self.now.by

class Fading(Trick):
    # a layer that reads the current value of a setting
    by: Scheduled[float] = 0.5
    def on_model(self, model):
        model.output = Faded(model.output, self.now)
        return model, ["output"]

def scaled(layer, inputs, output, by=2, *, more=1):
    return by * more * output

class Scaling(Trick):
    def on_model(self, model):
        by = 1.5
        model.output.register_forward_pre_hook(lambda layer, inputs: (by * inputs[0],))
        model.output.register_forward_hook(functools.partial(scaled, more=0.5))
        return model, ["output"]

class Doubling(Trick):
    # a hook without state
    def on_model(self, model):
        model.output.register_forward_hook(lambda layer, inputs, output: 2 * output)
        return model, ["output"]
"""

HOLDING = [
    *("Attribute", "Layers", "Parameters", "Closure", "Bound", "Nested", "Weak", "Proxy", "Views", "Arrays", "Global"),
    *("OfTheClass", "Optimized", "OwnStep", "Whole"),
]
SHARING = ["Activity", "InAList", "InACell", "Counting"]
HOOKED = ["Alone", "AloneInACell", "AloneInAGlobal", "AloneInAnObject"]
APART = ["Given", "Start", "Names", "Fading", "Scaling", "Doubling"]
"""Tricks that hold the network, that share state with its hooks, whose hooks keep state, and that do none of these."""

SEEDS = (0, 1, 2)


@pytest.fixture
def trained(settings, pictures, assign, make_choice, heard, tmp_path):
    """Each seed's losses of a training with a trick, and the stacks in which the seeds were trained."""
    (tmp_path / "mean_teachers.py").write_text(TEACHERS)

    def run(*names, stack=3):
        tricks = tuple(Choice("trick", None, f"mean_teachers:{name}", {}) for name in names)
        model = make_choice("model", "mlp", hidden=[6])
        report = heard()
        chosen = settings(model=model, tricks=tricks, stack=stack)
        train(replace(assign(chosen), seeds=SEEDS, folder=tmp_path), pictures, report)
        losses = [[(line["train_loss"], line["valid_loss"]) for line in report.lines[i]] for i in range(len(SEEDS))]
        return losses, report.facts, chosen

    return run


@pytest.mark.parametrize("name", HOLDING + SHARING + HOOKED)
def test_a_trick_that_holds_the_network_is_trained_seed_by_seed(trained, name, pictures, tmp_path):
    together, facts, chosen = trained(name)
    apart, _, _ = trained(name, stack="off")
    assert together == apart
    assert together != trained()[0]
    assert facts.stack == [[seed] for seed in SEEDS]
    [note] = facts.notes
    assert note.kind == "not_stacked"
    reason = stack_reason(chosen, tmp_path, pictures.spec)
    assert note.values["reason"] == reason
    assert ("model" if name in HOOKED else f"trick (={name})") in reason
    assert ("on_model" if name in HOLDING else "hooks") in reason


@pytest.mark.parametrize("name", APART)
def test_a_trick_with_copies_is_trained_as_a_stack(trained, name, pictures, tmp_path):
    together, facts, chosen = trained(name)
    apart, _, _ = trained(name, stack="off")
    assert facts.stack == [list(SEEDS)]
    assert stack_reason(chosen, tmp_path, pictures.spec) is None
    for mine, alone in zip(together, apart, strict=True):
        assert mine == [pytest.approx(values, rel=1e-4) for values in alone]
    assert together != trained()[0]


def test_one_such_trick_is_enough(trained):
    together, facts, _ = trained("Given", "Attribute")
    assert facts.stack == [[seed] for seed in SEEDS]
    assert together == trained("Given", "Attribute", stack="off")[0]
