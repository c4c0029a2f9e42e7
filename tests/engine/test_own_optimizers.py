"""Optimizers by ``target``: schedules, parameter groups and tricks on the learning rate, against torch's own loop and the built-in optimizers in float64."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch

from ablate.engine.assembly import assemble
from ablate.engine.training import train
from ablate.recipe import Recipe
from ablate.recipe.fingerprint import facts
from ablate.recipe.recipe import advice_of
from ablate.recipe.settings import Choice
from ablate.schedules import parse_schedule

SEEDS = (0, 1, 2)
EPOCHS, STEPS = 4, 12
"""Of 40 samples in batches of 16."""

OWN = """
import torch
from torch.optim import SGD, Optimizer

class Plain(SGD):
    pass

def made(params, lr, **rest):
    return SGD(params, lr=lr, **rest)

class NoRate(Optimizer):
    # keeps its learning rate to itself
    def __init__(self, params, lr=0.1):
        super().__init__(params, {})
        self.lr = lr
    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p -= self.lr * p.grad

class Halved(SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr / 2)

class Flat(SGD):
    # loses the groups
    def __init__(self, params, **rest):
        params = [p for group in params for p in (group["params"] if isinstance(group, dict) else [group])]
        super().__init__(params, **rest)

class Tupled(torch.optim.Adam):
    def __init__(self, params, lr, betas):
        super().__init__(params, lr=lr, betas=tuple(betas))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own_optimizers.py").write_text(OWN)
    return tmp_path


@pytest.fixture
def trained(settings, pictures, assign, make_choice, heard, folder):
    """A training with an optimizer: the lines of each seed, its last weights, and the facts."""

    def run(optimizer, *tricks, stack="off", seeds=SEEDS, **fields):
        chosen = settings(
            model=make_choice("model", "mlp", hidden=[6]),
            optimizer=optimizer,
            tricks=tricks,
            stack=stack,
            epochs=EPOCHS,
            shuffle=False,
            precision="float64",
            **fields,
        )
        for trick in tricks:
            chosen = trick.options.on_settings(chosen)
        report = heard()
        train(replace(assign(chosen), seeds=seeds, folder=folder), pictures, report)
        numbers = [
            [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in report.lines[i]]
            for i in range(len(seeds))
        ]
        return numbers, [report.kept[i, "last"] for i in range(len(seeds))], report.facts, chosen

    return run


def own(target, **options):
    return Choice("optimizer", None, target, {name: scheduled(value) for name, value in options.items()})


def scheduled(value):
    if isinstance(value, list):
        return [scheduled(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {k: scheduled(v) for k, v in value.items()} if "match" in value else parse_schedule(value)


def same(one, other, tolerance=1e-12):
    for mine, theirs in zip(one[0], other[0], strict=True):
        for line, expected in zip(mine, theirs, strict=True):
            assert line == pytest.approx(expected, rel=tolerance, abs=tolerance)
    for mine, theirs in zip(one[1], other[1], strict=True):
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], rtol=tolerance, atol=tolerance)


def cosine(a, b, step):
    return b + (a - b) * (1 + math.cos(math.pi * step / (STEPS - 1))) / 2


def by_hand(chosen, pictures, folder, assign, seed, make, rate=None):
    """torch's own loop, with LambdaLR if there is a rate."""
    network = assemble(replace(assign(chosen), seeds=(seed,), folder=folder), pictures).network
    optimizer = make(network)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, rate) if rate else None
    inputs, targets = pictures.train.inputs.double(), pictures.train.targets
    network.train()
    for _ in range(EPOCHS):
        for rows in torch.arange(40).split(16):

            def closure(rows=rows):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows])
                loss.backward()
                return loss

            optimizer.step(closure)
            if rates:
                rates.step()
    return network.state_dict()


