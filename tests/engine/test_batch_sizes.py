"""A loss does not depend on how the samples are divided into batches, in float64: every loss, with and without gaps in
the targets, alone and in a stack; accumulated batches are one large batch.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.evaluation import evaluate
from ablate.engine.training import train_epoch
from ablate.recipe.settings import Choice
from ablate.registry import entries
from ablate.tricks.trick import Trick

N, SHAPE = 20, (1, 8, 8)
MAPS = {"channels": [4], "convolutions": 1, "batch_norm": False}
TASKS = [
    {"outputs": 1},
    {"loss": "cross_entropy", "outputs": 3, "weight": 0.5},
    {"loss": "bce", "outputs": 1, "weight": 2},
    {"loss": "focal", "outputs": 3},
]

CLASSES, MASKS = "classes", "masks"
WEIGHTS = [1.0, 0.25, 3.0]
SMOOTH, WEIGH = ("label_smoothing", {"epsilon": 0.2}), ("class_weights", {"weights": WEIGHTS})

DATA = {
    "cross_entropy": CLASSES,
    "focal": CLASSES,
    "mse_on_softmax": CLASSES,
    "dice": MASKS,
    "dice_ce": MASKS,
    "multi_task": "tasks",
}
"""What the losses are tested on; all others on numbers in [0, 1]."""

CASES = [
    (entry.name, DATA.get(entry.name, "numbers"), ()) for entry in entries("loss") if not entry.settings.any_targets
]
CASES += [(name, CLASSES, (SMOOTH,)) for name in ("cross_entropy", "focal", "mse_on_softmax", "bce")]
CASES += [(name, MASKS, tricks) for name in ("cross_entropy", "dice_ce", "dice") for tricks in ((), (SMOOTH,))]
CASES += [("cross_entropy", kind, tricks) for kind in (CLASSES, MASKS) for tricks in ((WEIGH,), (SMOOTH, WEIGH))]
CASES += [("bce", CLASSES, ())]

cases = pytest.mark.parametrize(
    ("loss", "kind", "tricks"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else "+".join(t[0] for t in value),
)
gaps = pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
seeds = pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)], ids=["alone", "stack"])


def data(kind, gaps):
    """Training and validation sets; with gaps, most targets of some batches are missing, and all of others."""
    draw = torch.Generator().manual_seed(4)

    def part():
        inputs = torch.rand(N, *SHAPE, generator=draw, dtype=torch.float64)
        numbers = torch.rand(N, 4, generator=draw, dtype=torch.float64)
        classes = torch.randint(0, 3, (N, 8, 8) if kind == MASKS else (N, 2), generator=draw)
        left_out = torch.rand(N, 4, generator=draw) < torch.linspace(0, 1, N)[:, None]
        left_out[:7] = True
        if kind == "tasks":
            numbers = torch.stack([10 * numbers[:, 0], classes[:, 0], numbers[:, 1] > 0.7, classes[:, 1]], dim=1)
            left_out[:, 2] = True
            left_out[3, 2] = False
        if kind in (CLASSES, MASKS):
            classes = classes if kind == MASKS else classes[:, 0]
            ignored = (
                (torch.rand(N, 8, 8, generator=draw) < 0.4) | left_out[:, :1, None] if kind == MASKS else left_out[:, 0]
            )
            return Part(inputs, classes.masked_fill(ignored, -100) if gaps else classes)
        return Part(inputs, numbers.masked_fill(left_out, math.nan) if gaps else numbers)

    spec = {
        CLASSES: Spec(SHAPE, 3, "classification", ("a", "b", "c")),
        MASKS: Spec(SHAPE, 3, "other", ("a", "b", "c"), places=(8, 8)),
        "tasks": Spec(SHAPE, 8, "regression"),
        "numbers": Spec(SHAPE, 4, "regression"),
    }[kind]
    return Parts(part(), part(), spec)


@pytest.fixture
def assembled(settings, make_choice):
    def make(loss, kind, tricks, gaps, seeds, *, batch_size, lr=0.1):
        fields = {"tasks": TASKS} if loss == "multi_task" else {}
        made = tuple(make_choice("trick", name, **options) for name, options in tricks)
        chosen = settings(
            loss=make_choice("loss", loss, **fields) if isinstance(loss, str) else loss,
            model=make_choice("model", "fcn", **MAPS) if kind == MASKS else make_choice("model", "mlp", hidden=[6]),
            optimizer=make_choice("optimizer", "sgd", lr=lr),
            precision="float64",
            batch_size=batch_size,
            shuffle=False,
            tricks=made,
        )
        for trick in made:
            chosen = trick.options.on_settings(chosen)
        return assemble(Assignment(chosen, seeds, Path()), data(kind, gaps))

    return make


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@cases
@gaps
@seeds
def test_accumulated_batches_are_one_large_batch(assembled, loss, kind, tricks, gaps, seeds):
    few = assembled(loss, kind, (*tricks, ("accumulate", {"batches": 3})), gaps, seeds, batch_size=7)
    large = assembled(loss, kind, tricks, gaps, seeds, batch_size=N)
    for epoch in (1, 2):
        close(train_epoch(few, epoch), train_epoch(large, epoch))
        for name, parameter in large.replicas.parameters.items():
            close(few.replicas.parameters[name].detach(), parameter.detach())


@cases
@gaps
@seeds
def test_the_loss_of_an_epoch_does_not_depend_on_the_batch_size(assembled, loss, kind, tricks, gaps, seeds):
    found = []
    for size in (1, 7, N):
        assembly = assembled(loss, kind, tricks, gaps, seeds, batch_size=size, lr=1e-30)
        losses = [train_epoch(assembly, 1)]
        losses += [
            evaluate(assembly, loader.with_batch_size(size), metrics=False)["loss"]
            for loader in (assembly.valid, assembly.train_clean)
        ]
        found.append(torch.stack(losses))
    assert found[0].isfinite().all()
    for other in found[:-1]:
        close(other, found[-1])
    # the last is the loss of all samples at once
    assembly.replicas.eval()
    inputs, targets = assembly.valid.inputs, assembly.valid.targets
    with torch.no_grad():
        prediction = assembly.replicas.predict(inputs)
        whole = assembly.whole_loss(assembly.loss(prediction, assembly.replicas.shared(targets)))
    close(found[0][1], whole.reshape(-1))


@pytest.mark.parametrize("kind", [CLASSES, MASKS])
@gaps
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
@pytest.mark.parametrize("size", [3, N])
def test_smoothing_and_class_weights_are_torchs_two_arguments(assembled, kind, gaps, epsilon, size):
    tricks = (("label_smoothing", {"epsilon": epsilon}), WEIGH)
    assembly = assembled("cross_entropy", kind, tricks, gaps, (0,), batch_size=size, lr=1e-30)
    inputs, targets = data(kind, gaps).train.tensors
    expected = F.cross_entropy(
        assembly.network(inputs), targets, weight=torch.tensor(WEIGHTS).double(), label_smoothing=epsilon
    )
    close(train_epoch(assembly, 1), expected.detach().reshape(-1))


MINE = """
import torch

