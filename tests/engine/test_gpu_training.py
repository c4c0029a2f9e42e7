"""What a GPU must not change: the numbers, a stack's seeds, a resumed training; and nobody waits for it inside an
epoch.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.training import train, train_epoch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STREAMS = [("flip", {}), ("shift", {"pixels": 1}), ("dropout", {"hidden": 0.3}), ("clip_norm", {})]
"""Tricks that draw and compute in every step."""


@pytest.fixture
def deep(settings, make_choice):
    """A convnet with batch norm under scheduled rates, in full float32."""

    def make(*tricks, **fields):
        model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
        optimizer = make_choice("optimizer", "sgd", lr={"linear": [0.05, 0.01]}, momentum=0.9, nesterov=True)
        chosen = tuple(make_choice("trick", name, **options) for name, options in tricks)
        return settings(**({"model": model, "optimizer": optimizer, "tricks": chosen, "precision": "float32"} | fields))

    return make


def numbers(report):
    return [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in report.lines]


def test_cpu_and_gpu_train_to_the_same_losses(deep, pictures, assign, report):
    train(assign(deep()), pictures, report)
    other = type(report)()
    train(assign(deep(), device="cuda:0"), pictures, other)
    for mine, theirs in zip(numbers(report), numbers(other), strict=True):
        assert theirs == pytest.approx(mine, rel=1e-3)


def test_bytes_stay_bytes_on_the_gpu(deep, assign, make_choice):
    chosen = deep(
        data=make_choice("data", "facial_keypoints", size=16, limit=60, missing="drop"), loss=make_choice("loss", "mse")
    )
    parts = load_parts(chosen.data, None)
    assembly = assemble(assign(chosen, device="cuda:0"), parts)
    assert parts.train.inputs.dtype == assembly.train.inputs.dtype == torch.uint8
    assert assembly.train.inputs.is_cuda


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("loader", ["resident", "streamed"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_nothing_waits_for_the_device_inside_an_epoch(deep, pictures, assign, make_choice, seeds, loader, optimizer):
    chosen = deep(*STREAMS, loader=loader, stack=3)
    if optimizer == "adam":
        chosen = chosen.replace(optimizer=make_choice("optimizer", "adam", lr={"cosine": [0.01, 0.001]}))
    assembly = assemble(replace(assign(chosen, device="cuda:0"), seeds=seeds), pictures)
    train_epoch(assembly, 1)  # what is made once may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = train_epoch(assembly, 2)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite().all()


def test_a_seed_gets_in_a_stack_what_it_gets_alone(deep, pictures, assign, report):
    """In float64, where rounding does not hide a mistake."""
    chosen = deep(*STREAMS, precision="float64", stack=3)
    train(replace(assign(chosen, device="cuda:0"), seeds=(0, 1, 2)), pictures, report)
    alone = type(report)()
    train(assign(chosen, device="cuda:0"), pictures, alone)
    for mine, single in zip(numbers(report)[::3], numbers(alone), strict=True):
        assert mine == pytest.approx(single, rel=1e-7)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_a_resumed_training_is_the_undisturbed_one_bit_for_bit(deep, pictures, assign, report, tmp_path, seeds):
    assignment = replace(assign(deep(*STREAMS, stack=2), device="cuda:0"), seeds=seeds)
    path = tmp_path / "state.pt"
    original = report.checkpoint

    def keep_first(state):
        original(state)
        if not path.exists():
            torch.save(dict(state), path)

    report.checkpoint = keep_first
    train(assignment, pictures, report)
    resumed = type(report)()
    train(assignment, pictures, resumed, torch.load(path, map_location="cuda:0", weights_only=True))
    assert numbers(resumed) == numbers(report)[len(seeds) :]
    for name, value in report.kept["last"].items():
        assert torch.equal(value, resumed.kept["last"][name])


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("precision", ["bf16", "tf32", "fp16"])
def test_coarser_products_train_nearly_the_same(deep, pictures, assign, report, precision, seeds):
    exact = type(report)()
    train(replace(assign(deep(stack=2), device="cuda:0"), seeds=seeds), pictures, exact)
    train(replace(assign(deep(stack=2, precision=precision), device="cuda:0"), seeds=seeds), pictures, report)
    for mine, other in zip(report.lines, exact.lines, strict=True):
        assert mine["train_loss"] == pytest.approx(other["train_loss"], rel=0.1)
    assert all(value.dtype not in (torch.bfloat16, torch.float16) for value in report.kept["last"].values())
