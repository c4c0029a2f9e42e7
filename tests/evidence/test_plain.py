"""What ``print(table)`` shows."""

from __future__ import annotations

from dataclasses import replace

from ablate.evidence.gather import gather


def test_a_printed_table_has_a_short_line_for_each_row(make_study):
    parent, child = [0.5, 0.512, 0.49, 0.503], [0.4, 0.413, 0.389, 0.402]
    table = gather(make_study({"net1": (None, parent), "net2 " + "x" * 50: ("net1", child)}))
    lines = str(table).splitlines()
    assert lines[0] == "faces: valid_loss, lower is better"
    assert lines[1].split() == [
        "variant",
        "from",
        "valid_loss",
        "sd",
        "seeds",
        "delta_parent",
        "95%",
        "CI",
        "verdict",
        "status",
    ]
    assert lines[3].split() == ["net1", "0.5012", "0.0091", "4", "finished"]
    assert lines[4].startswith("net2 xxxx")
    assert lines[4].split()[1].endswith("…")
    assert [word for word in ("net1", "-0.1", "helps", "finished") if word not in lines[4]] == []
    assert max(map(len, lines)) < 140


def test_a_table_without_results_or_rows_prints(make_study):
    table = gather(make_study({"net1": (None, [None, None])}))
    assert str(table).splitlines()[1].split() == ["variant", "seeds", "status"]
    assert str(replace(table, rows=())).startswith("faces: valid_loss")
