"""The loop: what it computes, what it reports, and what it leaves alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from ablate.data.dataset import Part
from ablate.engine.assembly import assemble
from ablate.engine.training import train, train_epoch
from ablate.recipe.settings import Choice
from ablate.tricks.trick import NoEffect


def test_equals_a_loop_by_hand(settings, pictures, assign):
    """Same initial values, same order, same optimizer: the same losses and weights as a plain loop in float64."""
    assembly = assemble(assign(settings(precision="float64")), pictures)
    twin = assemble(assign(settings(precision="float64")), pictures).network
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.05, momentum=0.9)
    x, y = pictures.train.inputs.double(), pictures.train.targets
    for epoch in (1, 2):
        ours = train_epoch(assembly, epoch)
        total = 0.0
        for index in assembly.order(epoch).split(16):
            loss = cross_entropy(twin(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(index)
        assert ours.item() == pytest.approx(total / 40, rel=1e-12)
    for mine, theirs in zip(assembly.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


def test_learns_and_reports(settings, pictures, assign, report):
    outcomes = train(assign(settings(epochs=15)), pictures, report)
    assert [line["epoch"] for line in report.lines] == list(range(1, 16))
    assert report.lines[-1]["train_loss"] < 0.3 * report.lines[0]["train_loss"]
    assert report.lines[0]["lr"] == 0.05
    assert report.facts.parameters == sum(t.numel() for t in report.kept["last"].values())
    assert outcomes == report.outcomes
    last = outcomes[0].results["last"]
    assert last["valid_loss"] == report.lines[-1]["valid_loss"]
    assert last["train_loss_clean"] == pytest.approx(last["train_loss"], rel=0.5)


@pytest.mark.parametrize("trick", [("dropout", {"hidden": 0.5}), ("flip", {}), ("shift", {"pixels": 1})])
def test_a_trick_leaves_initial_values_and_order_alone(settings, pictures, assign, make_choice, trick):
    name, options = trick
    plain = assemble(assign(settings()), pictures)
    with_trick = assemble(assign(settings(tricks=(make_choice("trick", name, **options),))), pictures)
    other_seed = assemble(assign(settings(), seed=1), pictures)
    for key, value in plain.network.state_dict().items():
        assert torch.equal(value, with_trick.network.state_dict()[key]), key
    for epoch in (1, 2, 7):
        assert torch.equal(plain.order(epoch), with_trick.order(epoch))
    assert not torch.equal(plain.order(1), plain.order(2))
    assert not torch.equal(plain.order(1), other_seed.order(1))
    assert not torch.equal(plain.network.conv1.weight, other_seed.network.conv1.weight)


def test_noise_of_a_trick_does_not_depend_on_other_tricks(settings, pictures, assign, make_choice):
    """What flip draws is the same with and without shift and dropout beside it."""
    flip = make_choice("trick", "flip")
    others = (make_choice("trick", "shift", pixels=1), make_choice("trick", "dropout", hidden=0.3))
    alone = assemble(assign(settings(tricks=(flip,))), pictures)
    beside = assemble(assign(settings(tricks=(flip, *others))), pictures)
    drawn = []
    for assembly in (alone, beside):
        train_epoch(assembly, 1)
        assembly.begin_epoch(2)
        drawn.append(assembly.streams["trick/ablate.tricks.flip:Flip"].permutation(16))
    assert torch.equal(*drawn)


def test_scheduled_rate_and_momentum_are_read_from_the_optimizer(settings, pictures, assign, make_choice, monkeypatch):
    optimizer = make_choice(
        "optimizer", "sgd", lr={"linear": [0.1, 0.01]}, momentum={"linear": [0.5, 0.9], "per": "epoch"}
    )
    assembly = assemble(assign(settings(optimizer=optimizer, epochs=3)), pictures)
    seen = []
    step = assembly.optimizer.step
    monkeypatch.setattr(
        assembly.optimizer,
        "step",
        lambda: (
            seen.append((assembly.optimizer.param_groups[0]["lr"], assembly.optimizer.param_groups[0]["momentum"])),
            step(),
        ),
    )
    for epoch in (1, 2, 3):
        train_epoch(assembly, epoch)
    assert [rate for rate, _ in seen] == pytest.approx([0.1 - 0.09 * i / 8 for i in range(9)])
    assert [momentum for _, momentum in seen] == pytest.approx([0.5] * 3 + [0.7] * 3 + [0.9] * 3)


def test_data_in_memory_is_unchanged(settings, pictures, assign, make_choice, report):
    inputs, targets = pictures.train.inputs.clone(), pictures.train.targets.clone()
    tricks = (
        make_choice("trick", "flip"),
        make_choice("trick", "shift", pixels=2),
        make_choice("trick", "standardise"),
    )
    train(assign(settings(tricks=tricks)), pictures, report)
    assert torch.equal(inputs, pictures.train.inputs)
    assert torch.equal(targets, pictures.train.targets)


def test_streamed_data_gives_the_same_losses(settings, pictures, assign, report):
    lines = []
    for loader in ("resident", "streamed"):
        report.lines = []
        train(assign(settings(loader=loader, precision="float64")), pictures, report)
        lines.append([(line["train_loss"], line["valid_loss"]) for line in report.lines])
    assert lines[0] == lines[1]


def test_a_loss_that_is_no_number_ends_the_seed(settings, pictures, assign, make_choice, report):
    optimizer = make_choice("optimizer", "sgd", lr=1e30)
    outcome = train(assign(settings(optimizer=optimizer, epochs=9)), pictures, report)[0]
    assert outcome.status == "diverged"
    assert outcome.epoch == len(report.lines) < 9
    assert f"epoch {outcome.epoch}" in outcome.reason
    assert report.lines[-1]["train_loss"] is None
    assert report.kept == {}


def test_a_loss_beyond_the_bound_ends_the_seed(settings, pictures, assign, make_choice, report):
    """In float64, losses stay finite long after the training has diverged, but their squares do not."""
    optimizer = make_choice("optimizer", "sgd", lr=1e36)
    outcome = train(assign(settings(optimizer=optimizer, epochs=9, precision="float64")), pictures, report)[0]
    assert (outcome.status, outcome.epoch) == ("diverged", 1)
    loss = report.lines[-1]["train_loss"]
    assert 1e100 < loss < math.inf
    assert outcome.reason == f"train_loss (={loss}) is beyond ±1e+100 in epoch 1"


def test_best_epoch_is_selected_and_its_weights_are_kept(settings, pictures, assign, make_choice, report):
    """A rate that spoils the network at the end: the best epoch lies before the last, and its weights give its loss."""
    optimizer = make_choice(
        "optimizer", "sgd", lr={"points": [[0, 0.05], [6, 0.05], [7, 20.0], [8, 20.0]], "per": "epoch"}
    )
    chosen = settings(optimizer=optimizer, epochs=8, select="best")
    outcome = train(assign(chosen), pictures, report)[0]
    losses = [line["valid_loss"] for line in report.lines]
    assert outcome.selected_epoch == outcome.best_epoch == losses.index(min(losses)) + 1 < 8
    assert outcome.results["selected"]["valid_loss"] == min(losses)
    assert outcome.results["last"]["valid_loss"] == losses[-1]
    network = assemble(assign(chosen), pictures).network
    network.load_state_dict(report.kept["best"])
    network.eval()
    loss = cross_entropy(network(pictures.valid.inputs), pictures.valid.targets).item()
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_early_stop_gives_the_best_also_when_the_epochs_end_first(settings, pictures, assign, make_choice, report):
    optimizer = make_choice(
        "optimizer", "sgd", lr={"points": [[0, 0.05], [6, 0.05], [7, 20.0], [8, 20.0]], "per": "epoch"}
    )
    trick = make_choice("trick", "early_stop", patience=100)
    chosen = trick.options.on_settings(settings(optimizer=optimizer, epochs=8, tricks=(trick,)))
    outcome = train(assign(chosen), pictures, report)[0]
    losses = [line["valid_loss"] for line in report.lines]
    assert len(losses) == 8
    assert outcome.results["selected"]["valid_loss"] == min(losses) < losses[-1]


def test_early_stop_stops(settings, pictures, assign, make_choice, report):
    trick = make_choice("trick", "early_stop", patience=2)
    optimizer = make_choice("optimizer", "sgd", lr=5.0)
    chosen = trick.options.on_settings(settings(optimizer=optimizer, epochs=60, tricks=(trick,)))
    outcome = train(assign(chosen), pictures, report)[0]
    assert outcome.epoch == len(report.lines) == outcome.best_epoch + 2 < 60


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resumed_equals_undisturbed(settings, pictures, assign, make_choice, report, optimizer, tmp_path):
    """From a checkpoint that went through a file, the rest is bit for bit what it would have been."""
    tricks = (
        make_choice("trick", "flip"),
        make_choice("trick", "dropout", conv=0.2, hidden=0.5),
        make_choice("trick", "early_stop", patience=50),
    )
    chosen = settings(
        optimizer=make_choice("optimizer", optimizer, lr={"cosine": [0.01, 0.0]}),
        epochs=6,
        tricks=tricks,
        select="best",
    )
    whole = train(assign(chosen), pictures, report)
    kept, lines = dict(report.kept), list(report.lines)
    assert [state["epoch"] for state in report.states] == [1, 2, 3, 4, 5]

    fresh = type(report)()

    class Keep(type(report)):
        def checkpoint(self, state):
            if state["epoch"] == 3:
                torch.save(state, tmp_path / "state.pt")

    train(assign(chosen), pictures, Keep())
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    again = train(assign(chosen), pictures, fresh, saved)
    changing = ("time", "seconds")
    assert [{k: v for k, v in line.items() if k not in changing} for line in fresh.lines] == [
        {k: v for k, v in line.items() if k not in changing} for line in lines[3:]
    ]
    assert again == whole
    for name, value in kept["best"].items():
        assert torch.equal(value, fresh.kept["best"][name]), name


def test_missing_targets_count_nowhere(assign, make_choice, settings, report):
    """A masked loss over a set equals the mean over its known targets, whatever the batches."""
    from ablate.data.dataset import Parts, Spec

    generator = torch.Generator().manual_seed(3)
    inputs, targets = torch.rand(30, 1, 8, 8, generator=generator), torch.rand(30, 4, generator=generator)
    targets[torch.rand(30, 4, generator=generator) < 0.6] = math.nan
    part = Part(inputs, targets)
    parts = Parts(part, part, Spec((1, 8, 8), 4, "regression"))
    chosen = settings(loss=make_choice("loss", "mse"), batch_size=7, epochs=2, precision="float64")
    train(assign(chosen), parts, report)
    network = assemble(assign(chosen), parts).network
    network.load_state_dict(report.kept["last"])
    network.eval()
    errors = (network(inputs.double()) - targets.double())[~targets.isnan()] ** 2
    assert report.lines[-1]["valid_loss"] == pytest.approx(errors.mean().item(), rel=1e-12)


def test_bf16_trains_close_to_float32(settings, pictures, assign, report):
    losses = []
    for precision in ("float32", "bf16"):
        report.lines = []
        train(assign(settings(precision=precision, epochs=5)), pictures, report)
        losses.append(report.lines[-1]["valid_loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_wrong_fits_are_one_line_errors(settings, pictures, assign, make_choice, report):
    with pytest.raises(ValueError, match=r"loss \(=mse\) requires continuous values as targets"):
        train(assign(settings(loss=make_choice("loss", "mse"))), pictures, report)
    with pytest.raises(ValueError, match=r"monitor\.metric \(=accuracy\) must be one of train_loss, valid_loss"):
        train(assign(settings(monitor={"metric": "accuracy", "better": "higher"})), pictures, report)
    mlp = make_choice("model", "mlp", hidden=[8])
    without_pools = settings(model=mlp, tricks=(make_choice("trick", "dropout", conv=0.1),))
    with pytest.raises(NoEffect, match="dropout"):
        train(assign(without_pools), pictures, report)


def test_a_users_network_dropout_and_trick_take_part(settings, pictures, assign, report, tmp_path):
    """A network, a loss, a metric and a trick from a file beside the recipe; its dropout draws from the seed's own
    stream.
    """
    (tmp_path / "mine_for_training.py").write_text(
        """
