"""The commands in the head of recipes/faces.yaml run on files as users have them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).parents[2] / "recipes" / "faces.yaml"
COMMANDS = {
    shlex.split(line)[4].rpartition(".")[2]: shlex.split(line)[3:]
    for line in re.findall(r"^#   (ablate run .*)", DEMO.read_text(encoding="utf-8"), flags=re.M)
}
SMALL = ("--seeds", "1", "--only", "net1,net2", "--set", "epochs=1", "--format", "json")


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_commands_of_the_demo_take_real_faces(kind, tmp_path, few_faces, write_kaggle, ablate):
    if kind == "csv":
        write_kaggle(tmp_path / "training.csv", few_faces)
    else:
        arrays = {"images": few_faces.images, "keypoints": few_faces.keypoints, "person": np.arange(12)}
        np.savez(tmp_path / "faces.npz", **arrays)
    done = ablate("run", DEMO, *COMMANDS[kind], *SMALL)
    assert done.code == 0, done.err
    assert {row["status"] for row in done.rows().values()} == {"finished"}
    assert all(0 < row["rmse_pixels"] < 96 for row in done.rows().values())
