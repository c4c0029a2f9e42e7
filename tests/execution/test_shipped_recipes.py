"""Every shipped recipe runs at a small scale; the facial keypoints on real faces too. Those of the claims have their
own tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ablate.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted([*FOLDER.glob("*.yaml"), *(FOLDER / "keypoints").glob("*.yaml")])
FEW_FACES = ["--scale", "0.001", "--set", "data.size=16", "--set", "data.limit=64"]
SMALL = {
    "facial_specialists": ["--scale", "0.0002", "--set", "data.size=16", "--set", "data.limit=64"],
    "facial_keypoints": ["--scale", "0.0002", "--set", "data.size=32", "--set", "data.limit=64"],
    **{name: FEW_FACES for name in ("faces", "ladder", "specialists", "leak")},
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_runs_at_a_small_scale(recipe, ablate):
    flags = SMALL.get(recipe.stem, ["--scale", "0.02"])
    done = ablate("run", recipe, "--seeds", "1", "--format", "json", *flags)
    assert done.code == 0, done.err
    rows = done.rows()
    assert len(rows) >= 2
    assert all(row["status"] == "finished" and row["valid_loss"] > 0 for row in rows.values())


def test_keypoint_study_has_the_published_sizes(ablate):
    recipe = next(path for path in RECIPES if path.stem == "facial_keypoints")
    plan = ablate("plan", recipe, "--json", "--set", "stack=off").json()
    assert {row["variant"]: row["parameters"] for row in plan["rows"]} == {
        "net1": 924_730,
        **dict.fromkeys(("net2", "net3", "net4", "net5", "net6"), 8_051_502),
        "net7": 16_561_502,
    }
    assert [row["epochs"] for row in plan["rows"]] == [400, 1000, 3000, 1000, 2000, 3000, 10000]


def test_demo_trains_parent_and_child_equally_long(ablate):
    """On drawn faces, without a file; all but the last variant, whose change is the number of epochs."""
    recipe = next(path for path in RECIPES if path.stem == "faces")
    rows = ablate("plan", recipe, "--json").json()["rows"]
    assert [row["variant"] for row in rows] == [f"net{number}" for number in range(1, 8)]
    assert [row["epochs"] for row in rows] == [8] * 6 + [24]
    assert Recipe.load(recipe).variant("net1").settings.data.options.path is None


@pytest.mark.slow
@pytest.mark.shared
def test_convolutions_beat_one_layer_beats_the_mean_face(faces, ablate):
    """On real faces at equal epochs, nobody in train and valid at once; small batches and a larger learning rate make 20
    epochs enough.
    """
    import numpy as np

    recipe = next(path for path in RECIPES if path.stem == "facial_keypoints")
    flags = [
        f"data.path={faces}",
        "data.group=person",
        "data.size=32",
        "data.limit=800",
        "epochs=20",
        "batch_size=16",
        "optimizer.lr=0.1",
    ]
    words = [word for flag in flags for word in ("--set", flag)]
    rows = ablate("run", recipe, "--seeds", "1", "--only", "net1,net2", "--format", "json", *words).rows()
    keypoints = np.load(faces)["keypoints"][:800]
    mean_face = float(np.sqrt(((keypoints - keypoints.mean(0)) ** 2).mean()))
    assert rows["net2"]["rmse_pixels"] < rows["net1"]["rmse_pixels"] < mean_face


@pytest.mark.slow
@pytest.mark.shared
def test_each_specialist_trains_on_its_own_rows(faces, ablate):
    """On real faces with the competition's missing points: as many samples as have all of a specialist's points, and no
    other outputs than these.
    """
    import numpy as np

    from ablate.data.faces import POINTS
    from ablate.registry import lookup

    settings = lookup("data", "facial_keypoints").settings
    every = settings(path=faces, lacking="kaggle", missing="mask", size=8).load()
    targets = np.concatenate([every.train.targets.numpy(), every.valid.targets.numpy()]).reshape(-1, 15, 2)
    known = ~np.isnan(targets).any(2)

    recipe = FOLDER / "keypoints" / "specialists.yaml"
    flags = [f"data.path={faces}", "data.lacking=kaggle", "data.size=16"]
    words = [word for flag in flags for word in ("--set", flag)]
    words += ["--seeds", "1", "--scale", "0.001"]
    rows = ablate("run", recipe, "--format", "json", *words).rows()
    counted = ablate("table", recipe, "--format", "md", "--notes", *words).out.splitlines()
    plain = Recipe.load(recipe)
    single = rows["single"]
    names = [name for name in rows if name not in ("single", "single x 6") and not name.startswith("specialists")]
    assert len(names) == 12
    for name in names:
        columns = plain.variant(name).settings.data.options.columns
        asked = known[:, [POINTS.index(point) for point in columns]].all(1).sum()
        # 101 parameters for each output, of which all faces have 30 and a specialist as many as its points have numbers
        assert single["parameters"] - rows[name]["parameters"] == 101 * (30 - 2 * len(columns))
        if not name.endswith("+"):
            line = next(line for line in counted if line.startswith(f"- {name}: "))
            train, valid = (
                int(found.replace(",", "")) for found in re.findall(r"([\d,]+) (?:training|validation) samples", line)
            )
            assert train + valid == asked
            assert (train + valid) > known.all(1).sum() == 1052
    joined = rows["specialists"]
    assert joined["status"] == "finished"
    assert joined["rmse_pixels"] > 0
