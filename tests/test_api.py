"""The package's words for Python."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Annotated

import pytest

import ablate
from ablate.api import RunOptions

DIGITS = Path(__file__).parents[1] / "recipes" / "digits.yaml"


def test_the_folder_of_runs_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [row.variant for row in ablate.table(DIGITS, root="runs").rows]
    assert names == [variant.name for variant in ablate.Recipe.load(DIGITS).variants]


@pytest.mark.parametrize(
    ("variant", "seed", "text"),
    [
        ("net1", 77, "seed (=77) must be one of 0, 1, 2, 3, 4."),
        ("nte1", 0, f"variant (=nte1) is not defined in {DIGITS}. Available: net1, "),
        ("zebra", 0, f"variant (=zebra) is not defined in {DIGITS}. Available: net1, "),
    ],
)
def test_a_run_that_is_not_there(tmp_path, variant, seed, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        ablate.load(DIGITS, variant, seed, root=str(tmp_path))


def test_settings_of_a_trick_may_be_schedules_with_bounds():
    class Fade(ablate.Trick):
        most: Annotated[ablate.Scheduled[float], ablate.Range(ge=0, le=1)] = 0.5

    assert Fade(most={"linear": [0, 0.5]}).most.extremes()
    with pytest.raises(ValueError, match="at most 1"):
        Fade(most={"linear": [0, 2]})


def test_what_the_package_says_it_has_is_there():
    assert all(getattr(ablate, name) is not None for name in dir(ablate))


def test_the_public_names_are_listed_and_typed():
    """Editors and type checkers see each name of ``__all__`` as its own type, not as Any."""
    tree = ast.parse(Path(ablate.__file__).read_text(encoding="utf-8"))
    [typed] = [node for node in tree.body if isinstance(node, ast.If)]
    imported = {alias.name for node in typed.body for alias in node.names}
    assert {*imported, "__version__"} == set(ablate.__all__)


def test_the_version_is_that_of_the_package():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == ablate.__version__


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"threads": 0}, {"timeout": 0.5}, {"retries": -1}, {"jobs_per_gpu": 0}])
def test_numbers_of_options_have_a_least(wrong):
    [name] = wrong
    with pytest.raises(ValueError, match=rf"^--{name.replace('_', '-')} \(={wrong[name]}\) must be at least \d\.$"):
        RunOptions(**wrong)