import torch
from torch import nn
from ablate import Trick

class Net(nn.Module):
    def __init__(self, input_shape, outputs, width=8):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Dropout(0.5), nn.Linear(width, outputs))
    def forward(self, x):
        return self.body(x)

def loss(prediction, target, power=2):
    return (torch.nn.functional.one_hot(target, 3) - prediction).abs().pow(power).mean()

def share_of_a(prediction, target):
    return (prediction.argmax(1) == 0).float().mean()

class Brighter(Trick):
    by: float = 0.1
    def on_batch(self, batch, noise):
        batch.inputs = batch.inputs + self.now.by * noise.uniform(len(batch.inputs), 1, 1, 1)
        return batch
"""
    )
    chosen = settings(
        model=Choice("model", None, "mine_for_training:Net", {"width": 12}),
        init=Choice("init", "default", None, settings().init.options.__class__.model_validate({})),
        loss=Choice("loss", None, "mine_for_training:loss", {"power": 2}),
        metrics=(Choice("metric", None, "mine_for_training:share_of_a", {}),),
        tricks=(Choice("trick", None, "mine_for_training:Brighter", {"by": 0.2}),),
        epochs=4,
    )
    runs = []
    for _ in range(2):
        torch.rand(7)  # draws elsewhere change nothing
        memory = type(report)()
        train(replace(assign(chosen), folder=tmp_path), pictures, memory)
        runs.append([(line["train_loss"], line["valid_loss"], line["share_of_a"]) for line in memory.lines])
    assert runs[0] == runs[1]
    wrong = chosen.replace(tricks=(Choice("trick", None, "mine_for_training:Brighter", {"buy": 0.2}),))
    with pytest.raises(ValueError, match=r"Brighter\.buy"):
        train(replace(assign(wrong), folder=tmp_path), pictures, report)


def test_two_tricks_of_one_class_name_have_their_own_noise(settings, pictures, assign, make_choice, report, tmp_path):
    """A user's class may be called like one of the library's: what it draws changes nothing for the other."""
    (tmp_path / "namesakes.py").write_text(
        """
