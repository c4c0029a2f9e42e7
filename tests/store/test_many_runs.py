"""Reading the runs of a study takes work in proportion to their number, and no more than it must."""

from __future__ import annotations

import json
import os
import sys

import pytest

from ablate.planning.cleaning import clean
from ablate.store.disk import StoreWarning
from ablate.store.provenance import Origin
from ablate.store.records import RunRecord
from ablate.store.store import Store

NAMES = [f"{number:020x}" for number in range(50)]


@pytest.fixture
def store(tmp_path):
    for seed, name in enumerate(NAMES[:40]):
        folder = tmp_path / "runs" / "store" / name
        folder.mkdir(parents=True)
        (folder / "status.json").write_text(json.dumps({"status": "finished", "seed": seed}))
    return Store(tmp_path / "runs")


def test_each_status_is_opened_once(store, monkeypatch):
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *flags, **where: opened.append(path) or real(path, *flags, **where))
    records = store.records([(name, seed, 9, None) for seed, name in enumerate(NAMES)])
    assert [record.status for record in records] == ["finished"] * 40 + ["queued"] * 10
    assert [record.seed for record in records] == list(range(50))
    assert opened.count("status.json") == 40
    assert len(opened) == 2 + 2 * 40 + 10  # the root, the folder of all runs, two of each run, one of a missing one


def test_studies_are_opened_no_oftener_where_many_runs_are_removed(store):
    identity = "x" * 20
    for study, runs in {"one": NAMES[:2], "two": NAMES[1:3], "three": NAMES[3:5]}.items():
        (store.root / study).mkdir()
        row = {"variant": study, "identity": identity, "runs": {str(seed): name for seed, name in enumerate(runs)}}
        (store.root / study / "study.json").write_text(json.dumps({"study": study, "rows": [row]}))
    opened = []
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)  # stays for ever
    counts = []
    for removed in ({*NAMES[5:40]}, set()):
        opened.clear()
        assert {one.run for one in clean(store)} == removed
        counts.append(sum(os.path.basename(path) == "study.json" for path in opened))
    assert counts[0] == counts[1] > 0


def test_what_is_no_status_of_its_own_is_said(store, tmp_path):
    (outside := tmp_path / "outside").mkdir()
    (outside / "status.json").write_text('{"status": "finished"}')
    folder = tmp_path / "runs" / "store"
    (folder / NAMES[40]).symlink_to(outside)
    (folder / NAMES[1] / "status.json").unlink()
    (folder / NAMES[1] / "status.json").symlink_to(outside / "status.json")
    (folder / NAMES[2] / "status.json").write_text("{")
    (folder / NAMES[3] / "status.json").unlink()
    os.mkfifo(folder / NAMES[3] / "status.json")
    with pytest.warns(StoreWarning) as said:
        records = store.records([(name, 7, 9, None) for name in [*NAMES[1:4], NAMES[40]]])
    assert records == [RunRecord(name, 7, epochs=9) for name in [*NAMES[1:4], NAMES[40]]]
    assert [str(one.message).split("(=")[0] for one in said] == [
        "symbolic link ",
        "file ",
        "special file ",
        "symbolic link ",
    ]
    with pytest.raises(ValueError, match="must be in the folder of runs"):
        store.record("../outside")


def test_runs_of_one_origin_share_it(store, tmp_path):
    origin = {"torch": "2.13.0", "device": "cpu", "train": 842}
    for name in NAMES[:2]:
        (tmp_path / "runs" / "store" / name / "status.json").write_text(json.dumps({"origin": origin}))
    first, second, other = (store.record(name).origin for name in NAMES[:3])
    assert first is second
    assert first == Origin(torch="2.13.0", device="cpu", train=842)
    assert other is None


def test_sizes_follow_no_link(store, tmp_path):
    (outside := tmp_path / "outside").mkdir()
    (outside / "large").write_bytes(bytes(5000))
    folder = tmp_path / "runs" / "store" / NAMES[0]
    (folder / "work" / "deep").mkdir(parents=True)
    (folder / "work" / "deep" / "file").write_bytes(bytes(100))
    size = len((folder / "status.json").read_bytes())
    (folder / "link").symlink_to(outside)
    (folder.parent / "link").symlink_to(outside)
    (folder.parent / "file").write_bytes(bytes(7))
    link = len(str(outside))
    assert list(store.disk.size_each(folder.parent, [NAMES[0], "link", "file", "missing"])) == [
        ("folder", size + 100 + link),
        ("symbolic link", link),
        ("file", 7),
        (None, 0),
    ]
    assert list(store.disk.size_each(folder / "missing", ["file"])) == [(None, 0)]