TORCHS = {
    "sgd": ("torch.optim:SGD", {"momentum": 0.9}, {"name": "sgd", "momentum": 0.9}),
    "nesterov": (
        "torch.optim:SGD",
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        {"name": "sgd", "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
    ),
    "adamw": ("torch.optim:AdamW", {"weight_decay": 0.1}, {"name": "adamw", "weight_decay": 0.1}),
    "adamw foreach": (
        "torch.optim:AdamW",
        {"weight_decay": 0.1, "foreach": True},
        {"name": "adamw", "weight_decay": 0.1},
    ),
    "adamw fused": ("torch.optim:AdamW", {"weight_decay": 0.1, "fused": True}, {"name": "adamw", "weight_decay": 0.1}),
    "own class": ("own_optimizers:Plain", {"momentum": 0.9}, {"name": "sgd", "momentum": 0.9}),
    "own function": ("own_optimizers:made", {"momentum": 0.9}, {"name": "sgd", "momentum": 0.9}),
}


@pytest.mark.parametrize("name", TORCHS)
def test_a_scheduled_rate_is_that_of_torchs_loop_and_of_the_built_in_optimizer(
    trained, make_choice, pictures, folder, assign, name
):
    target, arguments, built_in = TORCHS[name]
    alone = trained(own(target, lr={"cosine": [0.1, 0.002]}, **arguments))
    lr = {"cosine": [0.1, 0.002]}
    same(
        alone,
        trained(
            make_choice("optimizer", built_in["name"], lr=lr, **{k: v for k, v in built_in.items() if k != "name"})
        ),
    )
    for i, seed in enumerate(SEEDS):
        kind = getattr(torch.optim, target.partition(":")[2], torch.optim.SGD)
        state = by_hand(
            alone[3],
            pictures,
            folder,
            assign,
            seed,
            lambda network, kind=kind: kind(network.parameters(), lr=0.1, **arguments),
            lambda step: cosine(0.1, 0.002, step) / 0.1,
        )
        for key, value in alone[1][i].items():
            torch.testing.assert_close(value, state[key], rtol=1e-12, atol=1e-12)
    stack = trained(own(target, lr={"cosine": [0.1, 0.002]}, **arguments), stack=3)
    assert stack[2].stack == ([[0], [1], [2]] if target.startswith("own") and "Plain" in target else [[0, 1, 2]])
    same(stack, alone, 1e-9)


def test_any_argument_that_a_group_holds_may_be_scheduled(trained, pictures, folder, assign):
    options = {
        "lr": 0.01,
        "betas": [{"linear": [0.8, 0.95]}, 0.99],
        "weight_decay": {"linear": [0, 0.5], "per": "epoch"},
    }
    for target in ("torch.optim:AdamW", "own_optimizers:Tupled"):
        if target.startswith("own"):
            options.pop("weight_decay")
        lines, weights, *_, chosen = trained(own(target, **options), seeds=(1,))
        network = assemble(replace(assign(chosen), seeds=(1,), folder=folder), pictures).network
        decay = 0.5 if "AdamW" in target else 0.0
        kind = torch.optim.AdamW if decay else torch.optim.Adam
        optimizer = kind(network.parameters(), lr=0.01, weight_decay=0.0)
        network.train()
        for step in range(STEPS):
            rows = torch.arange(40).split(16)[step % 3]
            optimizer.param_groups[0]["betas"] = (0.8 + 0.15 * step / (STEPS - 1), 0.99)
            optimizer.param_groups[0]["weight_decay"] = decay * (step // 3) / (EPOCHS - 1)
            optimizer.zero_grad()
            inputs, targets = pictures.train.inputs.double()[rows], pictures.train.targets[rows]
            torch.nn.functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
        for key, value in network.state_dict().items():
            torch.testing.assert_close(weights[0][key], value, rtol=1e-12, atol=1e-12)
        assert lines[0][-1]["momentum"] == pytest.approx(0.95)


GROUPS = [
    {"match": "1d", "weight_decay": 0.0},
    {"match": "hidden*", "lr": {"linear": [0.02, 0.001]}},
]


@pytest.mark.parametrize("target", ["torch.optim:AdamW", "own_optimizers:made"])
@pytest.mark.parametrize("stack", ["off", 3])
def test_parameter_groups_are_those_of_the_built_in_optimizer(trained, make_choice, target, stack):
    name = "adamw" if "AdamW" in target else "sgd"
    fields = {"lr": {"cosine": [0.1, 0.002]}, "weight_decay": 0.1, **({"momentum": 0.9} if name == "sgd" else {})}
    found = trained(own(target, groups=GROUPS, **fields), stack=stack)
    same(found, trained(make_choice("optimizer", name, groups=GROUPS, **fields), stack=stack))
    assert found[2].stack == ([[0, 1, 2]] if stack == 3 else [[0], [1], [2]])
    assert found[0][0][-1]["lr/hidden*"] == pytest.approx(0.001)


def test_any_value_of_a_group_may_differ(trained, pictures, folder, assign):
    groups = [{"match": "output*", "momentum": {"linear": [0.5, 0.9]}, "nesterov": True}, {"match": "*"}]
    _, weights, *_, chosen = trained(own("torch.optim:SGD", lr=0.05, momentum=0.3, groups=groups), seeds=(0,))
    network = assemble(replace(assign(chosen), seeds=(0,), folder=folder), pictures).network
    optimizer = torch.optim.SGD(
        [
            {"params": network.output.parameters(), "momentum": 0.5, "nesterov": True},
            {"params": [p for name, p in network.named_parameters() if not name.startswith("output")]},
        ],
        lr=0.05,
        momentum=0.3,
    )
    network.train()
    for step in range(STEPS):
        rows = torch.arange(40).split(16)[step % 3]
        optimizer.param_groups[0]["momentum"] = 0.5 + 0.4 * step / (STEPS - 1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(
            network(pictures.train.inputs.double()[rows]), pictures.train.targets[rows]
        ).backward()
        optimizer.step()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(weights[0][key], value, rtol=1e-12, atol=1e-12)


TRICKS = {
    "plateau": {"factor": 0.3, "patience": 0, "threshold": 0.9},
    "restart": {"at": 2, "from_epoch": 1, "factor": 0.1},
    "restart with a rate": {"at": 2, "from_epoch": 1, "lr": 0.003, "optimizer": "fresh"},
    "swa": {"start": 2, "lr": 0.02},
    "scale_lr": {"base": 4, "rule": "sqrt"},
    "freeze": {"layers": "hidden*", "until": 2},
}


@pytest.mark.parametrize("stack", ["off", 3])
@pytest.mark.parametrize("name", TRICKS)
def test_tricks_change_the_rate_as_that_of_a_built_in_optimizer(trained, make_choice, name, stack):
    trick = make_choice("trick", name.partition(" ")[0], **TRICKS[name])
    groups = [] if name == "restart with a rate" else [{"match": "output*", "lr": 0.02}]
    fields = {"lr": {"linear": [0.1, 0.01]}, "weight_decay": 0.01} | ({"groups": groups} if groups else {})
    found = trained(own("torch.optim:RMSprop", **fields, alpha=0.9), trick, stack=stack)
    same(found, trained(make_choice("optimizer", "rmsprop", alpha=0.9, **fields), trick, stack=stack))
    without = trained(own("torch.optim:RMSprop", **fields, alpha=0.9), stack=stack)
    assert found[0] != without[0]


def test_a_rate_of_its_own_for_each_seed_needs_no_settings(trained, make_choice):
    trick = make_choice("trick", "scale_lr")
    with pytest.raises(ValueError, match=r"scale_lr requires optimizer\.lr, but optimizer \(=SGD\)"):
        trained(own("torch.optim:SGD", momentum=0.9), trick)


def test_a_closure_sees_the_scheduled_rate(trained, pictures, folder, assign):
    options = {"max_iter": 2, "history_size": 3}
    found = trained(own("torch.optim:LBFGS", lr={"cosine": [0.5, 0.1]}, **options), seeds=(0,))
    state = by_hand(
        found[3],
        pictures,
        folder,
        assign,
        0,
        lambda network: torch.optim.LBFGS(network.parameters(), lr=0.5, **options),
        lambda step: cosine(0.5, 0.1, step) / 0.5,
    )
    for key, value in found[1][0].items():
        torch.testing.assert_close(value, state[key], rtol=1e-9, atol=1e-9)


RATE, GROUP = {"lr": {"linear": [0.1, 0.01]}}, {"lr": 0.1, "groups": [{"match": "output*", "lr": 0.01}]}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "torch.optim:LBFGS",
            GROUP,
            r"optimizer \(=torch\.optim:LBFGS\) does not accept optimizer\.groups: .*per-parameter",
        ),
        ("own_optimizers:NoRate", RATE, r"optimizer\.lr cannot have a schedule, .*NoRate"),
        ("own_optimizers:NoRate", GROUP, r"optimizer\.lr cannot differ between groups, .*NoRate"),
        ("own_optimizers:Halved", RATE, r"optimizer\.lr cannot have a schedule, .*Halved"),
        ("own_optimizers:Flat", GROUP, r"Flat\) does not keep parameter groups"),
        (
            "torch.optim:SGD",
            {**RATE, "foreach": {"linear": [0, 1]}, "groups": [{"match": "output*", "beta": 1}]},
            r"optimizer\.beta cannot differ",
        ),
        (
            "torch.optim:SGD",
            {"lr": 0.1, "groups": [{"match": "conv*", "lr": 1}]},
            r"optimizer\.groups\.0\.match \(=conv\*\)",
        ),
    ],
)
@pytest.mark.parametrize("stack", ["off", 3])
def test_what_an_optimizer_cannot_do_is_an_error_before_training(trained, name, options, message, stack):
    with pytest.raises(ValueError, match=message) as error:
        trained(own(name, **options), stack=stack)
    assert "\n" not in str(error.value)


