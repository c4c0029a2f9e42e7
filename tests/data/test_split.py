from __future__ import annotations

from random import Random

import pytest
import torch
from sklearn.utils import shuffle

from ablate.data.split import split


def test_the_keypoint_studys_split_is_that_of_scikit_learns_shuffle():
    train, valid, test = split(2140, valid=0.2, test=0, seed=42)
    order = torch.from_numpy(shuffle(torch.arange(2140).numpy(), random_state=42))
    assert torch.equal(valid, order[:428])
    assert torch.equal(train, order[428:])
    assert len(train) == 1712
    assert len(test) == 0
    assert train.dtype == valid.dtype == test.dtype == torch.int64


def test_another_seed_gives_another_split_and_the_same_seed_the_same():
    _, first, _ = split(100, valid=0.2, test=0, seed=1)
    _, again, _ = split(100, valid=0.2, test=0, seed=1)
    _, other, _ = split(100, valid=0.2, test=0, seed=2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("seed", range(40))
def test_every_sample_is_in_one_part_and_every_group_too(seed: int):
    random = Random(seed)
    n, valid, test = random.randint(12, 200), random.uniform(0.1, 0.4), random.choice([0, 0.1, 0.3])
    groups = torch.arange(n)[torch.randperm(n)] % random.randint(3, 12) * 7
    for grouping in (None, groups):
        parts = split(n, valid=valid, test=test, seed=seed, groups=grouping)
        assert torch.equal(torch.cat(parts).sort().values, torch.arange(n))
        if grouping is None:
            assert len(parts[1]) == round(valid * n)
            assert len(parts[2]) == round(test * n)
        else:
            held = [set(groups[part].tolist()) for part in parts]
            assert sum(map(len, held)) == len(torch.unique(groups))


def test_the_share_is_measured_in_samples_not_in_groups():
    # one person with half of all pictures and a hundred with one each
    groups = torch.cat([torch.zeros(100, dtype=torch.long), torch.arange(1, 101)])
    for seed in range(20):
        _, valid, test = split(200, valid=0.2, test=0.1, seed=seed, groups=groups)
        assert len(valid) == 40
        assert len(test) == 20


def test_a_share_smaller_than_every_group_takes_the_smallest_group():
    groups = torch.tensor([0] * 50 + [1] * 30 + [2] * 40)
    _, valid, _ = split(120, valid=0.05, test=0, seed=0, groups=groups)
    assert set(groups[valid].tolist()) == {1}


@pytest.mark.parametrize(
    ("n", "valid", "test", "groups", "field"),
    [
        (3, 0.1, 0, None, "data.valid (=0.1) leaves no samples for validation (3 samples in total)"),
        (5, 0.4, 0.05, None, "data.test (=0.05) leaves no samples for testing (5 samples in total)"),
        (
            10,
            0.6,
            0.4,
            None,
            "data.valid (=0.6) + data.test (=0.4) leave no samples for training (10 samples in total)",
        ),
        (
            10,
            0.2,
            0,
            torch.zeros(10, dtype=torch.long),
            "leave no samples for training (1 group of 10 samples in total)",
        ),
    ],
)
def test_an_empty_part_is_an_error(n: int, valid: float, test: float, groups: torch.Tensor | None, field: str):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        split(n, valid=valid, test=test, seed=0, groups=groups)
    assert field in str(error.value)
    assert "\n" not in str(error.value)
