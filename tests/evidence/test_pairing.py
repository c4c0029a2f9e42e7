from __future__ import annotations

import json

import numpy as np
import pytest

from ablate.evidence.gather import gather
from ablate.report.formats import render


def table_of(make_study, make_run, values, parents):
    runs = {name: [make_run(seed, value) for seed, value in enumerate(each)] for name, each in values.items()}
    return gather(make_study({name: (parents[name], runs[name]) for name in values}))


def test_the_factor_against_variances_written_out(make_study, make_run):
    draw = np.random.default_rng(3)
    shared = 0.1 * draw.standard_normal(6)
    values = {name: list(1 + shared + 0.02 * draw.standard_normal(6)) for name in "abc"}
    values["c"] = values["c"][:4]
    parents = {"a": None, "b": "a", "c": "b"}
    apart = 5 * (np.var(values["a"], ddof=1) + np.var(values["b"], ddof=1))
    apart += 3 * (np.var(values["b"][:4], ddof=1) + np.var(values["c"], ddof=1))
    paired = 5 * np.var(np.subtract(values["b"], values["a"]), ddof=1)
    paired += 3 * np.var(np.subtract(values["c"], values["b"][:4]), ddof=1)
    table = table_of(make_study, make_run, values, parents)
    assert table.family.pairing == pytest.approx(apart / paired, rel=1e-9)
    assert table.family.pairing > 5
    assert json.loads(render(table, "json"))["pairing"] == table.family.pairing


def test_no_factor_without_differences_that_vary(make_study, make_run):
    parents = {"a": None, "b": "a"}
    for own in ([1.0], [1.0, 1.5, 1.25]):
        table = table_of(make_study, make_run, {"a": own, "b": [value + 1 for value in own]}, parents)
        assert table.family.pairing is None
        assert json.loads(render(table, "json"))["pairing"] is None
