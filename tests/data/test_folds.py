"""Folds of data: who validates when, against scikit-learn's splitters called directly."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from ablate.data.load import load_parts
from ablate.data.split import Fold, fold_of
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Choice
from ablate.registry import lookup

CLASSES = torch.tensor([0] * 40 + [1] * 15 + [2] * 5)[torch.randperm(60, generator=torch.Generator().manual_seed(1))]
GROUPS = torch.arange(60) // 4
NUMBERS = torch.linspace(0, 1, 60)[:, None]


@pytest.mark.parametrize(
    ("targets", "groups", "stratified", "splitter"),
    [
        (CLASSES, None, None, StratifiedKFold),
        (CLASSES, None, True, StratifiedKFold),
        (CLASSES, None, False, KFold),
        (NUMBERS, None, None, KFold),
        (NUMBERS, GROUPS, None, GroupKFold),
        (CLASSES, GROUPS, False, GroupKFold),
        (CLASSES, GROUPS, None, StratifiedGroupKFold),
    ],
)
def test_folds_are_those_of_scikit_learn(targets, groups, stratified, splitter):
    expected = splitter(5, shuffle=True, random_state=7).split(np.zeros(60), targets.numpy().squeeze(), groups)
    validated = []
    for number, (train, valid) in enumerate(expected):
        found = fold_of(Fold(Folds(5, stratified), number), 7, targets, groups)
        assert [part.tolist() for part in found] == [train.tolist(), valid.tolist()]
        validated += found[1].tolist()
        if groups is not None:
            assert not set(groups[found[0]].tolist()) & set(groups[found[1]].tolist())
    assert sorted(validated) == list(range(60))


@pytest.mark.parametrize(
    ("folds", "targets", "groups", "text"),
    [
        (Folds(61), NUMBERS, None, "folds.k (=61) must be at most the number of samples (60)"),
        (Folds(16), NUMBERS, GROUPS, "folds.k (=16) must be at most the number of groups (15)"),
        (Folds(41), CLASSES, None, "folds.k (=41) must be at most the size of the largest class (40)"),
        (Folds(5, True), NUMBERS, None, "folds.stratified (=true) requires class targets. Remove it."),
    ],
)
def test_what_cannot_be_shared_out_is_said_in_a_line(folds, targets, groups, text):
    with pytest.raises(ValueError, match=text.replace("(", r"\(").replace(")", r"\)")):
        fold_of(Fold(folds, 0), 0, targets, groups)


def digits(**options):
    return Choice("data", "digits", None, lookup("data", "digits").settings.model_validate(options))


def test_the_test_part_stays_out_of_every_fold():
    choice = digits(test=0.1, split_seed=3)
    plain = load_parts(choice, None)
    folds = [load_parts(choice, None, Folds(4), number) for number in range(4)]
    assert plain.test is not None
    test = plain.test.rows.tolist()
    for number, parts in enumerate(folds):
        assert parts.test.rows.tolist() == test
        assert not set(test) & {*parts.train.rows.tolist(), *parts.valid.rows.tolist()}
        assert len(parts.train) + len(parts.valid) + len(test) == 1797
        assert parts.notes["fold"] == number
        share = torch.bincount(parts.valid.targets, minlength=10) / len(parts.valid)
        assert share.max() - share.min() < 0.03
    together = torch.cat([parts.valid.rows for parts in folds])
    assert len(together.unique()) == len(together) == 1797 - len(test)


OWN = """
import torch
from torch.utils.data import Dataset, TensorDataset

def part(n, first):
    x = torch.arange(first, first + n, dtype=torch.float32)[:, None]
    return TensorDataset(x, x.long()[:, 0] % 2)

def pair():
    return part(20, 0), part(10, 20)

def knowing(fold, folds):
    everything = torch.arange(30)
    valid = everything % folds == fold
    x = everything[:, None].float()
    return {"train": TensorDataset(x[~valid], x[~valid].long()[:, 0] % 2), "valid": TensorDataset(x[valid], x[valid].long()[:, 0] % 2)}

class Noisy(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return torch.rand(1), i % 2

def streamed():
    return Noisy(), Noisy()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_folds.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda name: Choice("data", None, f"own_folds:{name}", {}), tmp_path
    sys.modules.pop("own_folds", None)


def test_own_data_are_put_together_and_shared_out(own):
    choice, folder = own
    folds = [load_parts(choice("pair"), folder, Folds(3), number) for number in range(3)]
    assert sorted(torch.cat([parts.valid.inputs for parts in folds])[:, 0].tolist()) == list(range(30))
    for parts in folds:
        assert sorted(torch.cat([parts.train.inputs, parts.valid.inputs])[:, 0].tolist()) == list(range(30))
        assert torch.bincount(parts.valid.targets).tolist() == [5, 5]
        assert (parts.train.targets == parts.train.inputs[:, 0].long() % 2).all()


def test_a_function_that_takes_the_fold_shares_out_itself(own):
    choice, folder = own
    parts = load_parts(choice("knowing"), folder, Folds(3), 1)
    assert parts.valid.inputs[:, 0].tolist() == list(range(1, 30, 3))
    with pytest.raises(ValueError, match="cannot be called with the recipe's arguments"):
        load_parts(choice("knowing"), folder)


def test_what_is_streamed_cannot_be_shared_out(own):
    choice, folder = own
    with pytest.raises(ValueError, match=r"is streamed and cannot be split into folds\. Accept the arguments"):
        load_parts(choice("streamed"), folder, Folds(2), 0)
