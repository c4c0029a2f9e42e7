"""Keypoints from every source of data move with their images, under every trick that moves pixels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.dataset import Batch, Part, Parts, Spec
from ablate.data.faces import POINTS
from ablate.data.facial_keypoints import FacialKeypoints
from ablate.data.keypoints import Points, stay_behind
from ablate.data.npz import Npz
from ablate.data.user import from_target
from ablate.recipe.settings import Choice
from ablate.registry import entries, lookup
from ablate.rng.noise import Noise
from ablate.tricks.trick import Context, Trick

NAMES = ("left_eye", "right_eye", "nose")
HEIGHT, WIDTH, COUNT = 40, 56, 12
MARGIN = 5

GEOMETRIC = {
    "flip": [{"share": 0.5}],
    "rotate": [{"degrees": 25, "fill": "zero"}],
    "shift": [{"pixels": 6, "fill": "zero"}],
    "scale": [{"by": 0.3, "fill": "zero"}],
    "crop": [{"area": 0.6, "ratio": 1.3}, {"form": "padded", "pixels": 5}],
}
CASES = [(name, fields) for name, several in GEOMETRIC.items() for fields in several]

IN_FILE = {
    "pixels": lambda points, size: points - 0.5,
    "edge": lambda points, size: points,
    "fraction": lambda points, size: points / size,
    "symmetric": lambda points, size: 2 * points / size - 1,
}
"""Points in pixels from the left and upper edge, in each unit; ``size`` is (width, height)."""

BACK = {
    "pixels": lambda values, size: values + 0.5,
    "edge": lambda values, size: values,
    "fraction": lambda values, size: values * size,
    "symmetric": lambda values, size: (values + 1) / 2 * size,
    "faces": lambda values, size: values * 48 + 48,
}

USER_CODE = """
import numpy as np, torch
from torch.utils.data import Dataset

def halves(path):
    arrays = np.load(path)
    return [(arrays["x"][rows], arrays["y"][rows]) for rows in (slice(0, 8), slice(8, None))]

def memory(path, keypoints):
    train, valid = halves(path)
    return {"train": train, "valid": valid, "keypoints": keypoints}

class Own(Dataset):
    def __init__(self, half, noisy):
        self.half, self.noisy = half, noisy
    def __len__(self):
        return len(self.half[0])
    def __getitem__(self, i):
        image = torch.from_numpy(self.half[0][i]).float()
        return image + (1e-9 * torch.rand(()) if self.noisy else 0), self.half[1][i]

def dataset(path, keypoints, noisy=False):
    train, valid = halves(path)
    return {"train": Own(train, noisy), "valid": Own(valid, noisy), "keypoints": keypoints}

def streamed(path, keypoints):
    return dataset(path, keypoints, noisy=True)
"""


def spots(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (n, P, H, W) with a round spot at each point (n, P, 2), every point in a channel of its own."""
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    squared = (columns - points[..., 0, None, None]) ** 2 + (rows[:, None] - points[..., 1, None, None]) ** 2
    return np.exp(-squared / 6)


def drawn_points(height: int, width: int, points: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    return draw.uniform(0.25, 0.75, (COUNT, points, 2)) * [width, height]


def from_npz(folder: Path, unit: str) -> Parts:
    points = drawn_points(HEIGHT, WIDTH, 3)
    path = folder / "points.npz"
    np.savez(path, x=spots(points, HEIGHT, WIDTH), y=IN_FILE[unit](points, [WIDTH, HEIGHT]))
    return Npz(path=path, keypoints={"points": NAMES, "unit": unit}, valid=0.25).load()


def from_own_code(folder: Path, function: str) -> Parts:
    from_npz(folder, "pixels")
    (folder / "points_code.py").write_text(USER_CODE)
    options = {"path": str(folder / "points.npz"), "keypoints": list(NAMES)}
    return from_target(Choice("data", None, f"points_code:{function}", options), folder)


def from_faces(folder: Path) -> Parts:
    points = np.zeros((COUNT, 15, 2), np.float32)
    points[:, [POINTS.index("nose_tip")]] = drawn_points(96, 96, 1)
    images = spots(points[:, [POINTS.index("nose_tip")]], 96, 96)[:, 0] * 255
    np.savez(folder / "faces.npz", images=images.round().astype(np.uint8), keypoints=points)
    return FacialKeypoints(path=folder / "faces.npz", columns=("nose_tip",)).load()


SOURCES = {
    **{f"npz {unit}": ("npz", unit) for unit in IN_FILE},
    **{f"own {kind}": ("own", kind) for kind in ("memory", "dataset", "streamed")},
    "faces": ("faces", "faces"),
}


@pytest.fixture
def source(request, tmp_path, monkeypatch) -> tuple[Parts, str]:
    kind, detail = SOURCES[request.param]
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "points_code", raising=False)
    if kind == "own":
        return from_own_code(tmp_path, detail), "pixels"
    return (from_npz(tmp_path, detail) if kind == "npz" else from_faces(tmp_path)), detail


