"""A project that was moved or copied keeps its artifacts beside its own database."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ablate.tracking.publish import Artifacts

SEND = """# fork
import pickle, sys
study, store, uri, artifacts = pickle.load(open(sys.argv[1], "rb"))
from ablate.tracking.publish import publish
published = publish(study, store, tracking_uri=uri, artifacts=artifacts, check=True)
print(published.ok, published.runs, published.reason)
"""


def synced(lab: Any, text: str) -> str:
    """Sync in a process of its own; MLflow remembers where artifacts of a run are."""
    import pickle

    file = lab.root / "order.pickle"
    artifacts = Artifacts(recipe="study: faces\n", tables={"table.md": text})
    file.write_bytes(pickle.dumps((lab.study, lab.store, lab.uri, artifacts)))
    command = [sys.executable, "-c", SEND, str(file)]
    return subprocess.run(command, cwd=lab.root, capture_output=True, text=True, check=True).stdout.strip()


def artifacts(folder: Path) -> dict[str, str]:
    """The artifacts below a project: names and texts."""
    files = (folder / "mlartifacts").rglob("*.*")
    return {path.name: path.read_text() for path in files if path.is_file()}


def moved(lab: Any, place: Path, *, copy: bool) -> Any:
    (shutil.copytree if copy else shutil.move)(lab.root, place)
    return type(lab)(place, lab.name, lab.rows)


@pytest.mark.parametrize("copy", [False, True], ids=["moved", "copied"])
def test_artifacts_go_to_the_new_place_and_the_old_one_stays_as_it_was(lab, tmp_path_factory, copy):
    lab.row("net1", lab.run("a0"))
    with closing(sqlite3.connect(lab.database)) as database, database:  # somebody else's experiment
        database.execute("UPDATE experiments SET artifact_location = 'file:///elsewhere/mine' WHERE name = 'Default'")
    assert synced(lab, "old") == "True 3"
    there = moved(lab, tmp_path_factory.mktemp("new") / "my project", copy=copy)
    assert synced(there, "new") == "True 0"
    assert artifacts(there.root) == {"recipe.yaml": "study: faces\n", "table.md": "new"}
    if copy:
        assert artifacts(lab.root) == {"recipe.yaml": "study: faces\n", "table.md": "old"}
        assert synced(lab, "old") == "True 0"
    else:
        assert not lab.root.exists()
    with closing(sqlite3.connect(there.database)) as database:
        places = dict(database.execute("SELECT name, artifact_location FROM experiments"))
        runs = [
            place
            for (place,) in database.execute(
                "SELECT artifact_uri FROM runs JOIN tags USING (run_uuid) WHERE key = 'ablate.kind'"
            )
        ]
    assert places["faces"] == (there.root / "mlartifacts" / "faces").as_uri()
    assert places["Default"] == "file:///elsewhere/mine"
    assert all(place.startswith((there.root / "mlartifacts").as_uri()) for place in runs)


def test_artifacts_that_stayed_behind_are_sent_again(lab, tmp_path_factory):
    lab.row("net1", lab.run("a0"))
    assert synced(lab, "same") == "True 3"
    there = moved(lab, tmp_path_factory.mktemp("new") / "project", copy=False)
    shutil.rmtree(there.root / "mlartifacts")
    assert synced(there, "same") == "True 0"
    assert artifacts(there.root) == {"recipe.yaml": "study: faces\n", "table.md": "same"}
