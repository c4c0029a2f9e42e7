"""MC-dropout against a plain mean over passes with masks drawn by hand, alone and in a stack."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.evaluation import evaluate
from ablate.engine.training import train
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.rng.noise import generator
from ablate.tricks.trick import NoEffect

SEEDS, PASSES, P = (0, 1, 2), 4, 0.5
NETWORKS = {"convnet": {"channels": [4], "kernels": [3], "hidden": [12]}, "mlp": {"hidden": [12]}}


def choice(kind: str, name: str, **options) -> Choice:
    return Choice(kind, name, None, lookup(kind, name).settings(**options))


def settings(model="mlp", task="classification", tricks=("dropout", "mc_dropout"), **fields) -> Settings:
    known = {"dropout": {"hidden": P, "conv": 0.0}, "mc_dropout": {"passes": PASSES}, "batch_norm": {}}
    base = {
        "data": choice("data", "digits"),
        "model": choice("model", model, **NETWORKS[model]),
        "init": choice("init", "he_normal"),
        "loss": choice("loss", "cross_entropy" if task == "classification" else "mse"),
        "optimizer": choice("optimizer", "sgd", lr=0.1),
        "metrics": (choice("metric", "accuracy"),) if task == "classification" else (),
        "tricks": tuple(choice("trick", name, **known[name]) for name in tricks),
        "batch_size": 8,
        "epochs": 2,
        "precision": "float64",
    }
    return Settings(**(base | fields))


def parts(task: str) -> Parts:
    draw = torch.Generator().manual_seed(0)
    outputs = 3 if task == "classification" else 2

    def part(n: int) -> Part:
        targets = (
            torch.randint(0, 3, (n,), generator=draw) if task == "classification" else torch.randn(n, 2, generator=draw)
        )
        return Part(torch.rand(n, 1, 6, 6, generator=draw), targets)

    return Parts(part(24), part(10), Spec((1, 6, 6), outputs, task, tuple("abc") if task == "classification" else ()))


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("model", ["convnet", "mlp"])
def test_evaluation_is_of_the_mean_prediction(task, model):
    data = parts(task)
    stack = assemble(Assignment(settings(model, task, stack=3), SEEDS, Path()), data)
    together = evaluate(stack, stack.valid, metrics=True)
    for i, seed in enumerate(SEEDS):
        alone = assemble(Assignment(settings(model, task), (seed,), Path()), data)
        found = evaluate(alone, alone.valid, metrics=True)
        network = alone.network.eval()
        layers = dict(network.named_children())
        [name] = [name for name, layer in layers.items() if "Dropout" in type(layer).__name__ and layer.p == P] or [
            None
        ]
        draws = iter(masks_of(name, seed))
        x = data.valid.inputs.double()
        outputs = []
        for _ in range(PASSES):
            value = x
            for own, layer in layers.items():
                value = value * next(draws) if own == name else layer(value)
            outputs.append(value.detach())
        if task == "classification":
            p = torch.stack([o.softmax(1) for o in outputs]).mean(0)
            loss = -p[torch.arange(10), data.valid.targets].log().mean()
            assert float(found["accuracy"]) == pytest.approx(float((p.argmax(1) == data.valid.targets).double().mean()))
        else:
            loss = nn.functional.mse_loss(torch.stack(outputs).mean(0), data.valid.targets.double())
        assert float(found["loss"]) == pytest.approx(float(loss), rel=1e-9)
        assert float(together["loss"][i]) == pytest.approx(float(loss), rel=1e-9)


def masks_of(layer: str, seed: int):
    numbers = generator(seed, f"mc_dropout/{layer}/0")
    while True:
        yield (torch.rand(10, 12, generator=numbers) >= P).double() / (1 - P)


def test_it_leaves_training_and_other_layers_as_they_are(heard):
    data, plain, mc = parts("classification"), heard(), heard()
    for report, tricks in ((plain, ("batch_norm", "dropout")), (mc, ("batch_norm", "dropout", "mc_dropout"))):
        train(Assignment(settings("convnet", tricks=tricks), (0,), Path()), data, report)
    assert all(torch.equal(value, mc.kept[0, "last"][name]) for name, value in plain.kept[0, "last"].items())
    for one, other in zip(plain.lines[0], mc.lines[0], strict=True):
        assert one["train_loss"] == other["train_loss"]
        assert one["valid_loss"] != other["valid_loss"]


def test_two_evaluations_are_alike():
    made = assemble(Assignment(settings(), (0,), Path()), parts("classification"))
    first = evaluate(made, made.valid, metrics=False)["loss"]
    made.begin_epoch(1)
    assert torch.equal(first, evaluate(made, made.valid, metrics=False)["loss"])
    assert not any(layer.training for layer in made.network.modules())


def random_blocks():
    """Stochastic depth and random slopes are made of dropout's class, but are no dropout."""
    model = choice("model", "resnet", channels=(4, 4), blocks=1, activation="rrelu", batch_norm=False, stem_pool=True)
    return model, choice("trick", "drop_path", rate=0.8)


def test_without_dropout_it_has_no_effect_before_anything_trains():
    model, drop_path = random_blocks()
    for chosen in (
        settings(tricks=("mc_dropout",)),
        settings(tricks=()).replace(model=model, tricks=(drop_path, choice("trick", "mc_dropout"))),
    ):
        with pytest.raises(NoEffect, match="no dropout"):
            assemble(Assignment(chosen, (0,), Path()), parts("classification"))


def test_a_single_score_is_averaged_as_a_probability():
    trick = lookup("trick", "mc_dropout").settings(passes=2)
    from ablate.tricks.trick import Context

    trick.bind(Context(Spec((1,), 1, "classification", ("no", "yes")), (0,), 1, 1))
    from ablate.layers.dropout import NoisyDropout

    scores = iter([torch.tensor([[2.0]]), torch.tensor([[-1.0]])])
    mean = trick.on_predict(nn.Sequential(NoisyDropout(0.5)), lambda x: next(scores), torch.zeros(1, 1), 0)
    p = (torch.sigmoid(torch.tensor(2.0)) + torch.sigmoid(torch.tensor(-1.0))) / 2
    assert float(mean) == pytest.approx(float(torch.logit(p)), rel=1e-5)


@pytest.mark.parametrize("stack", [1, 3])
def test_only_dropout_is_on(stack):
    """With dropout that drops next to nothing, the mean of two passes through random blocks is the pass without them."""
    model, drop_path = random_blocks()
    chosen = settings(tricks=(), stack=stack if stack > 1 else "off").replace(model=model)
    on = (drop_path, choice("trick", "dropout", conv=1e-9), choice("trick", "mc_dropout", passes=2))
    plain, mean = (
        assemble(Assignment(made, SEEDS[:stack], Path()), parts("classification"))
        for made in (chosen, chosen.replace(tricks=on))
    )
    expected = evaluate(plain, plain.valid, metrics=False)["loss"]
    torch.testing.assert_close(evaluate(mean, mean.valid, metrics=False)["loss"], expected, rtol=1e-6, atol=0)
