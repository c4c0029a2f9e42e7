"""Arrays and custom data as people have them: taken rightly, or refused by one line with what was found and the fix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.classes import check_shape
from ablate.data.dataset import Parts, Spec, check_channels_first
from ablate.data.load import load_parts
from ablate.data.npz import Npz
from ablate.models.convnet import Convnet
from ablate.recipe.settings import Choice
from ablate.registry import entries, lookup

N = 40
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(N, 5))
Y = np.arange(N) % 3
NUMBERS = DRAW.normal(size=(N, 2))
MASKS = DRAW.integers(0, 3, (N, 6, 6))


def with_value(values: np.ndarray, place: Any, value: float) -> np.ndarray:
    changed = values.copy()
    changed[place] = value
    return changed


def load(source: str, folder: Path, x: np.ndarray, y: np.ndarray, **returned: Any) -> Parts:
    """The same arrays from a file, as tensors of custom data, or as its dataset; three quarters are for training."""
    np.savez(folder / "arrays.npz", x=x, y=y)
    if source == "npz":
        return load_parts(Choice("data", "npz", None, Npz(path=folder / "arrays.npz", valid=0.25)), folder)
    (folder / "odd.py").write_text(
        "import numpy as np\n"
        f"arrays = np.load({str(folder / 'arrays.npz')!r})\n"
        "x, y = arrays['x'], arrays['y']\n"
        f"def arrays(): return {{'train': (x[:30], y[:30]), 'valid': (x[30:], y[30:]), **{returned!r}}}\n"
        "class Own(list): pass\n"
        f"def dataset(): return {{'train': Own(zip(x[:30], y[:30])), 'valid': Own(zip(x[30:], y[30:])), **{returned!r}}}\n"
    )
    return load_parts(Choice("data", None, f"odd:{source}", {}), folder)


@pytest.fixture(autouse=True)
def _own_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd", raising=False)


def refused(*arguments: Any, **returned: Any) -> str:
    with pytest.raises(ValueError, match="data") as error:
        load(*arguments, **returned)
    assert "\n" not in str(error.value)
    return str(error.value)


every_source = pytest.mark.parametrize("source", ["npz", "arrays", "dataset"])


@every_source
@pytest.mark.parametrize(
    ("y", "found"),
    [
        (with_value(NUMBERS, (3, 1), np.inf), "infinite"),
        (with_value(NUMBERS, (3, 1), -np.inf), "infinite"),
        (np.full((N, 1), np.nan), "all are missing (NaN)"),
        (with_value(NUMBERS, slice(30, None), np.nan), "all are missing (NaN)"),
        (with_value(Y, 3, -1), "class index -1. Class indices must start at 0"),
        (Y + 1, "class indices 1 to 3. They must start at 0: subtract 1."),
        ((MASKS > 1) * 255, "has only 2 different class indices (0, 255), but the largest is 255. Number the classes"),
        (
            with_value(MASKS, (slice(None), 0), 255),
            "(0, 1, 2, 255), but the largest is 255. Number the classes from 0; use -100",
        ),
        (DRAW.integers(0, 151, (N, 30, 30)) % 150 + 105 * (DRAW.random((N, 30, 30)) < 0.01) * 1, None),
    ],
)
def test_targets_on_which_training_would_diverge_or_learn_nonsense(source, y, found, tmp_path):
    if found is None:
        y = np.where(DRAW.random(y.shape) < 0.1, 255, y % 150)
        found = "but the largest is 255. Number the classes from 0; use -100 where there is no class."
    if source == "npz" and "missing" in found and np.isfinite(y).any():
        # a file is split at random: leave no sample of the validation set
        kept = Npz(path=tmp_path / "arrays.npz", valid=0.25)
        np.savez(tmp_path / "arrays.npz", x=X, y=NUMBERS)
        y = with_value(NUMBERS, kept.load().valid.rows.numpy(), np.nan)
    assert found in refused(source, tmp_path, X, y)


@every_source
def test_classes_that_are_taken(source, tmp_path):
    assert load(source, tmp_path, X, Y).spec.classes == ("0", "1", "2")
    sys.modules.pop("odd", None)
    ignored = load(source, tmp_path, X, with_value(MASKS, (slice(None), 0), -100))
    assert (ignored.spec.outputs, int(ignored.train.targets.min())) == (3, -100)
    sys.modules.pop("odd", None)
    assert load(source, tmp_path, X, Y * 2).spec.outputs == 5, "a class may be missing"
    if source != "npz":
        sys.modules.pop("odd", None)
        assert load(source, tmp_path, X, Y + 1, outputs=9).spec.outputs == 9, "nine classes are declared"


@pytest.mark.parametrize("loss", [entry.name for entry in entries("loss") if not entry.settings.any_targets])
def test_ignored_pixels_count_nowhere_in_losses_that_take_masks(loss):
    chosen = lookup("loss", loss).settings(**({"tasks": [{"outputs": 3}]} if loss == "multi_task" else {}))
    prediction = torch.tensor(DRAW.normal(size=(4, 3, 6, 6)))
    masks = torch.tensor(MASKS[:4])
    ignored = masks.clone()
    ignored[:, 0] = -100
    if chosen.task == "regression" or loss in ("mse", "l1", "smooth_l1", "huber", "poisson", "quantile", "log_cosh"):
        return
    other = prediction.clone()
    other[:, 0, 0] += 7
    torch.testing.assert_close(chosen(prediction, ignored), chosen(other, ignored))
    assert not torch.allclose(chosen(prediction, masks), chosen(other, masks)), "the test would not see it"


@pytest.mark.parametrize(
    ("x", "y", "found"),
    [
        (
            with_value(X, (4, 2), 1e300),
            Y,
            "data.inputs has a number too large for float32 (1e+300) in sample 4. Replace it",
        ),
        (with_value(X, (4, 2), np.inf), Y, "data.inputs has a missing or infinite number in sample 4."),
        (with_value(X, (4, 2), np.nan), Y, "data.inputs has a missing or infinite number in sample 4."),
        (
            X,
            with_value(NUMBERS, (5, 0), -1e300),
            "data.targets has a number too large for float32 (-1e+300) in sample 5.",
        ),
    ],
)
def test_numbers_too_large_for_float32_are_not_called_infinite(x, y, found, tmp_path):
    assert found in refused("npz", tmp_path, x, y)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (np.eye(3, dtype=np.int64)[Y], "are one-hot rows of shape (40, 3). Use targets.argmax(1)."),
        (Y[:, None], "are integers of shape (40, 1). Remove their second axis: targets[:, 0]."),
        (Y, None),
        (np.stack([Y, Y], 1), None),
        (MASKS, None),
        (NUMBERS, None),
    ],
)
def test_shapes_of_class_indices(targets, message):
    if message is None:
        check_shape(torch.tensor(targets), "cross_entropy")
        return
    with pytest.raises(ValueError, match="loss") as error:
        check_shape(torch.tensor(targets), "cross_entropy")
    assert str(error.value) == f"loss (=cross_entropy) requires class indices of shape (N,), but the targets {message}"


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((8, 8, 3), True),
        ((28, 28, 1), True),
        ((480, 640, 3), True),
        ((3, 8, 8), False),
        ((1, 28, 28), False),
        ((3, 3, 3), False),
        ((16, 100, 1), False),
        ((8, 20, 3), False),
        ((64,), False),
        ((1, 8, 8, 3), False),
    ],
)
def test_images_with_channels_last(shape, last):
    if not last:
        check_channels_first(shape, "model (=convnet)")
        return
    message = r"requires images \(C, H, W\), but samples of shape .* look like \(H, W, C\)\. Move the"
    with pytest.raises(ValueError, match=message):
        Convnet(channels=(4,)).check_shape(shape, 3)
    with pytest.raises(ValueError, match=message):
        lookup("trick", "flip").settings().check(Spec(shape, 3, "classification", ("a", "b", "c")))


RECIPE = """
data: {target: "odd:arrays"}
compare: {metric: valid_loss}
baseline: {name: a, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.01}, epochs: 1}
"""


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((X * 10).astype(np.int64), Y, "model (=mlp) requires floating-point inputs, but the inputs are torch.int64."),
        (
            X,
            np.eye(3, dtype=np.int64)[Y],
            "loss (=cross_entropy) requires class indices of shape (N,), but the targets are one-hot",
        ),
        (X, Y[:, None], "but the targets are integers of shape (30, 1). Remove"),
    ],
)
def test_a_run_says_it_in_one_line(x, y, message, ablate, tmp_path):
    load("arrays", tmp_path, x, y)
    (tmp_path / "r.yaml").write_text(RECIPE)
    done = ablate("run", "r.yaml", "--jobs", "1", "--format", "json")
    assert done.code == 1
    assert message in done.err
