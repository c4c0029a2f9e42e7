"""The package's words for Python."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest

import ablate

DIGITS = Path(__file__).parents[1] / "recipes" / "digits.yaml"


def test_the_folder_of_runs_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [row.variant for row in ablate.table(DIGITS, root="runs").rows]
    assert names == [variant.name for variant in ablate.Recipe.load(DIGITS).variants]


@pytest.mark.parametrize(
    ("variant", "seed", "text"),
    [
        ("net1", 77, "seed (=77) is not one of this recipe, which has 0, 1, 2, 3, 4."),
        ("nte1", 0, "variant (=nte1) is not in this recipe. Did you mean 'net1'?"),
        ("zebra", 0, "variant (=zebra) is not in this recipe. It has net1, "),
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
