"""What YAML 1.2 says that unquoted scalars mean."""

from __future__ import annotations

import pytest

from ablate.recipe.yaml_text import read_yaml

MEANINGS = {
    "1e-3": 1e-3, "1E5": 1e5, "1.": 1.0, ".5": 0.5, "-0.5e+2": -50.0, "12": 12, "-7": -7, "+7": 7, "007": 7, "0o17": 15,
    "0x1F": 31, "true": True, "False": False, "null": None, "~": None, "yes": "yes", "no": "no", "on": "on", "off": "off",
    "1_000": "1_000", "1:30": "1:30", "0b1": "0b1", "2001-01-01": "2001-01-01", "5%": "5%", "1e": "1e", "e5": "e5",
    ".": ".", "-": "-", "'1'": "1", '"true"': "true", "tRUE": "tRUE", "1 000": "1 000", "=": "=", "0x": "0x", "١": "١",
}  # fmt: skip


@pytest.mark.parametrize("text", MEANINGS)
def test_scalars(text):
    if text == "-":
        text_, expected = "a: '-'", "-"
    else:
        text_, expected = f"a: {text}", MEANINGS[text]
    value = read_yaml(text_, "r.yaml").plain()["a"]
    assert value == expected
    assert type(value) is type(expected)


def test_aliases_are_written_out():
    node = read_yaml("a: &x [1, {b: 2}]\nc: *x\n", "r.yaml")
    assert node.plain() == {"a": [1, {"b": 2}], "c": [1, {"b": 2}]}


def test_places():
    node = read_yaml("a:\n  - b: c\n    d: [1,\n        2]\n", "r.yaml")
    inner = node.child("a").child(0)
    assert str(inner.key_position("d")) == "r.yaml:3:5"
    assert str(inner.child("d").child(1).position) == "r.yaml:4:9"
