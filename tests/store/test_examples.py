"""The file of single samples: what is written is read again, and a file that is damaged or a stranger's counts as missing."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from ablate.data.examples import MOST, Examples
from ablate.store.disk import StoreWarning
from ablate.store.examples import MOST_ARRAYS, NAME, from_bytes, load, save
from ablate.store.store import Store

WHOLE = Examples(
    np.array([9, 2, 5]),
    {"valid_loss": np.array([0.5, 1.5, 2.5], np.float32), "a/b: c": np.array([1.0, 0, 1])},
    {"valid_loss": np.array([1, 2, 0], np.float32)},
    np.array([0, 0, 1]),
)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def archive(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, contents in members:
            made.writestr(name, contents)
    return buffer.getvalue()


def header(shape, descr="<i8"):
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_what_is_written_is_read(store):
    save(store, "a", WHOLE)
    found = load(store, "a")
    np.testing.assert_array_equal(found.ids, WHOLE.ids)
    np.testing.assert_array_equal(found.groups, WHOLE.groups)
    for mine, theirs in ((found.values, WHOLE.values), (found.weights, WHOLE.weights)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_the_same_values_are_the_same_bytes_in_a_quarter_of_the_size(store):
    hits = np.arange(10_000) % 7 > 0
    for name in ("a", "b"):
        save(store, name, Examples(np.arange(10_000), {"accuracy": hits.astype(np.float32)}))
    one, two = (store.disk.read(store.run_folder(name) / NAME) for name in ("a", "b"))
    assert one == two
    assert len(one) < 10_000 * (8 + 4) / 4


def test_a_run_without_the_file_has_none(store):
    assert load(store, "a") is None


IDS, LOSS = np.arange(3), np.ones(3)

WRONG = {
    "empty": b"",
    "text": b"no archive",
    "a pickle": pickle.dumps({"ids": [1]}),
    "no ids": npz(**{"value/x": LOSS}),
    "equal ids": npz(ids=np.zeros(3, np.int64)),
    "ids that are no integers": npz(ids=LOSS),
    "groups that are no integers": npz(ids=IDS, groups=LOSS),
    "other lengths": npz(ids=IDS, **{"value/x": np.ones(4)}),
    "groups of another length": npz(ids=IDS, groups=np.arange(4)),
    "two axes": npz(ids=IDS, **{"value/x": np.ones((3, 1))}),
    "objects": npz(ids=IDS, **{"value/x": np.array([None, 1, 2])}),
    "not finite": npz(ids=IDS, **{"value/x": np.array([np.nan, 1, 2])}),
    "integers as values": npz(ids=IDS, **{"value/x": IDS}),
    "a negative weight": npz(ids=IDS, **{"value/x": LOSS, "weight/x": -LOSS}),
    "cut off": npz(ids=np.arange(1000))[:-40],
    "a huge shape": archive(("ids.npy", header((2**60,)))),
    "more than there is": archive(("ids.npy", header((MOST,)))),
    "too many samples": archive(("ids.npy", header((MOST + 1,)) + bytes(8 * (MOST + 1)))),
    "a negative shape": archive(("ids.npy", header((-1,)))),
    "no array": archive(("ids.npy", b"\x00" * 100)),
    "many members": archive(*((f"{i}.npy", header((1,)) + bytes(8)) for i in range(MOST_ARRAYS + 1))),
}


@pytest.mark.parametrize("contents", WRONG.values(), ids=WRONG.keys())
def test_a_damaged_or_hostile_file_is_one_line_and_counts_as_missing(store, contents):
    with pytest.raises(ValueError, match=r"\S") as raised:
        from_bytes(contents)
    assert "\n" not in str(raised.value)
    store.disk.replace(store.run_folder("a") / NAME, contents)
    with pytest.warns(StoreWarning, match="is damaged .* and counts as missing"):
        assert load(store, "a") is None


def test_arrays_of_later_versions_are_left_out():
    found = from_bytes(npz(ids=IDS, later=LOSS, **{"value/x": LOSS}))
    assert found.values.keys() == {"x"}
