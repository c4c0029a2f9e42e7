"""CSV files as they are found: each is read right, or refused in one line that names the file and the cell."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.csv_file import WrongCsv, numbers, read_csv, read_csv_chunks
from ablate.data.faces import Faces
from ablate.data.kaggle_csv import read_kaggle, read_kaggle_test
from ablate.data.kaggle_submission import submission
from ablate.data.load import load_parts
from ablate.data.new_inputs import read_inputs
from ablate.data.npz import Npz
from ablate.data.table import Table
from ablate.engine.data_checks import data_notes
from ablate.recipe import Recipe
from ablate.recipe.settings import Choice
from ablate.report.notes import sentence

A, B, Y = [0.5, 1.5, 2.5, 3.5], [1, 0, 1, 0], [7.25, 8, 9.5, 10]
PLAIN = "a,b,y\n0.5,1,7.25\n1.5,0,8\n2.5,1,9.5\n3.5,0,10\n"

SAME = {
    "plain": PLAIN,
    "a comma at the end of each row": PLAIN.replace("\n", ",\n").replace("y,", "y"),
    "a comma at the end of each line": PLAIN.replace("\n", ",\n"),
    "a comma at the end of the first row": PLAIN.replace("7.25", "7.25,"),
    "a byte-order mark": "\ufeff" + PLAIN,
    "a byte-order mark and quotes": '\ufeff"a","b","y"\n' + PLAIN.split("\n", 1)[1],
    "line ends of Windows": PLAIN.replace("\n", "\r\n"),
    "line ends of an old Mac": PLAIN.replace("\n", "\r"),
    "no line end": PLAIN.rstrip("\n"),
    "blank lines": "\n" + PLAIN.replace("\n", "\n\n  \n"),
    "quotes": '"a","b","y"\n' + "".join(f'"{a}","{b}","{y}"\n' for a, b, y in zip(A, B, Y, strict=True)),
    "spaces": PLAIN.replace(",", " , "),
    "the index of pandas": ",a,b,y\n" + "".join(f"{i},{row}\n" for i, row in enumerate(PLAIN.split("\n")[1:-1])),
    "its name when saved twice": "Unnamed: 0,a,b,y\n"
    + "".join(f"{i},{r}\n" for i, r in enumerate(PLAIN.split("\n")[1:-1])),
    "booleans": PLAIN.replace(",1,", ",True,").replace(",0,", ",False,"),
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "table.csv"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def loaded(path: Path, **settings: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    """The inputs and targets of all samples in the order of the file."""
    parts = Table(path=path, **{"target": "y", "valid": 0.5} | settings).load()
    order = torch.cat([parts.train.rows, parts.valid.rows]).argsort()
    inputs, targets = (
        torch.cat(both)[order].numpy() for both in zip(parts.train.tensors, parts.valid.tensors, strict=True)
    )
    return inputs, targets, parts.spec


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_a_table_is_the_same_however_it_is_written(path: Path, text: str):
    inputs, targets, spec = loaded(write(path, text))
    np.testing.assert_array_equal(inputs, np.array([A, B], np.float32).T)
    np.testing.assert_array_equal(targets[:, 0], np.array(Y, np.float32))
    assert (spec.input_names, spec.target_names, spec.task) == (("a", "b"), ("y",), "regression")


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_new_inputs_are_the_same_however_they_are_written(path: Path, text: str):
    data = Choice("data", "csv", None, Table(path=write(path.with_name("train.csv"), text), target="y"))
    part, _ = read_inputs(data, write(path, text))
    np.testing.assert_array_equal(part.inputs, np.array([A, B]).T)
    arrays = Choice("data", "npz", None, Npz(path=path))
    part, _ = read_inputs(arrays, path)
    np.testing.assert_array_equal(part.inputs, np.array([A, B, Y]).T)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PLAIN.replace("b", "y"), "has 2 columns called 'y'"),
        (PLAIN.replace("b", " y"), "has 2 columns called 'y'"),
        (PLAIN.replace("b", "a"), "has 2 columns called 'a'"),
        (PLAIN.replace("\n", ",1\n").replace("y,1", "y"), "has 4 cells in row 1, but 3 column names"),
        (PLAIN.replace("\n", ",,\n").replace("y,,", "y"), "has 5 cells in row 1, but 3 column names"),
        (PLAIN.replace("7.25", "7.25,").replace("9.5", "9.5,1"), "has a row with more cells than"),
        (PLAIN.replace("9.5", "9.5,1"), "cannot be read as CSV: Expected 3 fields in line 4, saw 4"),
        (PLAIN.replace("1,9.5", "9.5"), "has 2 cells in row 3, but 3 column names"),
        (PLAIN.replace(",", ";"), "separates columns by ';'"),
        (PLAIN.replace(",", "\t"), "separates columns by '\\t'"),
        (PLAIN.replace(",", ";").replace(".", ","), "separates columns by ';'"),
        (PLAIN.replace("2.5", "?"), "has '?' in column 'a', row 3"),
        (PLAIN.replace("2.5", "2024-05-01"), "has '2024-05-01' in column 'a', row 3"),
        (PLAIN.replace("2.5", '"2,5"'), "has '2,5' in column 'a', row 3. Write numbers with a decimal point"),
        (PLAIN.replace("2.5", '"1,250"'), "has '1,250' in column 'a', row 3. Write numbers with a decimal point"),
        (PLAIN + "# the end\n", "has 1 cell in row 5, but 3 column names"),
        ("# made by hand\n" + PLAIN, "has 3 cells in row 1, but 1 column name."),
        (PLAIN + ",,\n", "row 5"),
        (PLAIN.split("\n", 1)[1], ""),
        (PLAIN.replace("a", "\udce9"), "cannot be read as CSV: byte 0 is not UTF-8"),
    ],
)
def test_a_table_is_refused_with_its_cell(path: Path, text: str, message: str):
    path.write_bytes(text.encode(errors="surrogateescape"))
    train = Table(path=write(path.with_name("train.csv"), PLAIN.replace("y", "y,z")), target="z")
    for read in (Table(path=path, target="y").load, lambda: read_inputs(Choice("data", "csv", None, train), path)):
        with pytest.raises(ValueError, match=r"table\.csv") as error:
            read()
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_columns_without_a_name_are_left_out_and_it_is_said(path: Path):
    write(path, SAME["the index of pandas"])
    write(
        path.with_name("r.yaml"),
        "data: {name: csv, path: table.csv, target: y, valid: 0.5}\nmetrics: []\n"
        "baseline: {name: a, model: mlp, loss: mse, optimizer: sgd}\n"
        "variants: [{name: b, set: {data.inputs: ['Unnamed: 0', b]}}]\n",
    )
    said = []
    for variant in Recipe.load(path.with_name("r.yaml")).variants:
        data = load_parts(variant.settings.data, path.parent)
        said.append((data.spec.input_names, [sentence(note) for note in data_notes(variant.settings, data)]))
    assert said == [
        (("a", "b"), ["columns without a name are not used as inputs (Unnamed: 0)"]),
        (("Unnamed: 0", "b"), []),
    ]


def test_new_inputs_without_names_are_refused(path: Path):
    write(path, "0.5,1,7.25\n1.5,0,8\n")
    with pytest.raises(ValueError, match=r"table\.csv\) has numbers in its first line"):
        read_inputs(Choice("data", "npz", None, Npz(path=path)), path)
    write(path, "0,1,2\n1.5,0,8\n")
    part, _ = read_inputs(Choice("data", "npz", None, Npz(path=path)), path)
    assert part.inputs.tolist() == [[1.5, 0, 8]]


def test_a_duplicate_that_is_not_used_does_no_harm(path: Path):
    write(path, "a,c,c,y\n" + "".join(f"{a},1,2,{y}\n" for a, y in zip(A, Y, strict=True)))
    inputs, _, spec = loaded(path, inputs=("a",))
    assert (inputs[:, 0].tolist(), spec.input_names) == (A, ("a",))
    with pytest.raises(ValueError, match="has 2 columns called 'c'"):
        loaded(path, inputs=("a", "c"))


CLASSES = ["cat", "NA", "cat", "None", "null", "nan"] * 4


@pytest.mark.parametrize("change", [str, lambda name: f" {name} ", lambda name: f'"{name}"'])
def test_classes_called_na_are_classes_and_spaces_are_none(path: Path, change: Callable[[str], str]):
    cells = [change(name) if i % 2 else name for i, name in enumerate(CLASSES)]
    write(path, "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    _, targets, spec = loaded(path)
    assert spec.classes == tuple(sorted(set(CLASSES)))
    assert [spec.classes[i] for i in targets] == CLASSES


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_an_empty_class_is_missing(path: Path, empty: str):
    write(path, f"x,y\n1,NA\n2,b\n3,{empty}\n4,NA\n")
    with pytest.raises(ValueError, match=r"\(=y\) is empty in row 3 of table\.csv"):
        loaded(path)


@pytest.mark.parametrize("empty", ["", "NA", "nan", "NaN", "null", "None", "N/A"])
def test_a_missing_number_stays_missing(path: Path, empty: str):
    _, targets, spec = loaded(write(path, PLAIN.replace("9.5", empty)))
    assert (spec.task, targets[:, 0].tolist()[:2], np.isnan(targets[:, 0]).tolist()) == (
        "regression",
        [7.25, 8],
        [False, False, True, False],
    )


def test_groups_called_na_are_groups(path: Path):
    names = ["NA", "None", "", "b ", "b"]
    write(path, "x,who,y\n" + "".join(f"{i},{names[i % 5]},{i}.5\n" for i in range(40)))
    parts = Table(path=path, target="y", group="who").load()
    group = {
        row: int(g)
        for part in (parts.train, parts.valid)
        for row, g in zip(part.rows.tolist(), part.groups, strict=True)
    }
    assert len({group[i] for i in range(5)}) == 4
    assert group[3] == group[4]


@pytest.mark.parametrize(
    ("cell", "others"),
    [
        ("?", "{i}.5"),
        ('"3,5"', "{i}.5"),
        ("?", "{i}"),
        ("n. a.", "{i}"),
        ('"1,250,000"', '"{i},000"'),
        ('"3,5"', '"{i},5"'),
    ],
)
def test_a_cell_of_a_regression_target_is_named(path: Path, cell: str, others: str):
    rows = [others.format(i=i) for i in range(40)]
    rows[6] = cell
    write(path, "x,y\n" + "".join(f"{i},{row}\n" for i, row in enumerate(rows)))
    first = 1 if '"' in others else 7
    with pytest.raises(ValueError, match=rf"data\.target \(=y\).* table\.csv has '.*' in column 'y', row {first}\."):
        loaded(path)


@pytest.mark.parametrize("names", [["1", "2", "3+"], ["v1.0", "v1.5", "2"], ["1", "2", "?"], ["yes", "no"]])
def test_text_with_some_numbers_is_classes(path: Path, names: list[str]):
    write(path, "x,y\n" + "".join(f"{i},{names[i % len(names)]}\n" for i in range(30)))
    assert loaded(path)[2].classes == tuple(sorted(names))


def test_the_type_of_a_column_does_not_depend_on_its_parts(path: Path):
    """pandas reads a large file in parts: 01 would be 1 in those without text."""
    cells = ["01", "02"] * 200_000 + ["a", "b"]
    write(path, "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells)))
    assert loaded(path)[2].classes == ("01", "02", "a", "b")


def test_a_packed_file_is_read(path: Path):
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.writestr("table.csv", SAME["a comma at the end of each row"])
    inputs, _, _ = loaded(path.with_suffix(".zip"))
    np.testing.assert_array_equal(inputs, np.array([A, B], np.float32).T)


def test_parts_of_a_file_are_the_file():
    text = SAME["a comma at the end of each row"].encode()
    whole = read_csv(io.BytesIO(text), ("a", "b", "y"))
    parts = list(read_csv_chunks(io.BytesIO(text), ("a", "b", "y"), 3))
    assert [len(part) for part in parts] == [3, 1]
    np.testing.assert_array_equal(np.concatenate([numbers(part, ["a", "b", "y"]) for part in parts]), whole)
    with pytest.raises(WrongCsv, match="more cells"):
        list(read_csv_chunks(io.BytesIO(b"a,y\n1,2,\n3,4,\n5,6,7\n"), ("a", "y"), 1))


def with_commas(path: Path) -> Path:
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f"{row}," for row in rows)]) + "\n")
    return path


def test_kaggles_files_may_end_lines_in_a_comma(
    path: Path, few_faces: Faces, write_kaggle: Callable[[Path, Faces], Path]
):
    read = read_kaggle(with_commas(write_kaggle(path, few_faces)))
    np.testing.assert_array_equal(read.images, few_faces.images)
    np.testing.assert_array_equal(read.keypoints, few_faces.keypoints)
    pixels = [" ".join(map(str, image.ravel().tolist())) for image in few_faces.images]
    write(path, "ImageId,Image\n" + "".join(f"{i + 5},{image},\n" for i, image in enumerate(pixels)))
    ids, images = read_kaggle_test(path)
    assert ids == list(range(5, 17))
    np.testing.assert_array_equal(images, few_faces.images)
    write(path, "RowId,ImageId,FeatureName\n1,6,b,\n2,5,a,\n")
    assert submission(torch.tensor([[1.0, 2], [3, 4]]), ("a", "b"), (5, 6), path).splitlines()[1:] == [
        "1,4.000000",
        "2,1.000000",
    ]
