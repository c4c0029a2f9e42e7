"""Every data set of the library trains as `ablate run` trains it, with a network, a loss and metrics that fit: two
seeds in one stack, in this process.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ablate.execution.worker import train_job
from ablate.recipe import Recipe
from ablate.registry import entries
from ablate.store.store import Store

CLASSES = "loss: cross_entropy, metrics: [accuracy, f1]"
NUMBERS = "loss: mse, metrics: [rmse, r2]"
TOKENS = "loss: cross_entropy, metrics: [perplexity, accuracy]"

CASES = {
    "digits": ["{limit: 200}", "mlp", CLASSES],
    "facial_keypoints": ["{limit: 60, size: 16}", "mlp", "loss: mse, metrics: [rmse_pixels]"],
    "shapes": ["{count: 60, size: 16}", "{name: unet, channels: [8, 16]}", "loss: dice_ce, metrics: [dice, iou]"],
    "shapes, focal": [
        "{count: 60, size: 16}",
        "{name: fcn, channels: [8, 16]}",
        "loss: focal, metrics: [accuracy]",
    ],
    "shapes, volumes": [
        "{count: 20, size: 8, dimensions: 3, classes: 2}",
        "{name: unet, channels: [4, 8]}",
        "loss: dice, metrics: [dice]",
    ],
    "curve": ["{}", "{name: mlp, hidden: [200, 200]}", NUMBERS],
    "text": ["{length: 8, limit: 300}", "{name: gru, embedding: 8, hidden: [16], predict: each}", TOKENS],
    "text, the last": ["{length: 8, limit: 300, predict: last}", "{name: rnn, embedding: 8, hidden: [16]}", TOKENS],
    "text, topics": [
        "{length: 8, limit: 300, level: word, task: topic, topics: 4, vocabulary: 200}",
        "{name: lstm, embedding: 8, hidden: [16]}",
        CLASSES,
    ],
    "images": ["{path: pets, size: 12}", "{name: convnet, channels: [4], hidden: [8]}", CLASSES],
    "csv": ["{path: prices.csv, target: [price, rent]}", "mlp", NUMBERS],
    "csv, classes": ["{path: prices.csv, target: kind, inputs: [rooms, area]}", "mlp", CLASSES],
    "npz": ["{path: arrays.npz}", "mlp", CLASSES],
    "wine": ["{}", "mlp", CLASSES],
    "breast_cancer": ["{}", "mlp", CLASSES],
    "diabetes": ["{}", "mlp", NUMBERS],
    "imbalanced": ["{count: 300}", "mlp", CLASSES],
    "multi_task": [
        "{count: 200}",
        "mlp",
        "loss: {name: multi_task, tasks: [{outputs: 1}, {outputs: 1}], balance: magnitude}, metrics: [r2]",
    ],
}
"""The data's settings, the network, the loss and metrics. What stands behind a comma in a name is another case of the
same data.
"""

UNLIKE = ("wine", "breast_cancer", "diabetes", "csv")
"""Data whose columns have units of their own."""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(12):
            grey = rng.integers(0, 128, (14, 14, 3)) + (100 if name == "dog" else 0)
            Image.fromarray(grey.astype(np.uint8)).save(tmp_path / "pets" / name / f"{i}.png")
    rows = [
        (i % 5 + 1, 20 * (i % 5 + 1) + i % 7, 9.5 * (i % 5) + i % 3, 100 * (i % 5), "abc"[i % 3]) for i in range(60)
    ]
    lines = ["rooms,area,price,rent,kind", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "prices.csv").write_text("\n".join(lines) + "\n")
    np.savez(tmp_path / "arrays.npz", x=rng.normal(size=(60, 4)), y=rng.integers(0, 3, 60))
    return tmp_path


def test_every_data_set_has_a_case():
    assert {name.partition(",")[0] for name in CASES} == {entry.name for entry in entries("data")}


@pytest.mark.parametrize("case", CASES)
def test_it_trains(case, files, stub_study):
    settings, model, rest = CASES[case]
    name = case.partition(",")[0]
    inputs = ", inputs: [rooms, area]" if case == "csv" else ""
    tricks = "[standardise, normalise_targets]" if name in ("diabetes", "csv") and "loss: mse" in rest else ""
    tricks = tricks or ("[standardise]" if name in UNLIKE else "[]")
    path = files / "r.yaml"
    data = f"{{name: {name}, {settings[1:-1]}{inputs}}}".replace(", }", "}")
    path.write_text(
        f"data: {data}\nseeds: 2\n"
        f"baseline: {{name: a, model: {model}, init: xavier_uniform, {rest}, optimizer: {{name: adam, lr: 0.01}}, "
        f"batch_size: 16, epochs: 3, add: {tricks}}}\n"
    )
    study = stub_study()
    recipe = Recipe.load(path)
    study.command(training=train_job, recipe=recipe)
    runs = study.plan(recipe).runs
    assert [run.record.stack for run in runs] == [(0, 1)] * 2
    store = Store(study.root)
    assert [run.record.status for run in runs] == ["finished", "finished"], [run.record.reason for run in runs]
    labels = [choice.label for choice in recipe.variants[0].settings.metrics]
    for run in runs:
        lines = list(store.metrics(run.fingerprint))
        assert len(lines) == 3
        assert lines[-1]["train_loss"] < lines[0]["train_loss"]
        assert all(math.isfinite(line[label]) for line in lines for label in (*labels, "valid_loss"))
