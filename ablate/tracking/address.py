"""Where MLflow keeps its record: a SQLite file in the working folder unless told otherwise."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Address:
    """A tracking URI as MLflow gets it (a SQLite path is absolute), and the file behind it, if it is one."""

    uri: str
    database: Path | None = None

    @property
    def remote(self) -> bool:
        """Whether a server of its own shows the page."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """The URI for messages and files: without user name and password."""
        return re.sub(r"//[^/@]*@", "//", self.uri).rstrip("/")

    def key(self, root: Path) -> str:
        """What the ledger below ``root`` calls it: a SQLite file by its relative path, so that a moved project stays published."""
        if self.database is None:
            return self.shown
        try:
            return SQLITE + Path(os.path.relpath(self.database, root.absolute())).as_posix()
        except ValueError:  # another drive on Windows
            return self.uri

    @property
    def artifacts(self) -> Path | None:
        """The folder for files beside a SQLite database; None where the tracking server decides."""
        return self.database.parent / "mlartifacts" if self.database else None


def resolve(tracking_uri: str | None = None) -> Address:
    """The address that is meant: ``tracking_uri``, else the environment's ``MLFLOW_TRACKING_URI``, else ``sqlite:///mlflow.db`` here."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if not uri.startswith(SQLITE):
        return Address(uri)
    path, mark, query = uri.removeprefix(SQLITE).partition("?")
    if path in ("", ":memory:"):
        return Address(uri)
    database = Path(path).absolute()
    return Address(SQLITE + database.as_posix() + mark + query, database)