def test_a_trick_needs_a_rate_in_the_groups(trained, make_choice):
    with pytest.raises(ValueError, match=r"NoRate\) must have an lr"):
        trained(own("own_optimizers:NoRate"), make_choice("trick", "plateau"))


@pytest.mark.parametrize("stack", ["off", 3])
def test_a_resumed_training_goes_on_with_its_schedules(settings, pictures, assign, make_choice, heard, folder, stack):
    class Kept(heard):
        def due(self, epoch):
            return epoch == 1

        def checkpoint(self, state):
            torch.save(dict(state), folder / "state.pt")

    optimizer = own("torch.optim:AdamW", lr={"cosine": [0.1, 0.001]}, groups=GROUPS)
    mlp = make_choice("model", "mlp", hidden=[6])
    assignment = replace(assign(settings(model=mlp, optimizer=optimizer, stack=stack)), seeds=SEEDS, folder=folder)
    whole, rest = Kept(), heard()
    train(assignment, pictures, whole)
    train(assignment, pictures, rest, torch.load(folder / "state.pt", weights_only=True))
    assert rest.outcomes == whole.outcomes
    for which, state in whole.kept.items():
        assert all(torch.equal(value, rest.kept[which][name]) for name, value in state.items())


# in recipes

RECIPE = """
data: digits
baseline:
  name: a
  model: mlp
  loss: cross_entropy
  optimizer: {OPTIMIZER}
variants: []
"""


