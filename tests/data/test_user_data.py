from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.data import samples as samples_module
from ablate.data.dataset import Parts
from ablate.data.load import load_parts
from ablate.recipe.settings import Choice

MODULE = '''
import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

class Squares(Dataset):
    """Inputs of three numbers, targets a single float, a class number or a picture."""
    def __init__(self, n, kind="class", noise=False, ragged=False):
        self.n, self.kind, self.noise, self.ragged = n, kind, noise, ragged
    def __len__(self):
        return self.n
    def __getitem__(self, i):
        x = np.full(3 if not (self.ragged and i == 2) else 4, i, dtype=np.float32)
        if self.noise:
            x = x + np.random.rand()
        return x, {"class": i % 4, "float": i / 2, "negative": -1, "mask": torch.eye(2, dtype=torch.long), "one": 0}[self.kind]

class Three(Squares):
    def __getitem__(self, i):
        return 1, 2, 3

class Pictures(Squares):
    def __getitem__(self, i):
        return object(), 1

class Stream(IterableDataset):
    def __iter__(self):
        return iter(())

def squares(n=20, **options):
    return Squares(n, **options), Squares(8, **options)

def tensors(n=10):
    return TensorDataset(torch.zeros(n, 2), torch.zeros(n)), (np.zeros((4, 2), np.float32), np.zeros(4, np.float32))

def as_dict(**extra):
    return {"train": Squares(20), "valid": Squares(8), "test": Squares(4), **extra}

def value(what):
    train = Squares(8)
    return {
        "none": None,
        "one": train,
        "three": (train, train, train),
        "odd": {"train": train, "valid": train, "extra": 1},
        "short": {"train": train},
        "stream": (Stream(), train),
        "number": (3, train),
        "empty": (train, Squares(0)),
        "lengths": ((np.zeros((3, 2)), np.zeros(4)), train),
        "triple": (Three(4), Three(4)),
        "object": (Pictures(4), Pictures(4)),
        "shapes": ((np.zeros((3, 2)), np.zeros(3, int)), (np.zeros((3, 5)), np.zeros(3, int))),
        "kinds": ((np.zeros((3, 2)), np.zeros(3, int)), (np.zeros((3, 2)), np.zeros(3))),
        "text": ((np.array(["a", "b"]), np.zeros(2)), train),
    }[what]

constant = 3
'''


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "their_data.py").write_text(textwrap.dedent(MODULE))
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    sys.modules.pop("their_data", None)


def load(folder: Path, function: str, **options: Any) -> Parts:
    return load_parts(Choice("data", None, f"their_data:{function}", options), folder)


def test_a_dataset_that_repeats_itself_is_read_into_tensors(folder: Path):
    parts = load(folder, "squares", n=30)
    assert parts.train.inputs is not None
    assert parts.train.inputs.tolist() == [[i] * 3 for i in range(30)]
    assert parts.train.targets is not None
    assert parts.train.targets.tolist() == [i % 4 for i in range(30)]
    assert (parts.spec.input_shape, parts.spec.outputs, parts.spec.task) == ((3,), 4, "classification")
    assert parts.spec.classes == ("0", "1", "2", "3")
    assert parts.notes == {"train": 30, "valid": 8}


def test_a_dataset_with_noise_in_it_stays_a_dataset(folder: Path):
    parts = load(folder, "squares", noise=True)
    assert parts.train.inputs is None
    assert len(parts.train) == 20
    assert parts.spec.outputs == 4
    assert parts.notes["streamed"] == ["train", "valid"]


def test_a_dataset_that_does_not_fit_stays_a_dataset(folder: Path, monkeypatch: pytest.MonkeyPatch):
    # a sample has 20 bytes; half of 300 hold seven of them
    monkeypatch.setattr(samples_module, "free_bytes", lambda device: 400)
    parts = load(folder, "squares")
    assert parts.train.inputs is None
    assert parts.valid.inputs is not None


def test_floats_are_regression_with_a_column(folder: Path):
    parts = load(folder, "squares", kind="float")
    assert (parts.spec.task, parts.spec.outputs) == ("regression", 1)
    assert parts.train.targets is not None
    assert parts.train.targets.shape == (20, 1)
    assert parts.train.targets.dtype == torch.float32
    from_tensors = load(folder, "tensors")
    assert from_tensors.train.targets is not None
    assert from_tensors.train.targets.shape == (10, 1)
    assert len(from_tensors.valid) == 4


