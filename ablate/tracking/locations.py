"""Where MLflow's SQLite file says that artifacts are: in absolute paths, which are wrong after a project was moved."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ablate.tracking.address import FOLDER

OURS = """
    SELECT experiment_id, artifact_location FROM experiments AS e
    WHERE EXISTS (SELECT 1 FROM runs JOIN tags USING (run_uuid) WHERE experiment_id = e.experiment_id
                  AND tags.key = 'ablate.kind')
    OR NOT EXISTS (SELECT 1 FROM runs WHERE experiment_id = e.experiment_id)
"""
"""The experiments that have runs of ablate, or none yet."""


def renew_locations(database: Path) -> None:
    """Let experiments of ablate keep their artifacts beside the database, not in the place that it was moved from.

    If the database is a copy, the original's artifacts are left alone. Other locations that a user has chosen stay.
    """
    folder = database.parent / FOLDER
    with closing(sqlite3.connect(database)) as connection, connection:
        for experiment, location in connection.execute(OURS).fetchall():
            old = urlsplit(location)
            path = Path(unquote(old.path))
            is_beside = os.path.realpath(path.parent) == os.path.realpath(folder)
            if old.scheme != "file" or path.parent.name != FOLDER or is_beside:
                continue
            new, length = (folder / path.name).as_uri(), len(location)
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, experiment)
            )
            connection.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
                (new, length + 1, length + 1, f"{location}/"),
            )
