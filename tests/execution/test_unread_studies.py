"""A study whose file cannot be read may use any run: `clean` removes nothing then, and names the study."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ablate.planning.cleaning import clean
from ablate.store.store import Store

NOBODY = 65534


@contextmanager
def no_root(root: Path) -> Iterator[None]:
    """Inside, permissions count also for the administrator; everything in a folder is the user's own."""
    if os.geteuid():
        yield
        return
    for path in (root, *root.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def root(stub_study) -> Iterator[Path]:
    """The runs of a finished study, in a folder that every user may enter."""
    study = stub_study()
    study.command()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(shutil.copytree(study.root, Path(folder) / "runs"))


@pytest.mark.parametrize("text", ["{}", "[]", '{"study": "stub"}', '{"rows": null}'])
def test_a_file_that_is_no_study(root, text):
    (root / "stub" / "study.json").write_text(text)
    check(root)


def test_a_link_that_leads_nowhere(root):
    (root / "stub" / "study.json").unlink()
    (root / "stub" / "study.json").symlink_to(root / "nothing")
    check(root)


@pytest.mark.parametrize("place", ["stub/study.json", "stub"])
def test_what_nobody_may_read(root, place):
    (root / place).chmod(0)
    check(root)
    (root / place).chmod(0o700)


def check(root: Path) -> None:
    before = sorted(root.glob("store/*/*"))
    assert len(before) >= 3 * 5
    with no_root(root), pytest.raises((ValueError, OSError), match=r"/runs/stub\b"):
        clean(Store(root))
    assert sorted(root.glob("store/*/*")) == before
