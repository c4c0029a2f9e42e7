from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.npz import Npz


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "arrays.npz", **arrays)
    return folder / "arrays.npz"


@pytest.mark.parametrize(
    ("x", "shape", "dtype"),
    [
        (np.zeros((20, 6, 5), np.uint8), (1, 6, 5), torch.uint8),
        (np.zeros((20, 3, 6, 5), np.uint8), (3, 6, 5), torch.uint8),
        (np.zeros((20, 7)), (7,), torch.float32),
        (np.zeros((20, 7), np.int32), (7,), torch.float32),
        (np.zeros(20), (1,), torch.float32),
    ],
)
def test_inputs_keep_bytes_and_get_a_channel(tmp_path: Path, x: Any, shape: tuple[int, ...], dtype: torch.dtype):
    parts = Npz(path=save(tmp_path, x=x, y=np.arange(20) % 3)).load()
    assert parts.spec.input_shape == parts.train.inputs.shape[1:] == shape
    assert parts.train.inputs.dtype == dtype
    assert (parts.spec.task, parts.spec.outputs) == ("classification", 3)
    assert (len(parts.train), len(parts.valid)) == (16, 4)


def test_targets_say_the_task_and_rows_stay_together(tmp_path: Path):
    x = np.arange(20.0)[:, None]
    path = save(
        tmp_path,
        inputs=x,
        numbers=x * 2,
        wide=np.hstack([x, x]),
        masks=np.ones((20, 2, 2), np.uint8),
        column=np.arange(20)[:, None] % 2,
    )
    numbers = Npz(path=path, targets="numbers").load()
    assert (numbers.spec.task, numbers.spec.outputs) == ("regression", 1)
    assert torch.equal(numbers.train.targets, numbers.train.inputs * 2)
    assert torch.equal(numbers.train.inputs[:, 0], numbers.train.rows.float())
    assert Npz(path=path, targets="wide").load().spec.outputs == 2
    masks = Npz(path=path, targets="masks").load()
    assert (masks.spec.task, masks.spec.outputs, masks.train.targets.dtype) == ("other", 2, torch.int64)
    assert Npz(path=path, targets="column").load().train.targets.dim() == 1


def test_groups_of_text_stay_together(tmp_path: Path):
    who = np.array([f"p{i // 4}" for i in range(20)])
    parts = Npz(path=save(tmp_path, x=np.zeros((20, 1)), y=np.zeros(20), who=who), group="who").load()
    assert len(set(who[parts.train.rows])) == 4
    assert len(set(who[parts.valid.rows])) == 1


@pytest.mark.parametrize(
    ("arrays", "settings", "message"),
    [
        ({"a": np.zeros(3)}, {}, "data.inputs must be one of the file's arrays (a), because none is called inputs, x"),
        (
            {"x": np.zeros(3), "yy": np.zeros(3)},
            {"targets": "y"},
            "data.targets (=y) is not in the file, which has x, yy. Did you mean 'yy'?",
        ),
        ({"x": np.zeros((0, 3)), "y": np.zeros(0)}, {}, "has inputs of shape (0, 3). They must be"),
        ({"x": np.zeros(3), "y": np.zeros(4)}, {}, "data.targets has 4 samples, but the inputs have 3"),
        (
            {"x": np.array([0, np.nan, 0]), "y": np.zeros(3)},
            {},
            "data.inputs has a missing or infinite number in sample 1",
        ),
        ({"x": np.zeros(3), "y": np.array([-1, 0, 0])}, {}, "data.targets has the class index -1"),
        (
            {"x": np.zeros(3), "y": np.zeros(3, int)},
            {},
            "data.targets (=0 for all samples) must contain at least two classes",
        ),
        ({"x": np.zeros((3, 4, 4)), "y": np.zeros((3, 4, 4), int)}, {}, "must contain at least two classes"),
        ({"x": np.zeros(3), "y": np.array(["a"] * 3)}, {}, "data.targets (=y) is <U1 (3,). It must be numeric"),
        ({"x": np.zeros(3), "y": np.array([{}] * 3)}, {}, "cannot be read as .npz"),
        ({"x": np.zeros(9), "y": np.zeros(9)}, {"group": "who"}, "data.group (=who) is not in the file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, arrays: dict[str, Any], settings: dict[str, Any], message: str):
    path = save(tmp_path, **arrays)
    with pytest.raises(ValueError, match="data") as error:
        Npz(path=path, **settings).load()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_of_another_kind(tmp_path: Path):
    (tmp_path / "arrays.npz").write_text("x,y\n")
    with pytest.raises(ValueError, match=r"cannot be read as \.npz: it is not a zip archive\.$"):
        Npz(path=tmp_path / "arrays.npz").load()
