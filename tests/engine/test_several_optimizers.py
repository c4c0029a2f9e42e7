"""Several optimizers for the parts of a network, against torch's own optimizers stepped by hand in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from ablate.engine.assembly import assemble
from ablate.engine.training import train
from ablate.optimizers.steps.muon import orthogonalised
from ablate.recipe import Recipe
from ablate.recipe.fingerprint import code_files, facts, fingerprint
from ablate.recipe.recipe import advice_of
from ablate.recipe.settings import Choice
from ablate.registry import lookup

SEEDS, EPOCHS, STEPS = (0, 1, 2), 4, 12
"""40 samples in batches of 16: 3 steps per epoch."""

OWN = """
from torch.optim import SGD

class Plain(SGD):
    pass

class Halved(SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr / 2)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own_parts.py").write_text(OWN)
    return tmp_path


@pytest.fixture
def trained(settings, pictures, assign, make_choice, heard, folder):
    """The settings after the rules of tricks, the report and the lines without their times."""

    def run(parts, *tricks, stack="off", seeds=SEEDS, report=None, resume=None, **fields):
        chosen = settings(
            **{
                "model": make_choice("model", "mlp", hidden=[6]),
                "optimizer": several(parts, folder),
                "tricks": tricks,
                "stack": stack,
                "epochs": EPOCHS,
                "shuffle": False,
                "precision": "float64",
                **fields,
            }
        )
        for trick in tricks:
            chosen = trick.options.on_settings(chosen)
        report = report or heard()
        train(replace(assign(chosen), seeds=seeds, folder=folder), pictures, report, resume)
        lines = {
            i: [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in report.lines[i]]
            for i in report.lines
        }
        return chosen, report, lines

    return run


def several(parts, folder):
    settings = lookup("optimizer", "several").settings
    return Choice("optimizer", "several", None, settings.model_validate({"parts": parts}, context={"folder": folder}))


def linear(a, b, step):
    return a + (b - a) * step / (STEPS - 1)


def cosine(a, b, step):
    return b + (a - b) * (1 + math.cos(math.pi * step / (STEPS - 1))) / 2


def by_hand(chosen, pictures, folder, assign, seed, make, factor=lambda epoch: 1.0):
    """Two of torch's optimizers, which ``make`` builds, and their learning rates at a step, times a factor."""
    network = assemble(replace(assign(chosen), seeds=(seed,), folder=folder), pictures).network
    optimizers = make(
        [p for p in network.parameters() if p.dim() > 1], [p for p in network.parameters() if p.dim() < 2]
    )
    inputs, targets = pictures.train.inputs.double(), pictures.train.targets
    network.train()
    for step in range(STEPS):
        rows = torch.arange(40).split(16)[step % 3]
        network.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs[rows]), targets[rows]).backward()
        for optimizer, rate in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate(step) * factor(step // 3)
            optimizer.step()
    return network.state_dict()


def agree(found, expected):
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9)


NAMES = [
    {"match": "2d", "use": {"name": "adamw", "lr": {"cosine": [0.1, 0.002]}, "weight_decay": 0.1}},
    {"use": {"name": "sgd", "lr": {"linear": [0.3, 0.01]}, "momentum": 0.8}},
]
TARGETS = [
    {"match": "2d", "use": {"target": "torch.optim:AdamW", "lr": {"cosine": [0.1, 0.002]}, "weight_decay": 0.1}},
    {"use": {"target": "torch.optim:SGD", "lr": {"linear": [0.3, 0.01]}, "momentum": 0.8}},
]


def of_torch(matrices, vectors):
    return (
        (torch.optim.AdamW(matrices, weight_decay=0.1), lambda step: cosine(0.1, 0.002, step)),
        (torch.optim.SGD(vectors, momentum=0.8), lambda step: linear(0.3, 0.01, step)),
    )


@pytest.mark.parametrize("stack", ["off", 3])
@pytest.mark.parametrize("parts", [NAMES, TARGETS, [NAMES[0], TARGETS[1]]], ids=["names", "targets", "mixed"])
def test_each_part_steps_as_torchs_optimizer_with_its_own_rate(trained, pictures, folder, assign, parts, stack):
    chosen, report, lines = trained(parts, stack=stack)
    assert report.facts.stack == ([[0, 1, 2]] if stack == 3 else [[0], [1], [2]])
    for i, seed in enumerate(SEEDS):
        agree(report.kept[i, "last"], by_hand(chosen, pictures, folder, assign, seed, of_torch))
    assert lines[0][-1]["lr"] == pytest.approx(0.01)
    assert lines[0][-1]["lr/2d"] == pytest.approx(0.002)
    assert lines[0][-1]["momentum"] == pytest.approx(0.8)