def all_samples(parts: Parts) -> tuple[torch.Tensor, torch.Tensor]:
    part = parts.train
    if part.inputs is not None:
        return part.inputs.double() / (255 if part.inputs.dtype == torch.uint8 else 1), part.targets.double()
    pairs = [part.dataset[i] for i in range(len(part))]
    return torch.stack([x for x, _ in pairs]).double(), torch.stack([y for _, y in pairs]).double()


def middle_of(picture: np.ndarray) -> tuple[float, float]:
    """Where the mass of a picture (H, W) is, in pixels from its edges."""
    height, width = picture.shape
    mass = picture.sum()
    return (picture.sum(0) * (np.arange(width) + 0.5)).sum() / mass, (
        picture.sum(1) * (np.arange(height) + 0.5)
    ).sum() / mass


@pytest.mark.parametrize(
    ("source", "normalised"),
    [*((name, False) for name in SOURCES), *((name, True) for name in ("npz pixels", "npz edge", "own dataset"))],
    indirect=["source"],
)
@pytest.mark.parametrize(("name", "fields"), CASES)
def test_a_spot_at_a_keypoint_is_at_the_keypoint_afterwards(source, normalised, name, fields):
    parts, unit = source
    original = parts
    if normalised:
        parts = lookup("trick", "normalise_targets").settings().on_data(parts)
    images, targets = all_samples(parts)
    trick = lookup("trick", name).settings(**fields)
    assert isinstance(trick, Trick)
    trick.bind(Context(parts.spec, (0,), 1, 10))
    out = trick.on_batch(Batch(images, targets, targets, parts.spec), Noise((0,), f"trick/{name}"))
    assert not torch.equal(out.inputs, images)
    found = out.targets
    if normalised:
        train = original.train.targets.double()
        found = found * train.std(0, correction=0) + train.mean(0)
    height, width = images.shape[-2:]
    places = BACK[unit](found.unflatten(-1, (-1, 2)).numpy(), np.array([width, height]))
    flipped = (out.inputs != images).flatten(1).any(1) if name == "flip" else torch.zeros(len(images), dtype=bool)
    seen = 0
    for picture, points, is_flipped in zip(out.inputs.numpy(), places, flipped, strict=True):
        for number, plane in enumerate(picture):
            # a mirrored left eye is a right eye: its place is the right eye's target
            point = {0: 1, 1: 0}.get(number, number) if is_flipped and len(points) > 1 else number
            x, y = points[point]
            if MARGIN < x < width - MARGIN and MARGIN < y < height - MARGIN:
                seen += 1
                assert middle_of(plane) == pytest.approx((x, y), abs=0.06)
    assert seen > 0.6 * len(images) * images.shape[1]
    if name == "flip":
        assert 0 < flipped.sum() < len(images)


def test_every_trick_that_moves_pixels_says_so():
    """A dot is followed under every trick that changes batches."""
    spec, image = Spec((3, 24, 24), 2, "other", classes=("a", "b"), places=(24, 24)), torch.zeros(40, 3, 24, 24)
    image[:, :, 6, 8] = 100.0
    moving = set()
    for entry in entries("trick"):
        if entry.settings.on_batch is Trick.on_batch:
            continue
        trick = entry.settings(**entry.settings.examples[0])
        masks = torch.zeros(40, 24, 24, dtype=torch.int64)
        trick.bind(Context(spec, (0,), 1, 4))
        trick.on_data(Parts(Part(image, masks), Part(image, masks), spec))
        out = trick.on_batch(Batch(image, masks, masks, spec), Noise((0,), "trick/x")).inputs[:, 0]
        places = [divmod(int(one.argmax()), 24) for one in out if one.max() > 20]
        if any(place != (6, 8) for place in places):
            moving.add(entry.name)
    assert moving == set(GEOMETRIC)
    assert moving == {entry.name for entry in entries("trick") if entry.settings.moves_pixels}


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        (["left_eye", "right_eye", "nose"], ((0, 1),)),
        (["nose", "RightEye", "LeftEye"], ((1, 2),)),
        (["nose"], ()),
        (1, ()),
        (["nose", "chin"], None),
        (3, None),
        ({"points": 3, "swap": [[0, 2]]}, ((0, 2),)),
        ({"points": ["a", "b", "c"], "swap": [["b", "c"]]}, ((1, 2),)),
        ({"points": ["left a", "right a"], "swap": []}, ()),
    ],
)
def test_pairs_come_from_names_or_are_given(written, pairs):
    points = Points.model_validate(written)
    assert points.facts((1, 8, 8), 2 * len(points.names), "data.keypoints").pairs == pairs


