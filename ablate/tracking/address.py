"""The MLflow tracking URI, by default a SQLite file in the working directory, and one-line messages for its errors."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import shorten

from ablate.store.locks import Locked

DEFAULT = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
SCHEMES = {
    *("file", "http", "https", "sqlite", "mysql", "postgresql", "postgres", "mssql"),
    *("databricks", "databricks-uc", "uc"),
}
"""The schemes that MLflow knows; others can be plugins."""

SILENCE = {"ConnectionError", "NewConnectionError", "MaxRetryError", "ConnectTimeout", "ReadTimeout"}


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
    """The address of ``tracking_uri``; defaults to ``$MLFLOW_TRACKING_URI`` or ``sqlite:///mlflow.db``.

    Raises ValueError if MLflow does not know its scheme.
    """
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    scheme = re.match(r"([a-z][a-z-]+)(\+\w+)?:", uri)
    if scheme and scheme[1] not in SCHEMES and scheme[1] not in entry_points(group="mlflow.tracking_store").names:
        raise ValueError(
            f"tracking URI (={Address(uri).shown}) has an unsupported scheme. Use a URI such as sqlite:///mlflow.db or "
            "http://mlflow.example.org."
        )
    if not uri.startswith(SQLITE):
        return Address(uri)
    path, mark, query = uri.removeprefix(SQLITE).partition("?")
    if path in ("", ":memory:"):
        return Address(uri)
    database = Path(path).absolute()
    return Address(SQLITE + database.as_posix() + mark + query, database)


def trouble(error: Exception, address: Address) -> str:
    """A one-line message for an error of the tracker, without passwords."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    codes = [found[1] for each in chain if (found := re.search(r"too many (\d{3}) error responses", str(each)))]
    if codes:
        what = f"responds with error {codes[0]}"
    elif {type(each).__name__ for each in chain} & SILENCE:
        what = "does not respond"
    elif isinstance(error, Locked) or (
        isinstance(error, TimeoutError) and type(error).__module__.startswith("filelock")
    ):
        what = "is locked by another process"
    else:
        lines = str(error).replace(address.uri, address.shown).strip().splitlines()
        text = shorten(lines[0], 200, placeholder=" …") if lines else type(error).__name__
        what = f"could not be written: {text.rstrip('.')}"
    return f"MLflow (={address.shown}) {what}."


def out_of_time(address: Address, seconds: float) -> str:
    """A one-line message for a publication that was stopped after ``seconds``."""
    return f"MLflow (={address.shown}) timed out after {seconds:g} s."