def read(folder, optimizer):
    (folder / "r.yaml").write_text(RECIPE.replace("{OPTIMIZER}", optimizer))
    recipe = Recipe.load(folder / "r.yaml")
    return recipe, recipe.variants[0].settings


def test_what_a_recipe_says_is_what_it_said_before(folder):
    plain = "{target: torch.optim:SGD, lr: 0.1, betas: [0.8, 0.9], step: 3, linear: [1, 2], rates: {linear: 0.1, bias: 0.2}, groups: [1, 2]}"
    options = {
        "lr": 0.1,
        "betas": [0.8, 0.9],
        "step": 3,
        "linear": [1, 2],
        "rates": {"linear": 0.1, "bias": 0.2},
        "groups": [1, 2],
    }
    recipe, settings = read(folder, plain)
    assert settings.optimizer.options == options
    known = facts(settings, folder=recipe.folder)
    assert known["settings"]["optimizer"] == {"target": "torch.optim:SGD", **options}
    assert not any(name.startswith("schedule/") for name in known["versions"])


def test_schedules_are_read_wherever_they_stand(folder):
    recipe, settings = read(
        folder,
        "{target: torch.optim:AdamW, lr: {warmup: 4, then: {cosine: [0.1, 0]}}, betas: [{linear: [0.8, 0.9], per: epoch}, 0.99], "
        "groups: [{match: '*.bias', weight_decay: {linear: [0, 1]}}]}",
    )
    written = settings.optimizer.dump()
    warmup = {"warmup": 4, "then": {"cosine": [0.1, 0]}}
    assert written["lr"] == parse_schedule(warmup).dump()
    assert written["betas"] == [parse_schedule({"linear": [0.8, 0.9], "per": "epoch"}).dump(), 0.99]
    assert written["groups"] == [{"match": "*.bias", "weight_decay": parse_schedule({"linear": [0, 1]}).dump()}]
    assert {"schedule/warmup", "schedule/cosine", "schedule/linear"} <= facts(settings, folder=recipe.folder)[
        "versions"
    ].keys()
    built_in, _ = read(folder, "{name: sgd, lr: {exponential: {start: 0.1, gamma: 0.01}}}")
    own_one, _ = read(folder, "{target: torch.optim:SGD, lr: {exponential: {start: 0.1, gamma: 0.01}}}")
    assert advice_of(own_one) == advice_of(built_in) != []


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (
            "{target: torch.optim:SGD, lr: {cosine: 3}}",
            "r.yaml:7:44: optimizer.lr (={cosine: 3}): cosine (=3) must be a list",
        ),
        (
            "{target: torch.optim:SGD, lr: 1, groups: [{match: a, lr: {cosine: [1, 0], linear: [1, 0]}}]}",
            "optimizer.groups[0].lr",
        ),
        ("{target: torch.optim:SGD, lr: {step: {start: 1}}}", "optimizer.lr"),
    ],
)
def test_a_wrong_schedule_is_told_with_its_place(folder, optimizer, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read(folder, optimizer)
