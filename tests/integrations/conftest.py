"""Trainings by a user's own function in this process, and the libraries that some of them need."""

from __future__ import annotations

import importlib.util
import os

import pytest

from ablate.engine.contract import Assignment
from ablate.recipe import Recipe
from ablate.trainers.trainer import trainer_of
from tests.trainers.listening import Listening


def require(library: str) -> None:
    """Skip without the library, unless ABLATE_REQUIRE_LIBRARIES says that all of them are there."""
    if importlib.util.find_spec(library) is not None:
        return
    if os.environ.get("ABLATE_REQUIRE_LIBRARIES"):
        pytest.fail(f"{library} is not installed, although ABLATE_REQUIRE_LIBRARIES is set")
    pytest.skip(f"needs {library}, which is not installed")


@pytest.fixture
def needs():
    """Skips a test without a library."""
    return require


@pytest.fixture
def report(tmp_path):
    """Makes reports that keep their files in a folder of the test."""
    return lambda **options: Listening(tmp_path, **options)


@pytest.fixture
def train(report, monkeypatch):
    """Train a variant of a recipe in this process. Returns its report, ``into`` if that is given."""

    def trained(recipe, variant="base", seed=0, sets=(), state=None, into=None, **options):
        loaded = Recipe.load(recipe, sets=sets)
        monkeypatch.syspath_prepend(str(loaded.folder))
        settings, into = loaded.variant(variant).settings, into or report(**options)
        trainer_of(settings).train(Assignment(settings, (seed,), loaded.folder), into, state)
        return into

    return trained
