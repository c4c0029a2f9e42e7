"""Batches of an evaluation go through the network in pieces that fit in the caches; numbers stay the same."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ablate.engine import pieces
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.evaluation import evaluate
from ablate.engine.pieces import WHOLE, Pieces, piece_size
from ablate.engine.training import train
from ablate.recipe.settings import Choice
from tests.engine.conftest import Memory

SAMPLE = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def size_for(network: nn.Module, inputs: torch.Tensor = SAMPLE) -> int | None:
    """The size of pieces after one batch in evaluation mode."""
    found = Pieces(batch_size=16)
    with torch.no_grad():
        found.predict(network.eval(), inputs)
    return found.size


@pytest.mark.parametrize(
    ("sample", "size"), [(32 * 32 * 32 * 4, 64), (32 * 32 * 32 * 8, 32), (4, 2**21), (2**30, 16), (0, WHOLE)]
)
def test_a_piece_fills_the_caches_of_a_cpu_but_has_some_samples(sample, size):
    assert piece_size(sample, batch_size=64) == size


def test_on_a_gpu_a_piece_is_larger_and_no_smaller_than_a_batch_of_training():
    assert piece_size(2**17, batch_size=64, device="cuda:0") == 2048
    assert piece_size(2**23, batch_size=64, device="cuda:0") == 64


@pytest.mark.parametrize(
    ("network", "floats"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 3)), 100),
        (nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 5, 3)), 6 * 64),
        (nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3), nn.Upsample(scale_factor=4)), 3 * 12 * 12),
        (nn.Sequential(nn.Flatten(2), nn.Unflatten(1, (1, 1)), nn.Flatten(0, 2), nn.Flatten()), 64),
        (nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(64, 500))), 500),
    ],
    ids=["mlp", "convnet", "upsampling", "views", "weights"],
)
def test_activations_are_those_of_the_largest_layer(network, floats):
    assert size_for(network) == 2**23 // (4 * floats)


def test_a_stack_has_the_activations_of_all_seeds(settings, pictures):
    given = settings(stack=3)  # a convolution to 4 channels of 6×6
    sizes = {}
    for seeds in ((0,), (0, 1, 2)):
        assembly = assemble(Assignment(given, seeds, Path()), pictures)
        evaluate(assembly, assembly.valid, metrics=False)
        sizes[len(seeds)] = assembly.pieces.size
    assert sizes == {1: 2**23 // (4 * 36 * 4), 3: 2**23 // (3 * 4 * 36 * 4)}


class Attention(nn.Module):
    """Scores of all pairs of its 64 pixels, which no layer has as its output."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        pixels = inputs.flatten(1)
        return (pixels[:, :, None] * pixels[:, None]).softmax(-1).sum((1, 2), keepdim=False)[:, None]


def test_activations_of_functions_count():
    assert size_for(Attention()) == 2**23 // (4 * 64 * 64)


