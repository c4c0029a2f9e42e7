"""Settings of a user's own trick that do not fit it: one line with the trick, the setting and the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ablate.engine.construction import make_trick
from ablate.recipe.settings import Choice

CODE = """
from ablate import Scheduled, Trick

class Fading(Trick):
    most: Scheduled[float] = 0.5

class Bare(Trick):
    pass
"""


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Fading", {"moost": 1}, "moost is not a setting of Fading. Did you mean 'most'?"),
        ("Fading", {"rate": 1}, "rate is not a setting of Fading. Available: most."),
        ("Bare", {"rate": 1}, "rate is not a setting of Bare. Available: none."),
        (
            "Fading",
            {"most": "high"},
            "most (='high'): Input should be a valid number, unable to parse string as a number.",
        ),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Path, name: str, options: dict[str, Any], message: str):
    (tmp_path / "fading_tricks.py").write_text(CODE)
    with pytest.raises(ValueError, match="fading_tricks") as error:
        make_trick(Choice("trick", None, f"fading_tricks:{name}", options), tmp_path)
    assert str(error.value) == f"tricks.fading_tricks:{name}.{message}"
