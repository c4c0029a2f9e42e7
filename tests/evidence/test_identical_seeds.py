"""Seeds with identical results count once, and a variant without a seed in common with its parent says so."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablate import api
from ablate.evidence.gather import gather
from ablate.evidence.seeds import SAME, Seeds, close
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.report.formats import render

PARENT = [0.50, 0.52, 0.49, 0.51, 0.505]


def test_five_identical_seeds_are_one(make_study):
    base, row, child = gather(
        make_study({"a": (None, PARENT), "b": ("a", [0.4] * 5), "c": ("b", [0.3, 0.31, 0.29, 0.28, 0.32])})
    ).rows
    assert (base.verdict, base.notes) == (None, ())
    assert (row.seeds, row.valid_loss, row.valid_loss_sd) == (5, 0.4, None)
    assert row.delta_parent == pytest.approx(0.4 - 0.5)
    for each in (row, child):
        assert (each.ci_low, each.p, each.p_adjusted, each.verdict, each.detectable) == (None, None, None, None, None)
        assert each.baseline_ci_low is None or each is child
    assert row.notes == (Note("same_result"), Note("paired_on_some", seeds=(0,)))
    assert child.notes == (Note("paired_on_some", seeds=(0,)),)


def test_the_table_says_so(make_study):
    table = gather(make_study({"a": (None, PARENT), "b": ("a", [0.4, 0.4, 0.41, 0.42, 0.4])}))
    assert "b: identical results for seeds 0, 1, 4, which count as one" in " ".join(render(table, "text").split())
    assert "(3)" in render(table, "md", ["variant", "spread"])
    assert "†" not in render(table, "text")


def test_some_identical_seeds_count_once(make_study, make_run):
    values = [0.40, 0.43, 0.40, 0.41, 0.39]
    row = gather(make_study({"a": (None, PARENT), "b": ("a", values)})).rows[1]
    assert row.notes == (Note("same_result", seeds=(0, 2)), Note("paired_on_some", seeds=(0, 1, 3, 4)))
    kept = [make_run(seed, values[seed]) for seed in (0, 1, 3, 4)]
    alone = gather(make_study({"a": (None, PARENT), "b": ("a", kept)})).rows[1]
    assert alone.p is not None
    for name in ("valid_loss", "valid_loss_sd", "delta_parent", "ci_low", "p", "verdict", "effect_size"):
        assert getattr(row, name) == getattr(alone, name)


def test_a_coarse_metric_may_repeat(make_study, make_run):
    """The accuracy, and even the loss of the reported epoch, may be equal; the losses of all epochs are not."""
    results = {at: {"accuracy": 0.975, "valid_loss": 0.25} for at in ("selected", "last", "best")}
    runs = [make_run(seed, results=results) for seed in range(3)]

    def curves(fingerprint):
        return [{"epoch": 1, "valid_loss": 0.5 + int(fingerprint, 16) / 64}, {"epoch": 2, "valid_loss": 0.25}]

    study = make_study({"a": (None, runs), "b": ("a", [0.2, 0.3, 0.4])})
    assert gather(study, curves=curves).rows[0].notes == ()
    assert gather(study, curves=lambda name: curves("0")).rows[0].notes == (Note("same_result"),)


def test_a_loss_that_earlier_versions_computed_at_more_epochs_makes_no_other_seed(make_study, make_run):
    values = {"valid_loss": 0.25, "train_loss_clean": 0.2}
    now = {"selected": values, "last": values, "best": {"valid_loss": 0.24}}
    before = {**now, "best": {"valid_loss": 0.24, "train_loss_clean": 0.19}}
    runs = [make_run(seed, results=results) for seed, results in enumerate((now, before))]
    assert gather(make_study({"a": (None, runs)})).rows[0].notes == (Note("same_result"),)
    runs[1] = make_run(1, results={**now, "selected": {**values, "train_loss_clean": 0.3}})
    assert gather(make_study({"a": (None, runs)})).rows[0].notes == ()


def test_equal_scores_alone_are_no_identity(make_study, make_run):
    """As logged by other tools, without a loss: nobody can tell."""
    runs = [make_run(seed, results={"selected": {"accuracy": 0.975}}) for seed in range(3)]
    others = [make_run(seed, results={"selected": {"accuracy": v}}) for seed, v in enumerate((0.95, 0.96, 0.99))]
    row = gather(make_study({"a": (None, runs), "b": ("a", others)}, Compare("accuracy", "higher"))).rows[1]
    assert row.ci_low is not None
    perfect = [make_run(seed, results={"last": {"loss": 0.0, "accuracy": 1.0}}) for seed in range(3)]
    assert gather(make_study({"a": (None, perfect)})).rows[0].tally.identical == 0


@pytest.mark.parametrize(("by", "notes"), [(1e-8, (Note("same_result"),)), (1e-4, ())])
def test_rounding_makes_no_other_seed(make_study, by, notes):
    assert gather(make_study({"a": (None, [0.5 * (1 + by * i) for i in range(4)])})).rows[0].notes == notes


def test_times_and_first_losses(make_study, make_run):
    def runs(**facts):
        logged = [{"loss": 0.5, "epoch_seconds": 1.0 + i, "system/gpu": float(i)} for i in range(3)]
        firsts = facts.get("firsts", [2.0] * 3)
        return [make_run(i, results={"last": one}, first_loss=firsts[i]) for i, one in enumerate(logged)]

    assert gather(make_study({"a": (None, runs())})).rows[0].tally.identical == 2
    assert gather(make_study({"a": (None, runs(firsts=[2.0, 2.1, 2.2]))})).rows[0].tally.identical == 0


def test_a_variant_without_a_common_seed_says_so(make_study, make_run):
    others = [make_run(seed, 0.4 + seed / 100) for seed in (5, 6, 7)]
    row = gather(make_study({"a": (None, PARENT), "b": ("a", others)})).rows[1]
    assert row.delta_parent is None
    assert row.notes == (Note("no_common_seed", values={"parent": "a"}),)
    waiting = [*others, make_run(8, None, "running")]
    row = gather(make_study({"a": (None, PARENT), "b": ("a", waiting)})).rows[1]
    assert "no_common_seed" not in {note.kind for note in row.notes}


RECIPE = """
data: digits
seeds: 3
baseline: {name: base, model: {target: "zero:Net"}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1},
           epochs: 2, batch_size: 2000, metrics: [accuracy]}
