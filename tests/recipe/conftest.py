"""Recipes written by tests: a valid base, and the problems of an invalid one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from ablate.recipe import Recipe, RecipeError

BASE = """\
data: digits
metrics: [accuracy]
baseline:
  name: net1
  model: {name: mlp, hidden: [10]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 4
variants:
"""
"""Nine lines; a test's variants begin in line 10, indented by two."""


def with_variants(*rows: str) -> str:
    """The base with these rows, a line each."""
    return BASE + "".join(f"  - {row}\n" for row in rows)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Write a recipe as ``r.yaml`` into an empty working folder and read it, with flags."""
    monkeypatch.chdir(tmp_path)

    def read(text: str | bytes, **flags: Any) -> Recipe:
        data = text if isinstance(text, bytes) else dedent(text).encode()
        Path("r.yaml").write_bytes(data)
        return Recipe.load("r.yaml", **flags)

    return read


class Line(str):
    """A message. ``==`` compares it with a text in which `` …`` stands for any words."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(".*".join(map(re.escape, other.split(" …"))), self) is not None

    __hash__ = str.__hash__


@pytest.fixture
def problems(load: Callable[..., Recipe]) -> Callable[..., list[str]]:
    """The error messages of a recipe, one per line; none for a valid one."""

    def read(text: str | bytes, **flags: Any) -> list[str]:
        try:
            load(text, **flags)
        except RecipeError as error:
            return [Line(problem) for problem in error.problems]
        return []

    return read


@pytest.fixture
def rows(load: Callable[..., Recipe]) -> Callable[..., Recipe]:
    """The base recipe with these rows and ``more`` text after them, read."""
    return lambda *lines, more="", **flags: load(with_variants(*lines) + more, **flags)


@pytest.fixture
def wrong_rows(problems: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """What is wrong with the base recipe with these rows, the first in line 10, and ``more`` text after them."""
    return lambda *lines, more="", **flags: problems(with_variants(*lines) + more, **flags)


@pytest.fixture
def text_of() -> Callable[..., str]:
    """The base recipe with these rows, as text."""
    return with_variants
