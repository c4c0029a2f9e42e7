from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ablate.data.table import Table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lines = ["width,height,person,colour,price,grade"]
    lines += [f"{i},{i * 2.5},p{i // 4},{'red' if i % 3 else 'blue'},{i * 10.5},{i % 5}" for i in range(40)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "table.csv"


def rows(part: Any) -> list[int]:
    return part.rows.tolist()


def test_numbers_to_a_number(path: Path):
    parts = Table(path=path, target="price", inputs=("height", "width")).load()
    assert (parts.spec.task, parts.spec.outputs, parts.spec.input_shape) == ("regression", 1, (2,))
    assert parts.spec.target_names == ("price",)
    assert parts.train.inputs.tolist() == [[i * 2.5, i] for i in rows(parts.train)]
    assert parts.train.targets.tolist() == [[i * 10.5] for i in rows(parts.train)]
    assert (len(parts.train), len(parts.valid)) == (32, 8)


def test_numbers_to_a_class_of_text_and_of_few_whole_numbers(path: Path):
    parts = Table(path=path, target="colour", inputs=("height",)).load()
    assert (parts.spec.task, parts.spec.outputs, parts.spec.classes) == ("classification", 2, ("blue", "red"))
    assert parts.valid.targets.tolist() == [int(i % 3 > 0) for i in rows(parts.valid)]
    assert parts.valid.targets.dtype == torch.int64
    grade = Table(path=path, target="grade", inputs=("height",)).load()
    assert grade.spec.classes == ("0", "1", "2", "3", "4")
    assert Table(path=path, target="width", inputs=("height",)).load().spec.task == "regression"
    forced = Table(path=path, target="grade", inputs=("height",), task="regression").load()
    assert (forced.spec.task, forced.train.targets.dtype) == ("regression", torch.float32)


def test_several_targets_and_all_other_columns(path: Path):
    parts = Table(path=path, target=("price", "grade"), inputs=("width",)).load()
    assert (parts.spec.outputs, parts.spec.target_names) == (2, ("price", "grade"))
    numbers = path.with_name("numbers.csv")
    numbers.write_text("a,b,c,who\n" + "".join(f"{i},{i},{i}.5,{i % 6}\n" for i in range(30)))
    others = Table(path=numbers, target="c", group="who").load()
    assert others.spec.input_shape == (2,), "the group is no input"


def test_a_group_of_text_stays_together(path: Path):
    parts = Table(path=path, target="price", inputs=("width",), group="person").load()
    people = [{i // 4 for i in rows(part)} for part in (parts.train, parts.valid)]
    assert not people[0] & people[1]
    assert len(parts.valid) == 8


def test_an_empty_target_is_missing_in_regression(path: Path):
    path.write_text("x,y\n" + "1,2\n" * 9 + "1,\n")
    parts = Table(path=path, target="y", valid=0.5, task="regression").load()
    missing = torch.cat([parts.train.targets, parts.valid.targets]).isnan()
    assert missing.sum() == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "pirce"}, "data.target (=pirce) is not a column of table.csv. Did you mean 'price'?"),
        (
            {"target": "price", "inputs": ("q",)},
            "data.inputs (=q) is not a column of table.csv. Columns: width, height,",
        ),
        (
            {"target": "price", "group": "persons"},
            "data.group (=persons) is not a column of table.csv. Did you mean 'person'?",
        ),
        (
            {"target": "price"},
            "data.inputs (=person) must be numeric, but table.csv has 'p0' in column 'person', row 1. List numeric columns",
        ),
        ({"target": "price", "inputs": ("price",)}, "data.inputs (=price) must not include a target or the group."),
        ({"target": ("colour", "price"), "inputs": ("width",)}, "data.target (=colour) must be numeric"),
        (
            {"target": ("grade", "price"), "inputs": ("width",), "task": "classification"},
            "must be one column for classification",
        ),
    ],
)
def test_what_is_wrong_is_told(path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], message: str):
    monkeypatch.chdir(path.parent)
    with pytest.raises(ValueError, match="data") as error:
        Table(path=path, **settings).load()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n,3\n4,5\n", "data.inputs (=x) is empty or infinite in row 2 of table.csv"),
        ("x,y\n1,3\n1e300,3\n4,5\n", "data.inputs (=x) is too large for float32 in row 2 of table.csv"),
        ("x,y\n1,a\n2,\n4,b\n", "data.target (=y) is empty in row 2 of table.csv"),
        ("x,y\n1,2\n1,2,3\n", "data.path (=table.csv) cannot be read as CSV"),
        ("", "data.path (=table.csv) cannot be read as CSV"),
        ("x,y\n1,a\n2,a\n", "data.target (=y) must have at least two classes in table.csv"),
        ("x,y\n", "data.path (=table.csv) contains no samples"),
        ("y\n1\n2\n", "data.inputs is empty: table.csv has no other columns"),
    ],
)
def test_wrong_tables_are_told(path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str):
    monkeypatch.chdir(path.parent)
    path.write_text(text)
    with pytest.raises(ValueError, match="data") as error:
        Table(path=path, target="y").load()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
