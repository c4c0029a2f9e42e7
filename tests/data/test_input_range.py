"""New inputs in another scale than the training inputs are reported, validation data of any source are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn import datasets

from ablate.data import images
from ablate.data.dataset import Part
from ablate.data.images import Images
from ablate.data.input_range import other_range
from ablate.data.npz import Npz
from ablate.data.table import Table
from ablate.registry import entries, lookup

BUILT_IN = [
    entry.name for entry in entries("data") if not any(f.is_required() for f in entry.settings.model_fields.values())
]
OWN = ["images", "streamed images", "csv", "npz"]


@pytest.fixture
def parts(request, tmp_path, monkeypatch):
    """The data of a source, with 40 random splits."""
    name = request.param

    def load(split_seed: int):
        if name in BUILT_IN:
            return lookup("data", name).settings(split_seed=split_seed).load()
        draw = np.random.default_rng(split_seed)
        if name == "npz":
            np.savez(tmp_path / "x.npz", x=np.exp(draw.normal(size=(200, 8))), y=np.arange(200) % 3)
            return Npz(path=tmp_path / "x.npz", split_seed=split_seed).load()
        if name == "csv":
            table = datasets.load_breast_cancer(as_frame=True).frame
            table.to_csv(tmp_path / "x.csv", index=False)
            return Table(path=tmp_path / "x.csv", target="target", limit=60, split_seed=split_seed).load()
        for label in "ab":
            (tmp_path / label).mkdir(exist_ok=True)
            for i in range(10):
                Image.fromarray(draw.integers(0, 30 + 20 * i, (8, 8)).astype(np.uint8)).save(
                    tmp_path / label / f"{i}.png"
                )
        if name == "streamed images":
            monkeypatch.setattr(images, "free_bytes", lambda device: 100)
        return Images(path=tmp_path, size=8, split_seed=split_seed).load()

    return load


LARGE = pytest.param("facial_keypoints", marks=pytest.mark.slow)
"""It draws 7,000 faces."""


@pytest.mark.parametrize(
    "parts", [*(LARGE if name == LARGE.values[0] else name for name in BUILT_IN), *OWN], indirect=True
)
def test_validation_data_are_no_false_alarm(parts):
    for split_seed in range(3):
        data = parts(split_seed)
        assert other_range(data.valid, data.train) is None
        if data.valid.inputs is not None:
            for i in range(min(60, len(data.valid))):
                assert other_range(Part(data.valid.inputs[i : i + 1]), data.train) is None, f"sample {i} alone"
            for i in range(0, min(60, len(data.valid) - 7), 7):
                assert other_range(Part(data.valid.inputs[i : i + 7]), data.train) is None, f"seven samples from {i}"


def floats(data):
    x = data.valid.inputs
    return x / 255 if x.dtype == torch.uint8 else x


@pytest.mark.parametrize(
    "parts", [name for name in [*BUILT_IN, *OWN] if name not in ("text", "streamed images")], indirect=True
)
@pytest.mark.parametrize("factor", [255.0, 1 / 255])
def test_another_scale_is_seen(parts, factor):
    data = parts(0)
    found = other_range(Part(floats(data) * factor), data.train)
    assert found is not None
    assert found["train_high"] > found["train_low"]
    if len(data.spec.input_shape) == 3 and factor > 1:
        assert other_range(Part(floats(data)[:1] * factor), data.train) is not None, "a single image"


def test_bytes_and_floats_of_the_same_images_have_one_scale():
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (30, 1, 8, 8), generator=draw, dtype=torch.uint8)
    train = Part(pixels / 255)
    assert other_range(Part(pixels), train) is None
    found = other_range(Part(pixels.float()), train)
    assert found == {"column": None, "low": 0.0, "high": 255.0, "train_low": 0.0, "train_high": 1.0}
    assert other_range(train, Part(pixels.float()))["high"] == 1.0
    assert other_range(Part(torch.zeros(3, 1, 8, 8)), train) is None, "black images"


def test_one_column_in_another_unit_is_named():
    draw = torch.Generator().manual_seed(0)
    train = torch.randn(100, 5, generator=draw)
    new = torch.randn(30, 5, generator=draw)
    new[:, 3] = new[:, 3] * 10 + 1000
    assert other_range(Part(new), Part(train))["column"] == 3
    constant = train.clone()
    constant[:, 3] = 7
    assert other_range(Part(new), Part(constant)) is None, "a constant column has no scale"


def test_predict_says_so(ablate, tmp_path):
    draw = np.random.default_rng(0)
    x = draw.uniform(size=(40, 1, 6, 6))
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(40) % 2)
    np.savez(tmp_path / "same.npz", x=draw.uniform(size=(9, 1, 6, 6)))
    np.savez(tmp_path / "bytes.npz", x=(x[:9] * 255).round())
    (tmp_path / "t.csv").write_text("\n".join(["a,b,y", *(f"{a},{b},{a + b}" for a, b in draw.uniform(size=(40, 2)))]))
    (tmp_path / "new.csv").write_text("\n".join(["a,b", *(f"{a},{100 * b}" for a, b in draw.uniform(size=(40, 2)))]))
    row = "{name: a, model: {name: mlp, hidden: [4]}, loss: %s, optimizer: {name: sgd, lr: 0.01}, epochs: 1}"
    compare = "compare: {metric: valid_loss}\n"
    (tmp_path / "r.yaml").write_text(f"data: {{name: npz, path: x.npz}}\n{compare}baseline: {row % 'cross_entropy'}\n")
    (tmp_path / "t.yaml").write_text(f"data: {{name: csv, path: t.csv, target: y}}\n{compare}baseline: {row % 'mse'}\n")
    for recipe in ("r.yaml", "t.yaml"):
        assert ablate("run", recipe, "--jobs", "1").code == 0
    same = ablate("predict", "r.yaml", "a", "--data", "same.npz", "-o", "p.csv")
    assert (same.code, same.err) == (0, "Wrote p.csv.\n")
    other = ablate("predict", "r.yaml", "a", "--data", "bytes.npz", "-o", "p.csv")
    assert other.code == 0
    words = " ".join(other.err.split())
    new = (x[:9] * 255).round()
    assert words.startswith(
        f"warning: --data (=bytes.npz): inputs range from {new.min():.4g} to {new.max():.4g}, but from "
    )
    table = " ".join(ablate("predict", "t.yaml", "a", "--data", "new.csv", "-o", "p.csv").err.split())
    assert table.startswith("warning: --data (=new.csv): values of column b range from ")
