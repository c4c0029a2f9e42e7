"""Files of new inputs that cannot be used: one line each, which names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablate.data.new_inputs import read_inputs
from ablate.data.npz import Npz
from ablate.data.table import Table
from ablate.recipe.settings import Choice


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text("a,b,y\n1,2,3\n4,5,6\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("none.csv", None, "--data (=none.csv) does not exist. Use a .csv or .npz file of inputs."),
        ("empty.csv", b"", "--data (=empty.csv) cannot be read as CSV: No columns to parse from file."),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", "--data (=ragged.csv) cannot be read as CSV: "),
        (
            "text.csv",
            b"a,b\n1,2\n3,four\n",
            "--data (=text.csv) has 'four' in column 'b', row 2. Inputs must be numbers.",
        ),
        (
            "hole.csv",
            b"a,b\n1,2\n3,\n",
            "--data (=hole.csv) has an empty or infinite value in row 2, column 'b'. Inputs",
        ),
        ("narrow.csv", b"a\n1\n", "--data (=narrow.csv) has no column 'b', which the network requires."),
        ("junk.npz", b"junk", "--data (=junk.npz) cannot be read as .npz: it is not a zip archive."),
        ("faces.png", b"", "--data (=faces.png) must end in .csv or .npz."),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(folder: Path, name: str, contents: bytes | None, message: str):
    if contents is not None:
        Path(name).write_bytes(contents)
    data = Choice("data", "csv", None, Table(path=folder / "train.csv", target="y"))
    with pytest.raises(ValueError, match="--data") as error:
        read_inputs(data, folder / name)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_folder_and_a_broken_archive_are_told(folder: Path):
    data = Choice("data", "npz", None, Npz(path=folder / "x.npz"))
    Path("x.npz").mkdir()
    with pytest.raises(ValueError, match=r"^--data \(=x\.npz\) is a folder\. Use a"):
        read_inputs(data, folder / "x.npz")
    np.savez("whole.npz", x=np.arange(4000.0).reshape(1000, 4))
    Path("torn.npz").write_bytes(Path("whole.npz").read_bytes().replace(b"\x00\x00\x00\x00\x00\x00\xf0?", b"broken!!"))
    with pytest.raises(ValueError, match=r"^--data \(=torn\.npz\) cannot be read as \.npz: [^\n]*$"):
        read_inputs(data, folder / "torn.npz")


def test_listed_columns_need_no_training_data(folder: Path):
    Path("more.csv").write_text("b,who,a\n2,x,1\n5,y,4\n")
    data = Choice("data", "csv", None, Table(path=folder / "gone.csv", target="y", inputs=("b", "a")))
    assert read_inputs(data, folder / "more.csv")[0].inputs.tolist() == [[2, 1], [5, 4]]


def test_columns_go_by_name(folder: Path):
    Path("more.csv").write_text("b,who,a\n2,x,1\n5,y,4\n")
    data = Choice("data", "csv", None, Table(path=folder / "train.csv", target="y"))
    part, ids = read_inputs(data, folder / "more.csv")
    assert part.inputs is not None
    assert (part.inputs.tolist(), ids) == ([[1, 2], [4, 5]], None)
