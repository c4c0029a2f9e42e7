"""``compile: true`` changes nothing that is computed, and what cannot be compiled trains all the same."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch

from ablate.engine import compiling
from ablate.engine.training import train


@pytest.fixture
def backend(monkeypatch):
    """Name torch's backend: ``aot_eager`` traces as the usual one does, and needs no compiler."""

    def use(name):
        monkeypatch.setattr(compiling, "BACKEND", name)
        torch.compiler.reset()

    yield use
    torch.compiler.reset()


@pytest.fixture
def full(settings, make_choice):
    """A network with batch norm and scheduled dropout; 40 samples in batches of 16 leave a last one of 8."""
    model = make_choice("model", "convnet", channels=[4], kernels=[3], hidden=[16], batch_norm=True)
    dropout = make_choice("trick", "dropout", hidden={"linear": [0.2, 0.5]})
    return settings(model=model, tricks=(dropout,), precision="float64", clean_train_loss="every")


def lines_of(report):
    return [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in report.lines]


@pytest.mark.slow
def test_a_compiled_network_trains_to_the_same_numbers(full, pictures, assign, report, backend):
    counted = []

    def counting(graph, inputs):
        counted.append(len(inputs))
        return graph.forward

    backend(counting)
    train(assign(full.replace(compile=True)), pictures, report)
    assert report.facts.notes == []
    assert counted, "nothing was compiled"
    compiled_lines, weights = lines_of(report), report.kept["last"]
    plain = type(report)()
    train(assign(full), pictures, plain)
    for mine, other in zip(compiled_lines, lines_of(plain), strict=True):
        assert mine == pytest.approx(other, rel=1e-9)
    for name, value in plain.kept["last"].items():
        torch.testing.assert_close(weights[name], value, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_the_usual_tracing_gives_the_same_too(full, pictures, assign, report, backend):
    backend("aot_eager")
    train(assign(full.replace(compile=True)), pictures, report)
    assert report.facts.notes == []
    plain = type(report)()
    train(assign(full), pictures, plain)
    for mine, other in zip(lines_of(report), lines_of(plain), strict=True):
        assert mine == pytest.approx(other, rel=1e-9)


def test_what_cannot_be_compiled_trains_as_it_is(full, pictures, assign, report, backend, caplog):
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nat hand")

    backend(broken)
    with caplog.at_level(logging.WARNING):
        train(assign(full.replace(compile=True)), pictures, report)
    (note,) = report.facts.notes
    assert note.kind == "not_compiled"
    assert "no compiler at hand" in note.values["reason"]
    assert "compile (=true): Compilation failed" in caplog.text
    plain = type(report)()
    train(assign(full), pictures, plain)
    assert lines_of(report) == lines_of(plain)


def test_a_stack_is_not_compiled_and_says_so(full, pictures, assign, report, backend):
    backend("aot_eager")
    train(replace(assign(full.replace(compile=True, stack=2)), seeds=(0, 1)), pictures, report)
    assert [note.kind for note in report.facts.notes] == ["stack_not_compiled"]