variants:
  - {name: faster, from: base, set: {optimizer.lr: 0.5}}
"""

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x):
        return self.layers(x)
"""


def test_a_training_without_randomness_is_one_seed(tmp_path):
    """Really trained: weights of 0 and one batch of all samples, so a seed changes nothing but rounding."""
    (tmp_path / "zero.py").write_text(NET)
    (tmp_path / "r.yaml").write_text(RECIPE)
    base, row = api.run(tmp_path / "r.yaml", root=tmp_path / "runs").rows
    assert [note.kind for note in row.notes].count("same_result") == 1
    assert (row.status, row.seeds, row.ci_low, row.p, row.verdict) == ("finished", 3, None, None, None)
    assert row.delta_parent < 0
    assert np.isfinite(base.valid_loss)
    assert base.valid_loss_sd is None


def test_seeds_are_not_compared_in_pairs(make_study, monkeypatch):
    """Of 300 seeds, two of them equal, one pair is compared in full, not 45,000."""
    compared = []
    full = Seeds._same
    monkeypatch.setattr(Seeds, "_same", lambda *given: compared.append(given) or full(*given))
    values = [0.5 + seed / 1000 for seed in range(300)]
    [row] = gather(make_study({"a": (None, [*values[:-1], values[7]])})).rows
    assert row.notes == (Note("same_result", seeds=(7, 299)),)
    assert len(compared) == 1


@pytest.mark.parametrize("number", [0.0, -0.3, 1e-320, 1e308, math.nan])
def test_close_numbers_are_those_of_the_library(number):
    numbers = [number * (1 + by) for by in (0.0, 9.99e-7, 1.001e-6, -9.99e-7, -1.001e-6, -2.0)]
    expected = [math.isclose(one, number, rel_tol=SAME) for one in numbers]
    assert close(np.array(numbers), number).tolist() == expected
