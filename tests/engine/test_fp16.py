"""Training in fp16: scaled losses, unscaled gradients, skipped steps. On the CPU; `test_gpu_training` does it on a GPU."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.training import train
from ablate.notes.note import Note


@pytest.fixture
def large():
    """Targets so large that the first scaled gradients overflow."""
    generator = torch.Generator().manual_seed(1)
    part = Part(torch.rand(32, 4, generator=generator), torch.rand(32, 1, generator=generator) * 30)
    return Parts(part, part, Spec((4,), 1, "regression"))


@pytest.fixture
def fp16(settings, make_choice):
    def make(*tricks, **fields):
        return settings(
            **{
                "model": make_choice("model", "mlp", hidden=[8]),
                "loss": make_choice("loss", "mse"),
                "optimizer": make_choice("optimizer", "sgd", lr=0.0001, momentum=0.9),
                "tricks": [make_choice("trick", name, **options) for name, options in tricks],
                "precision": "fp16",
                **fields,
            }
        )

    return make


def test_it_equals_torchs_recipe(fp16, large, assign, report):
    """https://docs.pytorch.org/docs/stable/notes/amp_examples.html, with clipped gradients."""
    chosen = fp16(("clip_norm", {"limit": 50.0}), shuffle=False)
    network = assemble(assign(chosen), large).network
    train(assign(chosen), large, report)
    scaler, optimizer = torch.amp.GradScaler("cpu"), torch.optim.SGD(network.parameters(), lr=0.0001, momentum=0.9)
    skipped = 0
    network.train()
    for _ in range(3):
        for inputs, targets in zip(large.train.inputs.split(16), large.train.targets.split(16), strict=True):
            with torch.autocast("cpu", dtype=torch.float16):
                loss = nn.functional.mse_loss(network(inputs), targets)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(network.parameters(), 50.0)
            before = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            skipped += scaler.get_scale() < before
    assert 0 < skipped < 6
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(report.kept["last"][name], value, rtol=1e-6, atol=1e-7)
    assert report.outcomes[0].notes == [Note("skipped_steps", values={"skipped": skipped, "steps": 6})]


def test_resumed_equals_undisturbed(fp16, large, assign, report, tmp_path):
    chosen = fp16(epochs=4)
    report.checkpoint = lambda state: report.states.append(copy.deepcopy(state))
    train(assign(chosen), large, report)
    assert report.outcomes[0].notes
    for i, state in enumerate(report.states):
        torch.save(state, tmp_path / "checkpoint.pt")
        resumed = type(report)()
        train(assign(chosen), large, resumed, torch.load(tmp_path / "checkpoint.pt", weights_only=True))
        assert [line["train_loss"] for line in resumed.lines] == [line["train_loss"] for line in report.lines[i + 1 :]]
        assert all(torch.equal(value, resumed.kept["last"][name]) for name, value in report.kept["last"].items())
        assert resumed.outcomes[0].notes == report.outcomes[0].notes


def test_it_trains_close_to_float32_with_accumulated_batches(settings, pictures, assign, make_choice, report):
    losses = []
    for precision in ("float32", "fp16"):
        report.lines = []
        tricks = [make_choice("trick", "accumulate", batches=2)]
        train(assign(settings(precision=precision, tricks=tricks, epochs=5)), pictures, report)
        losses.append(report.lines[-1]["valid_loss"])
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_seeds_are_trained_one_by_one(fp16, large, assign, report):
    train(replace(assign(fp16(stack=2, epochs=1)), seeds=(0, 1)), large, report)
    assert report.facts.stack == [[0], [1]]


def test_several_passes_per_step_are_refused(fp16, large, assign, report, make_choice):
    for fields in ({}, {"watch": [make_choice("watch", "noise_scale")]}):
        tricks = [] if fields else [("sam", {})]
        with pytest.raises(ValueError, match=r"precision \(=fp16\) cannot be combined"):
            train(assign(fp16(*tricks, **fields)), large, report)
