"""The training loss in evaluation mode is computed at the selected epoch only, in one pass over the training set."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ablate.engine import evaluation, training_state
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train


@pytest.fixture
def passes(monkeypatch):
    """Whether the network had the training set (True) or another one in each evaluation."""
    seen: list[bool] = []
    original = evaluation.evaluate

    def counted(assembly, loader, **options):
        seen.append(len(loader) == 40)
        return original(assembly, loader, **options)

    for module in (evaluation, training_state):
        monkeypatch.setattr(module, "evaluate", counted)
    return seen


def clean_loss(given, pictures, weights):
    """The mean cross-entropy of all training samples."""
    assembly = assemble(Assignment(given, (0,), Path()), pictures)
    assembly.network.load_state_dict(weights)
    with torch.no_grad():
        outputs = assembly.network.eval()(pictures.train.inputs)
    return float(torch.nn.functional.cross_entropy(outputs, pictures.train.targets))


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("rate", [0.05, 3.0])
def test_one_pass_at_the_selected_epoch(settings, pictures, report, passes, make_choice, select, rate):
    given = settings(select=select, optimizer=make_choice("optimizer", "sgd", lr=rate), epochs=4)
    (outcome,) = train(Assignment(given, (0,), Path()), pictures, report)
    assert passes == [False] * 4 + [True]
    same = outcome.best_epoch == outcome.epoch
    assert same == (rate == 0.05)
    other = "last" if select == "best" else "best"
    assert ("train_loss_clean" in outcome.results[other]) == same
    for which in {"selected", select, *([other] if same else [])}:
        kept = report.kept[select if which == "selected" else which]
        expected = clean_loss(given, pictures, kept)
        assert outcome.results[which]["train_loss_clean"] == pytest.approx(expected, rel=1e-5)


def test_a_stack_whose_seeds_have_different_best_epochs_takes_one_pass(settings, pictures, report, passes, make_choice):
    seeds = (0, 1, 2, 3)
    given = settings(select="best", optimizer=make_choice("optimizer", "sgd", lr=1.5), epochs=5, precision="float64")
    alone = [train(Assignment(given, (seed,), Path()), pictures, report)[0] for seed in seeds]
    passes.clear()
    together = train(Assignment(given.replace(stack=4), seeds, Path()), pictures, report)
    assert passes.count(True) == 1
    assert len({outcome.best_epoch for outcome in together}) > 1
    for one, other in zip(alone, together, strict=True):
        expected = pytest.approx(one.results["selected"]["train_loss_clean"], rel=1e-9)
        assert other.results["selected"]["train_loss_clean"] == expected


def test_no_further_pass_if_every_epoch_has_it(settings, pictures, report, passes):
    (outcome,) = train(Assignment(settings(clean_train_loss="every", select="best"), (0,), Path()), pictures, report)
    assert passes == [False, True] * 3
    assert outcome.results["best"]["train_loss_clean"] == min(line["train_loss_clean"] for line in report.lines)


def test_a_training_that_diverged_takes_none(settings, pictures, report, passes, make_choice):
    given = settings(optimizer=make_choice("optimizer", "sgd", lr=1e30))
    assert train(Assignment(given, (0,), Path()), pictures, report)[0].status == "diverged"
    assert True not in passes