def test_masks_are_neither(folder: Path):
    spec = load(folder, "squares", kind="mask").spec
    assert (spec.task, spec.outputs) == ("other", 2)


def test_a_dict_may_say_more(folder: Path):
    parts = load(folder, "as_dict", classes=["a", "b", "c", "d"])
    assert parts.test is not None
    assert len(parts.test) == 4
    assert parts.spec.classes == ("a", "b", "c", "d")
    assert load(folder, "as_dict", outputs=9).spec.outputs == 9


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("value", {"what": "none"}, "returned a NoneType. It must return (train, valid), or a dict with"),
        ("value", {"what": "one"}, "returned a Squares. It must return (train, valid)"),
        ("value", {"what": "three"}, "returned a tuple of 3. It must return (train, valid)"),
        ("value", {"what": "odd"}, "returned a dict with 'extra'. It must"),
        ("value", {"what": "short"}, "returned a dict without 'valid'. It must"),
        ("value", {"what": "stream"}, ": train is an IterableDataset, so the length of an epoch is unknown"),
        ("value", {"what": "number"}, ": train is an int. It must be a map-style Dataset"),
        ("value", {"what": "empty"}, ": valid is empty."),
        ("value", {"what": "lengths"}, ": train has inputs (3, 2) and targets (4,)"),
        ("value", {"what": "triple"}, ": train sample 0 is a tuple of int, int and int. It must be (input, target)"),
        ("value", {"what": "object"}, ": train sample 0 has an object as input"),
        ("value", {"what": "shapes"}, ": valid has inputs of shape (5,), but train has (2,)"),
        ("value", {"what": "kinds"}, ": valid and train must have targets of the same shape and type"),
        ("value", {"what": "text"}, ": train inputs has an array of dtype <U1 as input. It must be numeric"),
        (
            "value",
            {"waht": "one"},
            "cannot be called with the recipe's arguments: missing a required argument: 'what'.",
        ),
        ("squares", {"kind": "negative"}, "has the class index -1. Class indices must start at 0; use -100"),
        ("squares", {"kind": "one"}, "has the class index 0 for all samples, but must have at least two classes"),
        ("squares", {"ragged": True}, ": train has float32 (4,) as input of sample 2, but float32 (3,) of sample 0"),
        ("as_dict", {"outputs": 3}, "has the class index 3 among its targets. With outputs 3, the largest is 2"),
        ("as_dict", {"outputs": "3"}, "outputs (=3) must be an integer of at least 1"),
        ("as_dict", {"outputs": 4, "classes": ["a"]}, "outputs (=4) must be the number of classes (1)"),
        ("constant", {}, "must be a function that returns (train, valid)"),
        ("nothing", {}, "has no attribute 'nothing'"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(folder: Path, function: str, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match="data") as error:
        load(folder, function, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"data.target (=their_data:{function})")


def test_an_error_inside_the_users_code_is_theirs(folder: Path):
    with pytest.raises(KeyError, match="unheard"):
        load(folder, "value", what="unheard")


def test_data_without_seeds_of_their_own_are_the_same_every_time(tmp_path):
    """A user's random_split, NumPy draw or shuffle gives one and the same data, and global generators are left as they
    were.
    """
    import random

    import numpy as np

    from ablate.data.load import load_parts
    from ablate.recipe.settings import Choice

    (tmp_path / "unseeded.py").write_text(
        """
import random
import numpy as np
import torch
from torch.utils.data import TensorDataset

def load():
    rows = list(range(20))
    random.shuffle(rows)
    x = torch.tensor(rows).float()[:, None] + torch.rand(20, 1) + float(np.random.rand())
    return TensorDataset(x[:15], x[:15]), TensorDataset(x[15:], x[15:])
"""
    )
    choice = Choice("data", None, "unseeded:load", {})
    first = load_parts(choice, tmp_path)
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    again = load_parts(choice, tmp_path)
    assert torch.equal(first.train.inputs, again.train.inputs)
    assert torch.equal(first.valid.inputs, again.valid.inputs)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
