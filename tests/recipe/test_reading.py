"""The design's own example: seven rows, each with the settings that its words say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ablate.recipe import Compare, Recipe

EXAMPLE = """\
# yaml-language-server: $schema=ablate.schema.json
study: facial-keypoints
description: Fifteen points on a face, from one hidden layer to 10,000 epochs.

data: {name: facial_keypoints, missing: drop, valid: 0.2, split_seed: 42}
metrics: [rmse_pixels]
seeds: 5                                  # 0..4; or a list
compare: {metric: valid_loss, better: lower, at: last}

baseline:
  name: net1
  description: single hidden
  model: {name: mlp, hidden: [100]}
  init: xavier_uniform
  loss: mse
  optimizer: {name: sgd, lr: 0.01, momentum: 0.9, nesterov: true, rate_in_velocity: true}
  batch_size: 128
  epochs: 400
  published: {train_loss: 0.002244, valid_loss: 0.003255}

tricks:
  convolutions: {set: {model: {name: convnet, channels: [32, 64, 128], kernels: [3, 2, 2], hidden: [500, 500]}}}
  mom + lr adj: {set: {optimizer.lr: {linear: [0.03, 0.0001], per: epoch}, optimizer.momentum: {linear: [0.9, 0.999], per: epoch}}}

variants:
  - {name: net2, from: net1, description: convolutions, add: [convolutions], set: {epochs: 1000}}
  - {name: net3, from: net2, description: augmentation, add: [flip], set: {epochs: 3000}}
  - {name: net4, from: net2, description: mom + lr adj, add: [mom + lr adj], set: {epochs: 1000}}
  - {name: net5, from: net4, description: net4 + augment, add: [flip], set: {epochs: 2000}}
  - {name: net6, from: net5, description: net5 + dropout, add: [{dropout: {conv: [0.1, 0.2, 0.3], hidden: 0.5}}], set: {epochs: 3000}}
  - {name: net7, from: net6, description: net6 + epochs, set: {epochs: 10000, model.hidden: [1000, 1000]}}
"""


@pytest.fixture
def example(load) -> Recipe:
    # net4 repeats epochs = 1000 as the design has it; the schedules are what it changes
    return load(EXAMPLE)


def test_study(example):
    assert example.study == "facial-keypoints"
    assert example.description == "Fifteen points on a face, from one hidden layer to 10,000 epochs."
    assert example.seeds == (0, 1, 2, 3, 4)
    assert example.compare == Compare("valid_loss", "lower", "last")
    assert example.text == EXAMPLE
    assert example.folder == Path.cwd()
    assert example.selection == ()


def test_rows(example):
    shown = [(v.name, v.parent, v.settings.model.name, v.settings.epochs) for v in example.variants]
    assert shown == [
        ("net1", None, "mlp", 400),
        ("net2", "net1", "convnet", 1000),
        ("net3", "net2", "convnet", 3000),
        ("net4", "net2", "convnet", 1000),
        ("net5", "net4", "convnet", 2000),
        ("net6", "net5", "convnet", 3000),
        ("net7", "net6", "convnet", 10000),
    ]
    assert [[c.label for c in v.settings.tricks] for v in example.variants] == [
        [], [], ["flip"], [], ["flip"], ["flip", "dropout"], ["flip", "dropout"],
    ]  # fmt: skip
    assert example.variant("net1").published == {"train_loss": 0.002244, "valid_loss": 0.003255}
    assert [str(change) for change in example.variant("net6").changes] == [
        "+ dropout {conv: [0.1, 0.2, 0.3], hidden: 0.5}",
        "epochs = 3000",
    ]


def test_settings(example):
    net1, net7 = example.variant("net1").settings.dump(), example.variant("net7").settings.dump()
    assert (
        net1["optimizer"] | {"rate_in_velocity": True, "nesterov": True, "lr": 0.01, "momentum": 0.9}
        == net1["optimizer"]
    )
    assert net1["batch_size"] == net7["batch_size"] == 128
    assert net7["model"]["channels"] == [32, 64, 128]
    assert net7["model"]["hidden"] == [1000, 1000]
    assert net7["init"]["name"] == "xavier_uniform"
    assert net7["optimizer"]["lr"] == {"linear": [0.03, 0.0001], "per": "epoch"}
    assert net7["optimizer"]["momentum"] == {"linear": [0.9, 0.999], "per": "epoch"}
    assert net7["tricks"] == [
        {"name": "flip", "share": 0.5, "alternate": False},
        {"name": "dropout", "conv": [0.1, 0.2, 0.3], "hidden": 0.5, "existing": None},
    ]


def test_positions_are_those_of_the_names(example):
    assert str(example.variant("net1").position) == "r.yaml:11:9"
    assert str(example.variant("net3").position) == "r.yaml:27:12"


def test_defaults(rows):
    recipe = rows("{name: net2, add: [flip]}")
    assert recipe.study == "r"
    assert recipe.seeds == (0,)
    assert recipe.compare == Compare("valid_loss", "lower", "selected")
    assert recipe.variant("net1").settings.init.name == "default"


def test_the_library_of_shipped_recipes_reads():
    found = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
    assert found
    for path in found:
        assert Recipe.load(path).variants, path


def test_compare_takes_the_metrics_own_direction(load, rows):
    text = rows("{name: net2, add: [flip]}").text
    assert load(text + "compare: {metric: accuracy}\n").compare == Compare("accuracy", "higher")
    assert load(text + "compare: {metric: train_loss, at: best}\n").compare == Compare("train_loss", "lower", "best")
    assert load(text + "compare: {smallest_effect: 1e-3}\n").compare == Compare(smallest_effect=0.001)


def test_a_monitored_metric_is_better_in_its_own_direction(rows):
    recipe = rows(
        "{name: net2, set: {select: best, monitor: {metric: accuracy}}}", "{name: net3, set: {monitor.better: lower}}"
    )
    assert recipe.variant("net2").settings.monitor.better == "higher"
    assert recipe.variant("net3").settings.monitor.better == "lower"


@pytest.mark.parametrize("trick", ["early_stop", "plateau"])
def test_what_a_trick_monitors_is_better_in_its_own_direction(rows, trick):
    recipe = rows(
        f"{{name: net2, add: [{{{trick}: {{monitor: {{metric: accuracy}}}}}}]}}",
        f"{{name: net3, set: {{tricks.{trick}.monitor: {{metric: accuracy, better: lower}}}}}}",
        f"{{name: net4, set: {{tricks.{trick}.monitor: {{metric: train_loss}}}}}}",
    )
    found = [recipe.variant(name).settings.tricks[0].options.monitor.better for name in ("net2", "net3", "net4")]
    assert found == ["higher", "lower", "lower"]
    if trick == "early_stop":  # which also says what the best epoch is
        assert recipe.variant("net2").settings.monitor.better == "higher"


def test_reading_imports_nothing_heavy_and_no_user_code(tmp_path):
    (tmp_path / "mine.py").write_text("raise SystemExit('the user\\'s code was run')\n")
    (tmp_path / "r.yaml").write_text(EXAMPLE.replace("loss: mse", "loss: {target: mine:loss}"))
    script = (
        "import sys; from ablate.recipe import Recipe, fingerprint, differences, recipe_schema; "
        "r = Recipe.load('r.yaml'); a, b = r.variants[:2]; fingerprint(a.settings, 0, folder=r.folder); "
        "differences(a.settings, b.settings); recipe_schema(); "
        "print([m for m in ('torch', 'mlflow', 'sklearn', 'scipy.stats', 'pandas', 'mine') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