class Known:
    def __call__(self, prediction, target):
        known = target >= 0
        return (prediction.square().sum(1) * known).sum() / self.weight(target).clamp(min=1)

    def weight(self, target):
        return (target >= 0).sum()

class Samples(Known):
    weight = None

    def __call__(self, prediction, target):
        return prediction.square().sum(1).mean()
"""


@pytest.mark.parametrize("name", ["Known", "Samples"])
@seeds
def test_a_custom_loss_may_declare_its_weight(assembled, name, seeds, tmp_path, monkeypatch):
    (tmp_path / "weighing.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    loss = Choice("loss", None, f"weighing:{name}", {})
    few = assembled(loss, CLASSES, (("accumulate", {"batches": 3}),), True, seeds, batch_size=7)
    large = assembled(loss, CLASSES, (), True, seeds, batch_size=N)
    close(train_epoch(few, 1), train_epoch(large, 1))
    for parameter, other in zip(few.replicas.parameters.values(), large.replicas.parameters.values(), strict=True):
        close(parameter.detach(), other.detach())


class Raises(Trick):
    def on_loss(self, loss, prediction, batch):
        return loss + 0.5


def test_what_a_trick_adds_to_every_batch_is_added_to_the_mean(assembled):
    plain = assembled("multi_task", "tasks", (), True, (0,), batch_size=7, lr=1e-30)
    raised = assembled("multi_task", "tasks", (), True, (0,), batch_size=7, lr=1e-30)
    raised.tricks.append(Raises())
    close(train_epoch(raised, 1), train_epoch(plain, 1) + 0.5)