from ablate import Trick

class Flip(Trick):
    order = 1

    def on_batch(self, batch, noise):
        batch.inputs = batch.inputs + 0 * noise.uniform(1)
        return batch
"""
    )
    flip, mine = make_choice("trick", "flip"), Choice("trick", None, "namesakes:Flip", {})
    losses = []
    for tricks in ((flip,), (mine, flip)):
        memory = type(report)()
        train(replace(assign(settings(tricks=tricks)), folder=tmp_path), pictures, memory)
        losses.append([line["train_loss"] for line in memory.lines])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("body", "came"),
    [("(prediction - 1) ** 2", r"a tensor of shape \(16, 3\)"), ("1.0", "a float"), ("'low'", "a str")],
)
def test_a_loss_that_is_not_one_number_says_so(settings, pictures, assign, report, tmp_path, body, came):
    name = f"losses_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def loss(prediction, target):\n    return {body}\n")
    chosen = settings(loss=Choice("loss", None, f"{name}:loss", {}))
    with pytest.raises(ValueError, match=rf"loss \(={name}:loss\) .* returned {came}"):
        train(replace(assign(chosen), folder=tmp_path), pictures, report)


def test_metrics_of_scaled_targets_keep_their_unit(settings, assign, make_choice, report, tmp_path):
    """With targets around 1000 scaled for the network, a user's metric still sees the data's own numbers."""
    from ablate.data.dataset import Parts, Spec

    (tmp_path / "units.py").write_text("def mean_target(prediction, target):\n    return target.mean()\n")
    generator = torch.Generator().manual_seed(3)
    part = Part(torch.rand(30, 1, 8, 8, generator=generator), 1000 + 10 * torch.rand(30, 1, generator=generator))
    parts = Parts(part, part, Spec((1, 8, 8), 1, "regression"))
    chosen = settings(
        loss=make_choice("loss", "mse"),
        metrics=(Choice("metric", None, "units:mean_target", {}),),
        tricks=(make_choice("trick", "normalise_targets"),),
    )
    train(replace(assign(chosen), folder=tmp_path), parts, report)
    assert report.lines[-1]["mean_target"] == pytest.approx(part.targets.mean().item(), rel=1e-6)
    assert report.lines[-1]["train_loss"] < 100


def test_missing_targets_with_a_loss_of_the_users_are_noted(settings, assign, report, tmp_path):
    from ablate.data.dataset import Parts, Spec

    (tmp_path / "gaps.py").write_text(
        "def loss(prediction, target):\n    return (prediction - target).square().nanmean()\n"
    )
    targets = torch.rand(30, 2)
    targets[::3, 0] = math.nan
    part = Part(torch.rand(30, 1, 8, 8), targets)
    parts = Parts(part, part, Spec((1, 8, 8), 2, "regression"))
    chosen = settings(loss=Choice("loss", None, "gaps:loss", {}))
    train(replace(assign(chosen), folder=tmp_path), parts, report)
    assert "missing_targets" in [note.kind for note in report.facts.notes]
