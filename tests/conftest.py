"""What all tests share: the real faces beside the project, and caches of their own."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

FACES = Path(__file__).parents[2] / "shared" / "data" / "faces96.npz"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep parsed data of all tests in one folder per session, away from the user's."""
    os.environ["ABLATE_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "ablate-cache")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Global generators start alike for each test: what passes once passes always, in any order and on any worker."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def faces() -> Path:
    """The real faces; skips where they are not there, unless ABLATE_REQUIRE_SHARED says that they must be."""
    if FACES.exists():
        return FACES
    if os.environ.get("ABLATE_REQUIRE_SHARED"):
        pytest.fail(f"the real faces are not there: {FACES.name} is missing in the shared folder beside the project")
    pytest.skip("needs the real faces in the shared folder beside the project")
