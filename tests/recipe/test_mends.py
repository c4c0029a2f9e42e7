"""Which stored runs a mend makes outdated, and which it keeps."""

from __future__ import annotations

import pytest

from ablate.recipe import Recipe
from ablate.recipe.fingerprint import facts
from ablate.recipe.mends import MENDS
from ablate.report.notes import DIFFERENCES

PLAIN = {"data": "digits", "model": "mlp", "loss": "cross_entropy", "optimizer": "sgd", "metrics": "[accuracy]"}

STALE = [
    ("", {}),
    ("data: {target: mine:f}", {"loss_weight"}),
    ("optimizer: {target: mine:f}", {}),
    ("init: {target: mine:f}", {}),
    ("model: {target: mine:f}", {"contract"}),
    ("loss: {target: mine:f}", {"contract"}),
    ("metrics: [{target: mine:f, better: lower}]", {"contract"}),
    ("precision: float64", {}),
    ("precision: float64\ndata: {name: digits, reconstruct: true}\nloss: mse\nmetrics: [rmse]", {"float64_data"}),
    ("precision: float64\ndata: wine", {"float64_data"}),
    ("precision: float32\ndata: wine", {}),
    ("add: [early_stop]", {}),
    ("add: [{early_stop: {start: 5}}]", {"early_stop_start"}),
    ("add: [{early_stop: {start: 0%}}]", {}),
    ("add: [{early_stop: {start: 5, restore_best: false}}]", {}),
    ("add: [{target: mine:f}]", {"contract", "loss_weight"}),
    ("data: {target: mine:f}\nloss: bce\nadd: [mixup]", {"loss_weight"}),
    ("data: {target: mine:f}\nloss: bce", {}),
    ("data: {target: mine:f}\nloss: mse", {}),
    ("loss: focal\nadd: [label_smoothing]", {}),
    ("data: {name: npz, path: mine.npz}\nloss: cross_entropy", {}),
    ("data: {name: npz, path: mine.npz}\nloss: {name: multi_task, tasks: [{outputs: 1}]}", {"loss_weight"}),
    ("data: multi_task\nloss: {name: multi_task, tasks: [{outputs: 1}, {outputs: 1}]}", {}),
    ("data: {name: npz, path: mine.npz}\nloss: mse", {}),
]
"""Settings of a variant, one per line instead of those in `PLAIN`, and the mends that affect it."""


@pytest.mark.parametrize(("own", "mended"), STALE)
def test_runs_are_outdated_by_the_mends_that_affect_them(own, mended, tmp_path):
    (tmp_path / "mine.py").write_text("def f(): pass\n")
    (tmp_path / "mine.npz").write_bytes(b"")
    written = {line.partition(":")[0]: line for line in own.splitlines()}
    lines = [f"{name}: {value}" for name, value in PLAIN.items() if name not in written] + list(written.values())
    top = [line for line in lines if line.startswith(("data", "metrics"))]
    below = [f"  {line}" for line in lines if line not in top]
    (tmp_path / "r.yaml").write_text("\n".join([*top, "baseline:", "  name: a", *below]) + "\n")
    recipe = Recipe.load(tmp_path / "r.yaml")
    known = facts(recipe.variants[0].settings, folder=recipe.folder)
    assert {mend.fact for mend in MENDS if mend.fact in known} == set(mended)


def test_a_table_can_say_why_runs_are_outdated():
    assert {mend.fact for mend in MENDS} <= set(DIFFERENCES)
    assert len({mend.fact for mend in MENDS}) == len(MENDS)