@pytest.mark.parametrize("stack", ["off", 3])
def test_muon_for_matrices_and_sgd_for_vectors(trained, pictures, folder, assign, stack):
    muon = {"name": "muon", "lr": {"linear": [0.1, 0.001]}, "output": "muon", "weight_decay": 0.0, "momentum": 0.9}
    chosen, report, _ = trained([{"match": "2d", "use": muon}, NAMES[1]], stack=stack)

    class Muon(torch.optim.Optimizer):
        def __init__(self, matrices):
            super().__init__(matrices, {"lr": 0.0})
            self.means = [torch.zeros_like(p) for p in matrices]

        @torch.no_grad()
        def step(self):
            for p, mean in zip(self.param_groups[0]["params"], self.means, strict=True):
                mean.mul_(0.9).add_(p.grad, alpha=0.1)
                ahead = 0.1 * p.grad + 0.9 * mean
                p -= self.param_groups[0]["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5 * orthogonalised(ahead)

    def make(matrices, vectors):
        return ((Muon(matrices), lambda step: linear(0.1, 0.001, step)), of_torch(matrices, vectors)[1])

    for i, seed in enumerate(SEEDS):
        agree(report.kept[i, "last"], by_hand(chosen, pictures, folder, assign, seed, make))


def test_muon_in_a_part_knows_the_output_layer_of_the_whole_network(trained, make_choice, assign, pictures, folder):
    deep = make_choice("model", "mlp", hidden=[6, 5])
    parts = [{"match": "hidden*.weight", "use": "muon"}, {"use": "adamw"}]
    chosen, *_ = trained(parts, model=deep, seeds=(0,))
    optimizer = assemble(replace(assign(chosen), folder=folder), pictures).optimizer
    groups = [(group.get("part"), len(group["params"])) for group in optimizer.param_groups]
    assert groups == [("muon", 2), (None, 4)], "the last hidden layer is not the output layer"
    with pytest.raises(ValueError, match=r"^optimizer\.parts\.0\.use \(=muon\) requires hidden weight matrices"):
        trained([{"match": "output*", "use": "muon"}, {"use": "adamw"}], model=deep)


@pytest.mark.parametrize("stack", ["off", 3])
def test_groups_within_a_part_have_their_own_values(trained, pictures, folder, assign, stack):
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0, "groups": [{"match": "hidden*", "lr": {"linear": [0.02, 0]}}]}
    chosen, report, lines = trained([{"match": "1d", "use": "adam"}, {"use": sgd}], stack=stack)

    def make(matrices, vectors):
        hidden, output = matrices
        return (
            (torch.optim.Adam(vectors), lambda step: 3e-4),
            (torch.optim.SGD([hidden]), lambda step: linear(0.02, 0, step)),
            (torch.optim.SGD([output]), lambda step: 0.1),
        )

    agree(report.kept[1, "last"], by_hand(chosen, pictures, folder, assign, 1, make))
    assert {"lr", "lr/1d", "lr/hidden*"} <= lines[0][-1].keys()


@pytest.mark.parametrize("stack", ["off", 3])
@pytest.mark.parametrize("parts", [NAMES, TARGETS], ids=["names", "targets"])
def test_tricks_change_the_rate_of_every_part(trained, make_choice, pictures, folder, assign, parts, stack):
    chosen, report, _ = trained(parts, make_choice("trick", "scale_lr", base=4), stack=stack)
    agree(report.kept[0, "last"], by_hand(chosen, pictures, folder, assign, 0, of_torch, lambda epoch: 4.0))
    # with a threshold that no epoch can reach, each epoch but the first lowers the rates of the next ones
    plateau = make_choice("trick", "plateau", factor=0.5, patience=0, threshold=0.99)
    chosen, report, lines = trained(parts, plateau, stack=stack)
    factors = [1.0, 1.0, 0.5, 0.25]
    assert [line["lr/2d"] for line in lines[0]] == pytest.approx(
        [cosine(0.1, 0.002, 3 * epoch + 2) * factors[epoch] for epoch in range(EPOCHS)]
    )
    agree(report.kept[2, "last"], by_hand(chosen, pictures, folder, assign, 2, of_torch, factors.__getitem__))


