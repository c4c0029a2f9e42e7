"""Which stored runs a mend makes outdated, and which it keeps."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from ablate.data.table import Table
from ablate.recipe import Recipe
from ablate.recipe.contents import content_hash
from ablate.recipe.fingerprint import facts, recorded_contents
from ablate.recipe.mends import MENDS
from ablate.report.notes import DIFFERENCES

PLAIN = {"data": "digits", "model": "mlp", "loss": "cross_entropy", "optimizer": "sgd", "metrics": "[accuracy]"}

FILES = {
    "mine.py": "def f(): pass\n",
    "plain.csv": "x,z,y\n1,2,a\n3,4,b\n",
    "numbers.csv": "x,z,y\n1,2,5.5\n3,4,NA\n5,6,\n",
    "commas.csv": "x,z,y\n1,2,5.5,\n3,4,6.5,\n",
    "index.csv": ",x,z,y\n0,1,2,a\n1,3,4,b\n",
    "twice.csv": "x,z,y,z\n1,2,a,3\n3,4,b,5\n",
    "target_twice.csv": "x,z,y,y\n1,2,a,b\n3,4,b,a\n",
    "spaces.csv": "x, z, y\n1, 2, a\n3, 4, b\n",
    "a_space.csv": "x,z,y\n1,2,a\n3,4,a \n5,6,b\n",
    "a_group_with_a_space.csv": "x,z,y\na,2,5.5\na ,4,6.5\nb,6,7.5\n",
    "short.csv": "x,z,y\n1,2,5.5\n3,4\n",
    "comma.csv": "x,z,y\n" + "".join(f'1,2,"{i},5"\n' for i in range(30)),
    "times.csv": "x,z,y\n" + "".join(f"{1700000000 + i},2,{i}.5\n" for i in range(30)),
    "time.csv": "x,z,y\n" + "".join(f"1700000000,2,{i}.5\n" for i in range(30)),
}

STALE = [
    ("", {}),
    ("data: {target: mine:f}", {"loss_weight"}),
    ("optimizer: {target: mine:f}", {}),
    ("init: {target: mine:f}", {}),
    ("model: {target: mine:f}", {"contract"}),
    ("loss: {target: mine:f}", {"contract"}),
    ("metrics: [{target: mine:f, better: lower}]", {"contract"}),
    ("add: [group_norm]", {"group_norm"}),
    ("add: [{group_norm: {where: hidden, groups: 4}}]", {"group_norm"}),
    ("add: [{group_norm: {where: conv}}]", {}),
    ("add: [layer_norm]", {}),
    ("add: [flip]", {"share"}),
    ("add: [{flip: 0.25}]", {"share"}),
    ("add: [{cutout: {share: {linear: [0, 1]}}}]", {"share"}),
    ("add: [rotate, {flip: 1}, {random_erasing: 0}, {mixup: {share: 1.0}}]", set()),
    ("add: [{train_fraction: 0.5}, {label_noise: 0.2}, {dropout: 0.5}]", set()),
    ("data: {name: images, path: wide}", {"reading"}),
    ("data: {name: images, path: bytes}", {}),
    ("data: {name: csv, path: plain.csv, target: y}", {}),
    ("data: {name: csv, path: numbers.csv, target: y}", {}),
    ("data: {name: csv, path: commas.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: index.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: index.csv, target: y, inputs: [x, z]}", {}),
    ("data: {name: csv, path: twice.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: twice.csv, target: y, inputs: [x, z]}", {"reading"}),
    ("data: {name: csv, path: twice.csv, target: y, inputs: [x]}", {}),
    ("data: {name: csv, path: target_twice.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: spaces.csv, target: y}", {}),
    ("data: {name: csv, path: a_space.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: a_space.csv, target: z}", {"reading"}),
    ("data: {name: csv, path: a_space.csv, target: z, inputs: [x]}", {}),
    ("data: {name: csv, path: a_group_with_a_space.csv, target: y, group: x}", {"reading"}),
    ("data: {name: csv, path: short.csv, target: y, task: regression}", {"reading"}),
    ("data: {name: csv, path: comma.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: times.csv, target: y}", {"reading"}),
    ("data: {name: csv, path: times.csv, target: y, inputs: [z]}", {}),
    ("data: {name: csv, path: times.csv, target: x, inputs: [z]}", {"reading"}),
    ("data: {name: csv, path: time.csv, target: y}", {}),
    ("precision: float64", {}),
    ("precision: float64\ndata: {name: digits, reconstruct: true}\nloss: mse\nmetrics: [rmse]", {"float64_data"}),
    ("precision: float64\ndata: wine", {"float64_data"}),
    ("precision: float32\ndata: wine", {}),
    ("model: {target: mine:f}\nadd: [batch_norm]", {"contract", "own_layers"}),
    ("model: {target: mine:f}\nadd: [dropout]", {"contract"}),
    ("add: [batch_norm, activation]", {}),
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
    for folder, pixels in (("wide", np.zeros((4, 4), np.uint16)), ("bytes", np.zeros((4, 4), np.uint8))):
        for label in ("a", "b"):
            (tmp_path / folder / label).mkdir(parents=True)
            Image.fromarray(pixels).save(tmp_path / folder / label / "0.png")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "mine.py").write_text("def f(): pass\n")
    (tmp_path / "mine.npz").write_bytes(b"")
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
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert facts(settings, folder=recipe.folder, gone=gone) == known, "what files decided is known without them"


def test_a_file_that_is_gone_was_read_as_before(tmp_path):
    """Its runs are known by the recorded hash of its contents."""
    path = tmp_path / "commas.csv"
    path.write_text(FILES["commas.csv"])
    contents = content_hash(path)
    table = Table(path=path, target="y")
    assert table.misread(contents)
    path.unlink()
    assert table.misread(contents)
    assert not table.misread("0" * 32)


def test_contents_are_read_once_to_know(tmp_path, monkeypatch):
    path = tmp_path / "plain.csv"
    path.write_text(FILES["plain.csv"])
    contents = content_hash(path)
    assert not Table(path=path, target="y").misread(contents)
    monkeypatch.setattr(Table, "_reads_differently", lambda self: 1 / 0)
    assert not Table(path=path, target="y").misread(contents)
    with pytest.raises(ZeroDivisionError):
        Table(path=path, target="z").misread(contents)


def test_a_table_can_say_why_runs_are_outdated():
    assert {mend.fact for mend in MENDS} <= set(DIFFERENCES)
    assert len({mend.fact for mend in MENDS}) == len(MENDS)
