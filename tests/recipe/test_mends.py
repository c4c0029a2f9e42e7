"""Which stored runs a mend makes outdated, and which it keeps."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from ablate.recipe import Recipe
from ablate.recipe.fingerprint import facts, recorded_contents
from ablate.recipe.mends import MENDS
from ablate.report.notes import DIFFERENCES

PLAIN = {"data": "digits", "model": "mlp", "loss": "cross_entropy", "optimizer": "sgd", "metrics": "[accuracy]"}

STALE = [
    ("", {}),
    ("data: {target: mine:f}", {}),
    ("optimizer: {target: mine:f}", {}),
    ("init: {target: mine:f}", {}),
    ("model: {target: mine:f}", {"contract"}),
    ("loss: {target: mine:f}", {"contract"}),
    ("metrics: [{target: mine:f, better: lower}]", {"contract"}),
    ("add: [{target: mine:f}]", {"contract"}),
    ("add: [group_norm]", {"group_norm"}),
    ("add: [{group_norm: {where: hidden, groups: 4}}]", {"group_norm"}),
    ("add: [{group_norm: {where: conv}}]", {}),
    ("add: [layer_norm]", {}),
    ("add: [flip]", {"share"}),
    ("add: [{flip: 0.25}]", {"share"}),
    ("add: [{cutout: {share: {linear: [0, 1]}}}]", {"share"}),
    ("add: [rotate, {flip: 1}, {random_erasing: 0}, {mixup: {share: 1.0}}]", set()),
    ("add: [{train_fraction: 0.5}, {label_noise: 0.2}, {dropout: 0.5}]", set()),
    ("data: {name: images, path: wide}", {"wide_images"}),
    ("data: {name: images, path: bytes}", {}),
]
"""Settings of a variant, one per line instead of those in `PLAIN`, and the mends that affect it."""


@pytest.mark.parametrize(("own", "mended"), STALE)
def test_runs_are_outdated_by_the_mends_that_affect_them(own, mended, tmp_path):
    (tmp_path / "mine.py").write_text("def f(): pass\n")
    for folder, pixels in (("wide", np.zeros((4, 4), np.uint16)), ("bytes", np.zeros((4, 4), np.uint8))):
        for label in ("a", "b"):
            (tmp_path / folder / label).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / folder / label / "0.png")
    written = {line.partition(":")[0]: line for line in own.splitlines()}
    lines = [f"{name}: {value}" for name, value in PLAIN.items() if name not in written] + list(written.values())
    top = [line for line in lines if line.startswith(("data", "metrics"))]
    below = [f"  {line}" for line in lines if line not in top]
    (tmp_path / "r.yaml").write_text("\n".join([*top, "baseline:", "  name: a", *below]) + "\n")
    recipe = Recipe.load(tmp_path / "r.yaml")
    settings = recipe.variants[0].settings
    known = facts(settings, folder=recipe.folder)
    assert {mend.fact for mend in MENDS if mend.fact in known} == set(mended)
    gone = dict(recorded_contents(settings, known))
    for path in gone:
        shutil.rmtree(path)
    assert facts(settings, folder=recipe.folder, gone=gone) == known, "what files decided is known without them"


def test_a_table_can_say_why_runs_are_outdated():
    assert {mend.fact for mend in MENDS} <= set(DIFFERENCES)
    assert len({mend.fact for mend in MENDS}) == len(MENDS)