@pytest.mark.parametrize("stack", ["off", 3])
@pytest.mark.parametrize("state", ["then", "fresh"])
def test_a_restart_goes_back_with_the_state_of_every_part(trained, make_choice, pictures, folder, assign, stack, state):
    restart = make_choice("trick", "restart", at=2, from_epoch=1, factor=0.1, optimizer=state)
    chosen, report, _ = trained(NAMES, restart, stack=stack)

    def by_hand_with_restart(seed):
        network = assemble(replace(assign(chosen), seeds=(seed,), folder=folder), pictures).network
        halves = ([p for p in network.parameters() if p.dim() > 1], [p for p in network.parameters() if p.dim() < 2])
        optimizers = of_torch(*halves)
        network.train()
        for step in range(STEPS):
            if step == 3:
                kept = {name: value.clone() for name, value in network.state_dict().items()}
                states = [{**optimizer.state_dict()} for optimizer, _ in optimizers]
                states = torch.load(_saved(folder, states), weights_only=True)
            if step == 6:
                network.load_state_dict(kept)
                optimizers = of_torch(*halves)
                for (optimizer, _), saved in zip(optimizers, states if state == "then" else (), strict=state == "then"):
                    optimizer.load_state_dict(saved)
            rows = torch.arange(40).split(16)[step % 3]
            network.zero_grad()
            inputs, targets = pictures.train.inputs.double()[rows], pictures.train.targets[rows]
            torch.nn.functional.cross_entropy(network(inputs), targets).backward()
            for optimizer, rate in optimizers:
                optimizer.param_groups[0]["lr"] = rate(step) * (0.1 if step >= 6 else 1)
                optimizer.step()
        return network.state_dict()

    agree(report.kept[1, "last"], by_hand_with_restart(1))
    with pytest.raises(ValueError, match=r"restart\.lr .* would replace several learning rates"):
        trained(NAMES, make_choice("trick", "restart", at=2, from_epoch=1, lr=0.1))


def _saved(folder, value):
    torch.save(value, folder / "states.pt")
    return folder / "states.pt"


@pytest.mark.parametrize("stack", ["off", 3])
@pytest.mark.parametrize("parts", [NAMES, TARGETS], ids=["names", "targets"])
def test_a_resumed_training_is_the_same_to_the_last_bit(trained, heard, make_choice, folder, parts, stack):
    class Kept(heard):
        def due(self, epoch):
            return epoch == 2

        def checkpoint(self, state):
            torch.save(dict(state), folder / "state.pt")

    plateau = make_choice("trick", "plateau", factor=0.5, patience=0, threshold=0.99)
    _, whole, lines = trained(parts, plateau, stack=stack, report=Kept(), precision="float32", shuffle=True)
    state = torch.load(folder / "state.pt", weights_only=True)
    _, rest, later = trained(parts, plateau, stack=stack, resume=state, precision="float32", shuffle=True)
    assert rest.outcomes == whole.outcomes
    assert later == {i: known[2:] for i, known in lines.items()}
    for which, weights in whole.kept.items():
        assert all(torch.equal(value, rest.kept[which][name]) for name, value in weights.items())


def test_seeds_are_trained_one_by_one_if_a_part_cannot_be_stacked(trained):
    parts = [{"match": "2d", "use": "adam"}, {"use": {"target": "own_parts:Plain", "lr": 0.1}}]
    _, report, _ = trained(parts, stack=3)
    assert report.facts.stack == [[0], [1], [2]]
    reason = "optimizer.parts.1.use (=own_parts:Plain) may couple parameters"
    assert any(reason in str(note.values) for note in report.facts.notes)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"match": "conv*", "use": "sgd"}, {"use": "adam"}], r"optimizer\.parts\.0\.match \(=conv\*\) matches no rem"),
        (
            [{"match": "1d", "use": "sgd"}, {"match": "2d", "use": "adam"}, {"use": "adam"}],
            r"optimizer\.parts\.2\.match \(=null\) is for all other parameters, but there are no remaining",
        ),
        (
            [{"match": "hidden*", "use": "sgd"}],
            r"optimizer\.parts match 2 of 4 parameters, but not output\.weight, output\.bias\. Add a part without",
        ),
        (
            [{"match": "1d", "use": {"name": "sgd", "groups": [{"match": "hidden*.weight"}]}}, {"use": "adam"}],
            r"optimizer\.parts\.0\.use\.groups\.0\.match \(=hidden\*\.weight\) matches no",
        ),
        (
            [{"match": "1d", "use": {"target": "torch.optim:LBFGS"}}, {"use": "adam"}],
            r"optimizer\.parts\.0\.use \(=torch\.optim:LBFGS\) requires a closure",
        ),
        (
            [{"match": "1d", "use": {"name": "vsgd", "curvature": "finite_difference"}}, {"use": "adam"}],
            r"optimizer\.parts\.0\.use \(=vsgd\) requires a closure",
        ),
        (
            [{"match": "1d", "use": {"target": "own_parts:Halved", "lr": {"linear": [1, 0]}}}, {"use": "adam"}],
            r"optimizer\.parts\.0\.use\.lr cannot have a schedule",
        ),
    ],
)
@pytest.mark.parametrize("stack", ["off", 3])
def test_parts_that_do_not_fit_the_network_are_errors_before_training(trained, parts, message, stack):
    with pytest.raises(ValueError, match="^" + message) as error:
        trained(parts, stack=stack)
    assert "\n" not in str(error.value)


# in recipes

