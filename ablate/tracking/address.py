"""The MLflow tracking URI: by default a SQLite file in the working directory."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Address:
    """A tracking URI (with an absolute SQLite path), and the database file, if there is one."""

    uri: str
    database: Path | None = None

    @property
    def remote(self) -> bool:
        """Whether it is a tracking server, which has its own UI."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """The URI for messages and files, without user name and password."""
        return re.sub(r"//[^/@]*@", "//", self.uri).rstrip("/")

    def key(self, root: Path) -> str:
        """The key in the ledger below ``root``: a relative path for a SQLite file, so that projects can be moved."""
        if self.database is None:
            return self.shown
        try:
            return SQLITE + Path(os.path.relpath(self.database, root.absolute())).as_posix()
        except ValueError:  # another drive on Windows
            return self.uri

    @property
    def artifacts(self) -> Path | None:
        """The folder for artifacts next to a SQLite database; None if the tracking server decides."""
        return self.database.parent / "mlartifacts" if self.database else None


def resolve(tracking_uri: str | None = None) -> Address:
    """The address of ``tracking_uri``; defaults to ``$MLFLOW_TRACKING_URI`` or ``sqlite:///mlflow.db``."""
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if not uri.startswith(SQLITE):
        return Address(uri)
    path, mark, query = uri.removeprefix(SQLITE).partition("?")
    if path in ("", ":memory:"):
        return Address(uri)
    database = Path(path).absolute()
    return Address(SQLITE + database.as_posix() + mark + query, database)
