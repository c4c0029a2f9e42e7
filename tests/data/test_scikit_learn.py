from __future__ import annotations

import pytest
import torch
from sklearn import datasets

from ablate.data.scikit_learn import BreastCancer, Diabetes, Wine


@pytest.mark.parametrize("data", [Wine, BreastCancer, Diabetes])
def test_a_table_is_scikit_learns_in_its_own_units(data):
    how = {"scaled": False} if data is Diabetes else {}
    source = getattr(datasets, f"load_{data.source}")(**how)
    parts = data(test=0.1).load()
    assert len(parts.train) + len(parts.valid) + len(parts.test) == len(source.data)
    for part in (parts.train, parts.valid, parts.test):
        rows = part.rows.numpy()
        assert torch.equal(part.inputs, torch.from_numpy(source.data[rows]).float())
        assert torch.equal(part.targets.double().flatten(), torch.from_numpy(source.target[rows]).double())
    spec = data().spec()
    assert parts.spec == spec
    assert spec.input_shape == source.data.shape[1:]
    if data is Diabetes:
        assert (spec.task, spec.outputs, parts.train.targets.shape[1:]) == ("regression", 1, (1,))
        assert parts.train.targets.max() > 300
    else:
        assert spec.classes == tuple(source.target_names)
        assert parts.train.targets.dtype == torch.int64


def test_a_limit_draws_among_all_rows_and_more_keep_those_of_fewer():
    def rows(limit):
        parts = Wine(limit=limit).load()
        return set(torch.cat([parts.train.rows, parts.valid.rows]).tolist()), parts

    few, parts = rows(30)
    many, _ = rows(60)
    assert (len(few), len(many), parts.notes["samples"]) == (30, 60, 30)
    assert few < many
    # the table is sorted by class: its first 30 rows would be of one
    assert len(set(parts.train.targets.tolist())) == 3
    assert len(rows(1000)[0]) == 178
    other = Wine(limit=30, split_seed=1).load()
    assert set(torch.cat([other.train.rows, other.valid.rows]).tolist()) != few