RECIPE = """
data: digits
baseline:
  name: a
  model: mlp
  loss: cross_entropy
  optimizer: {OPTIMIZER}
variants: {VARIANTS}
"""
WRITTEN = (
    "{name: several, parts: [{match: '2d', use: {name: muon, lr: {warmup: 2, then: {cosine: [0.02, 0]}}}}, "
    "{use: {target: own_parts:Plain, lr: {linear: [0.1, 0]}, groups: [{match: 'out*', lr: 0.2}]}}]}"
)


def read(folder, optimizer, variants="[]"):
    (folder / "r.yaml").write_text(RECIPE.replace("{OPTIMIZER}", optimizer).replace("{VARIANTS}", variants))
    return Recipe.load(folder / "r.yaml")


def test_a_recipe_holds_parts_that_variants_can_change(folder):
    variants = "[{name: b, set: {optimizer.parts.0.use.lr: 0.3, optimizer.parts.1.use.lr: 0.4}}]"
    recipe = read(folder, WRITTEN, variants)
    first, second = (variant.settings.optimizer.dump() for variant in recipe.variants)
    warmup = {"warmup": 2, "then": {"cosine": [0.02, 0.0], "per": "step"}, "start": 0.01, "per": "step"}
    assert first["parts"][0] == {"match": "2d", "use": {"name": "muon", "lr": warmup}}
    assert first["parts"][1]["use"]["lr"] == {"linear": [0.1, 0.0], "per": "step"}
    assert [part["use"]["lr"] for part in second["parts"]] == [0.3, 0.4]
    advised = read(folder, "{name: several, parts: [{use: {name: sgd, lr: {exponential: {start: 1, gamma: 0.01}}}}]}")
    assert "optimizer.parts.0.use.lr exponential: gamma (=0.01)" in advice_of(advised)[0]


def test_all_that_a_part_uses_is_in_the_fingerprint(folder):
    recipe = read(folder, WRITTEN)
    settings = recipe.variants[0].settings
    known = facts(settings, folder=folder)
    assert known["code"].keys() == {"own_parts:Plain"}
    assert {"optimizer/several", "optimizer/muon", "schedule/cosine", "schedule/linear"} <= known["versions"].keys()
    assert code_files(settings, folder) == (folder / "own_parts.py",)
    before = fingerprint(settings, 0, folder=folder)
    spelled = read(folder, WRITTEN.replace("muon,", "muon, momentum: 0.95,")).variants[0].settings
    assert fingerprint(spelled, 0, folder=folder) == before, "a default may be written"
    (folder / "own_parts.py").write_text(OWN.replace("pass", "momentum = 1"))
    assert fingerprint(settings, 0, folder=folder) != before


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("{name: several, parts: [{use: sgdd}]}", r"r\.yaml:7:\d+: optimizer\.parts\[0\]\.use .*Did you mean 'sgd'"),
        ("{name: several, parts: []}", r"optimizer\.parts .*at least 1"),
        ("{name: several, parts: [{match: '1d'}]}", r"optimizer\.parts\[0\]\.use is required"),
        (
            "{name: several, parts: [{use: {name: sgd, lr: -1}}]}",
            r"7:\d+: optimizer\.parts\[0\]\.use\.lr \(=-1\) must be g",
        ),
        ("{name: several, parts: [{use: {name: sgd, lr: '1'}}]}", r"optimizer\.parts\[0\]\.use\.lr \(='?1'?\) must be"),
        (
            "{name: several, parts: [{use: {name: sgd, beta1: 1}}]}",
            r"optimizer\.parts\[0\]\.use\.beta1 is not a setting",
        ),
        ("{name: several, parts: [{use: {lr: 1}}]}", r"must be an optimizer: its name, or a mapping"),
        ("{name: several, parts: [{use: {name: several, parts: [{use: sgd}]}}]}", r"single optimizer"),
        ("{name: several, parts: [{use: {target: gone:Net}}]}", r"target \(=gone:Net\) is in module 'gone', which was"),
        (
            "{name: several, parts: [{use: {target: torch.optim:SGD, groups: [{match: a, lr: {cosine: 3}}]}}]}",
            r"optimizer\.parts\[0\]\.use\.groups\[0\]\.lr \(=\{cosine: 3\}\): cosine \(=3\) must be a list",
        ),
        ("{name: several, parts: [{match: '2d', use: sgd}, {match: '2d', use: adam}]}", r"'2d' is in two parts"),
        (
            "{name: several, parts: [{use: sgd}, {match: '2d', use: adam}]}",
            r"all but the last part, but part 0 has none",
        ),
    ],
)
def test_what_is_wrong_in_a_recipe_has_its_place(folder, optimizer, message):
    with pytest.raises(ValueError, match=message) as error:
        read(folder, optimizer)
    assert str(error.value).count("\n") == 0
