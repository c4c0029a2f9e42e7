"""The git state of a run: what ablate itself writes does not make a repository dirty, everything else does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ablate.store.provenance import of_command
from ablate.store.store import Store
from ablate.tracking.address import written


@pytest.fixture(params=[".", "project"])
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder in a clean repository with all that ablate writes."""
    folder = tmp_path / request.param
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text("study: faces\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.chdir(folder)
    return folder


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def is_dirty(project: Path, runs: str = "runs", uri: str | None = None) -> bool | None:
    store = Store(project / runs)
    write(
        store.root,
        "store/f1/status.json",
        "store/f1/last.pt",
        "faces/study.json",
        "faces/looks.jsonl",
        "old/study.json",
        "old/published.json",
    )
    write(project, "mlflow.db", "mlflow.db.lock", "mlflow.db-wal", "mlartifacts/faces/1/artifacts/table.md")
    return of_command(project, [*store.own(), *written(uri)]).git_dirty


@pytest.mark.parametrize("runs", ["runs", ".", "out/[1] runs", "../elsewhere"])
def test_what_ablate_writes_does_not_count(project, runs):
    assert is_dirty(project, runs) is False


def test_another_database_of_ablate_does_not_count(project, monkeypatch):
    write(project, "other/my.db", "other/my.db.lock", "other/mlartifacts/faces/x")
    assert is_dirty(project) is True
    assert is_dirty(project, uri="sqlite:///other/my.db") is False
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other/my.db")
    assert is_dirty(project) is False


@pytest.mark.parametrize(
    "name", ["new.py", "runs/new.py", "runs/faces/new.py", "runs/faces2/study.yaml", "mlflow.db.py", "table.tex"]
)
def test_untracked_files_of_the_user_count(project, name):
    write(project, name)
    assert is_dirty(project) is True


def test_changed_and_staged_files_count(project):
    write(project, "recipe.yaml")
    assert is_dirty(project) is True
    subprocess.run(["git", "add", "recipe.yaml"], cwd=project, check=True)
    assert is_dirty(project) is True


def test_a_repository_behind_a_link(project, tmp_path, monkeypatch):
    (tmp_path.parent / "link").unlink(missing_ok=True)
    os.symlink(project, tmp_path.parent / "link")
    monkeypatch.chdir(tmp_path.parent / "link")
    assert is_dirty(tmp_path.parent / "link") is False


def test_a_folder_without_git_is_unknown(tmp_path):
    known = of_command(tmp_path, [tmp_path / "runs"])
    assert (known.git_commit, known.git_dirty) == (None, None)
