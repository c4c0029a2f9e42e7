"""A path that SQLite cannot open is an error of one line at once, without MLflow's attempts of two minutes."""

from __future__ import annotations

import sys

from ablate.tracking.address import resolve, trouble
from ablate.tracking.connection import Connection


def test_a_path_that_is_too_long_for_sqlite(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)  # never asked
    address = resolve(f"sqlite:///{tmp_path}/{'/'.join(['d' * 150] * 4)}/mlflow.db")
    try:
        Connection(address)
    except ValueError as error:
        line = trouble(error, address)
    assert "SQLite supports at most 470" in line
    assert len(line.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