class Centred(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        values = inputs.flatten(1)
        return values - values.mean(0)


class Drawn(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(1) + torch.rand(len(inputs), 1)


class WithTable(nn.Module):
    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs.flatten(1), torch.ones(7, 7)


class Forty(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.reshape(40, 64)


@pytest.mark.parametrize(
    "network", [Centred(), Drawn(), WithTable(), Forty(), nn.BatchNorm2d(1, track_running_stats=False)]
)
def test_batches_stay_whole_if_samples_depend_on_each_other(network, monkeypatch):
    monkeypatch.setattr(pieces, "CPU_BYTES", 16 * 64)
    torch.manual_seed(3)
    expected = network.eval()(SAMPLE)
    torch.manual_seed(3)
    found = Pieces(batch_size=16)
    outputs = found.predict(network, SAMPLE)
    assert found.size == WHOLE
    for one, other in zip(*((x if isinstance(x, tuple) else (x,)) for x in (outputs, expected)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("count", "sizes"), [(16, [16]), (17, [8, 9]), (33, [11, 11, 11]), (40, [13, 13, 14])])
def test_pieces_are_as_even_as_possible(count, sizes):
    seen = []

    def forward(inputs):
        seen.append(len(inputs))
        return {"sum": inputs.sum((1, 2, 3)), "image": inputs * 2}

    found = Pieces(batch_size=16, size=16).predict(forward, SAMPLE[:count])
    assert seen == sizes
    assert torch.equal(found["image"], SAMPLE[:count] * 2)
    assert torch.equal(found["sum"], SAMPLE[:count].sum((1, 2, 3)))


class Keeping(Memory):
    """A report that keeps checkpoints as files have them."""

    def checkpoint(self, state):
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        buffer.seek(0)
        self.states.append(torch.load(buffer, weights_only=True))


@pytest.fixture
def report():
    return Keeping()


def small(monkeypatch, least=4, limit=4096):
    monkeypatch.setattr(pieces, "LEAST", least)
    monkeypatch.setattr(pieces, "CPU_BYTES", limit)


def results(given, seeds, data, report):
    outcomes = train(Assignment(given, seeds, Path()), data, report)
    lines = [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in report.lines]
    return [*lines, *(dict(values) for one in outcomes for values in one.results.values())], outcomes


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("model", ["convnet", "resnet", "mlp"])
def test_numbers_are_those_of_whole_batches(settings, pictures, make_choice, report, monkeypatch, model, seeds):
    options = {"channels": [4], "kernels": [3], "hidden": [16]} if model == "convnet" else {}
    given = settings(
        model=make_choice("model", model, **options),
        tricks=(make_choice("trick", "batch_norm"),) if model != "resnet" else (),
        metrics=(make_choice("metric", "accuracy"),),
        clean_train_loss="every",
        precision="float64",
        select="best",
        stack=len(seeds),
        epochs=2,
    )
    data = replace(pictures, valid=replace(pictures.valid, rows=torch.arange(20)))
    whole, before = results(given, seeds, data, report)
    small(monkeypatch)
    report.lines.clear()
    report.states.clear()
    divided, after = results(given, seeds, data, report)
    assert 4 <= report.states[0]["stacks"][0]["piece"] < 20
    assert len(whole) == len(divided) == len(seeds) * (2 + 3)
    for one, other in zip(whole, divided, strict=True):
        assert other == pytest.approx(one, rel=1e-9, abs=1e-12)
    for mine, theirs in zip(before, after, strict=True):
        for name, values in mine.examples.values.items():
            assert theirs.examples.values[name] == pytest.approx(values, rel=1e-6, abs=1e-9)


LARGEST = """
def largest(prediction, target):
    return (prediction[range(len(target)), target] - 1).square().max()
"""


def test_a_loss_of_a_batch_is_that_of_the_same_batches(settings, pictures, report, monkeypatch, tmp_path):
    (tmp_path / "own_losses.py").write_text(LARGEST)
    given = settings(loss=Choice("loss", None, "own_losses:largest", {}), precision="float64", epochs=1)
    before = train(Assignment(given, (0,), tmp_path), pictures, report)
    small(monkeypatch)
    after = train(Assignment(given, (0,), tmp_path), pictures, report)
    assert after[0].results["last"] == pytest.approx(before[0].results["last"], rel=1e-9)


def test_random_predictions_and_compiled_networks_get_whole_batches(settings, pictures, make_choice, assign):
    drawn = tuple(make_choice("trick", name, **{key: 0.5}) for name, key in (("dropout", "hidden"),))
    averaged = settings(tricks=(*drawn, make_choice("trick", "mc_dropout")))
    assert assemble(assign(settings()), pictures).pieces.size is None
    assert assemble(assign(averaged), pictures).pieces.size == WHOLE


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_resumed_training_keeps_its_pieces(settings, pictures, report, monkeypatch, seeds):
    given = settings(stack=len(seeds), epochs=4, clean_train_loss="every")
    small(monkeypatch)
    whole, _ = results(given, seeds, pictures, report)
    state = report.states[1]
    small(monkeypatch, least=7, limit=1)
    resumed = Keeping()
    outcomes = train(Assignment(given, seeds, Path()), pictures, resumed, state)
    lines = [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in resumed.lines]
    ends = [dict(values) for one in outcomes for values in one.results.values()]
    assert state["stacks"][0]["piece"] == max(4, 4096 // (576 * len(seeds)))
    assert {kept["piece"] for kept in resumed.states[-1]["stacks"]} == {state["stacks"][0]["piece"]}
    assert [*lines, *ends] == whole[2 * len(seeds) :]


def test_a_checkpoint_of_an_older_version_goes_on_with_whole_batches(settings, pictures, report, monkeypatch):
    given = settings(epochs=3)
    monkeypatch.setattr(Pieces, "predict", lambda self, forward, inputs: forward(inputs))
    whole, _ = results(given, (0,), pictures, report)
    state = report.states[0]
    monkeypatch.undo()
    small(monkeypatch)
    del state["stacks"][0]["piece"]
    resumed = Keeping()
    train(Assignment(given, (0,), Path()), pictures, resumed, state)
    lines = [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in resumed.lines]
    assert lines == whole[1:3]
    assert resumed.states[-1]["stacks"][0]["piece"] == WHOLE


def test_a_network_that_is_tried_keeps_its_buffers_and_random_numbers(monkeypatch):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert size_for(network) == 2**23 // (3 * 36 * 4)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_values_that_are_not_finite_do_not_keep_batches_whole():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    with torch.no_grad():
        network[1].bias[0] = math.nan
    assert size_for(network) == 2**23 // (4 * 64)


def test_few_samples_leave_the_size_open(settings, pictures, assign):
    few = replace(pictures, valid=pictures.valid.take(torch.arange(3)))
    assembly = assemble(assign(settings()), few)
    evaluate(assembly, assembly.valid, metrics=False)
    assert assembly.pieces.size is None
    evaluate(assembly, assembly.train_clean, metrics=False)
    assert assembly.pieces.size == 2**23 // (4 * 36 * 4)