def test_flip_asks_for_pairs_that_it_cannot_know():
    flip = lookup("trick", "flip").settings()
    spec = Spec((1, 8, 8), 6, "regression", keypoints=Points.model_validate(3).facts((1, 8, 8), 6, "data.keypoints"))
    with pytest.raises(ValueError, match=r"Set keypoints\.swap, such as \[\[0, 1\]\], or \[\] if no points swap\.$"):
        flip.check(spec)
    given = Points.model_validate({"points": 3, "swap": []}).facts((1, 8, 8), 6, "data.keypoints")
    flip.check(replace(spec, keypoints=given))


@pytest.mark.parametrize(
    ("written", "shape", "message"),
    [
        (
            4,
            (1, 8, 8),
            "data.keypoints has 4 points, so each sample must have 8 targets (x and y of each point), but has 6. "
            "Correct the number of points.",
        ),
        (3, (64,), "data.keypoints requires images (C, H, W), but samples have shape (64,). Remove it."),
    ],
)
def test_keypoints_that_do_not_fit_are_refused(written, shape, message):
    with pytest.raises(ValueError, match="keypoints") as error:
        Points.model_validate(written).facts(shape, 6, "data.keypoints")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("{'points': 3, 'unit': 'mm'}", "keypoints: unit (='mm') is not valid: Input should be"),
        ("['a', 'a', 'b']", "keypoints: value (=['a', 'a', 'b']) is not valid: must list each keypoint once"),
        ("2", "keypoints has 2 points, so each sample must have 4 targets"),
    ],
)
def test_what_custom_data_declare_wrongly_is_refused_in_one_line(returned, message, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "wrong_points_code", raising=False)
    (tmp_path / "wrong_points_code.py").write_text(
        "import torch\ndef f():\n    half = torch.rand(6, 1, 8, 8), torch.rand(6, 3, 2)\n"
        f"    return {{'train': half, 'valid': half, 'keypoints': {returned}}}\n"
    )
    with pytest.raises(ValueError, match="keypoints") as error:
        from_target(Choice("data", None, "wrong_points_code:f", {}), tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("spec", "stays"),
    [
        (Spec((1, 8, 8), 4, "regression"), True),
        (Spec((1, 8, 8), 1, "regression"), True),
        (Spec((1, 8, 8), 4, "regression", no_positions=True), False),
        (Spec((1, 8, 8), 64, "regression"), False),
        (Spec((1, 8, 8), 4, "classification", tuple("abcd")), False),
        (Spec((1, 8, 8), 4, "classification", tuple("abcd"), places=(8, 8)), False),
        (Spec((1, 8, 8), 4, "classification", tuple("abcd"), places=(4, 4)), True),
        (Spec((1, 8, 8), 64, "other", places=(8, 8)), False),
        (Spec((1, 8, 8), 128, "other", places=(2, 8, 8)), False),
        (Spec((1, 8, 8), 6, "other", places=(3, 2)), True),
    ],
)
def test_targets_that_may_be_positions(spec, stays):
    assert stay_behind(spec) is stays


RECIPE = """
data: {name: npz, path: points.npz, valid: 0.25}
compare: {metric: valid_loss}
seeds: 2
baseline: {name: a, model: {name: mlp, hidden: [4]}, loss: mse, optimizer: {name: sgd, lr: 0.001}, epochs: 1}
variants:
  - {name: b, add: [flip, {rotate: 5}]}
"""

WARNED = "b: images are moved by flip, rotate, but targets are not: if targets are coordinates in the image, declare"


def test_undeclared_positions_are_reported_by_plan_run_and_table(ablate, tmp_path):
    points = drawn_points(8, 8, 3)
    np.savez(tmp_path / "points.npz", x=spots(points, 8, 8), y=points.reshape(COUNT, 6))
    (tmp_path / "r.yaml").write_text(RECIPE)
    plan = ablate("plan", "r.yaml")
    assert f"warning: {WARNED} them with 'keypoints'; if not, use 'keypoints: 0'." in " ".join(plan.err.split())
    assert json.loads(ablate("plan", "r.yaml", "--json").out)["rows"][1]["moves_away"] == ["flip", "rotate"]
    for command in (["run", "r.yaml", "--no-mlflow", "--jobs", "1"], ["table", "r.yaml"]):
        assert WARNED in " ".join(ablate(*command).out.split())
    for declared in (f"[{', '.join(NAMES)}]", "0"):
        (tmp_path / "r.yaml").write_text(RECIPE.replace("valid:", f"keypoints: {declared}, valid:"))
        assert "images are moved" not in ablate("plan", "r.yaml").err
