"""The MLflow tracking URI, by default a SQLite file in the working directory, and one-line messages for its errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import shorten
from urllib.parse import urlsplit

from ablate.addresses import safe, safe_text
from ablate.store.locks import Locked

DEFAULT = "sqlite:///mlflow.db"
SQLITE = "sqlite:///"
FOLDER = "mlartifacts"
ENDINGS = ("", ".lock", "-journal", "-wal", "-shm")
"""Of the names of a SQLite file and of those beside it."""

NETWORK = {"http", "https", "mysql", "postgresql", "postgres", "mssql"}
BARE = {"databricks", "databricks-uc", "uc"}
SCHEMES = {"file", "sqlite", *NETWORK, *BARE}
"""The schemes that MLflow knows; others can be plugins."""

EXAMPLE = "Use a URI such as sqlite:///mlflow.db or http://mlflow.example.org."
HOST = r"(localhost|\[[0-9A-Fa-f:]+\]|[\w-]+(\.[\w-]+)+|[\w-]+(?=:\d))(:\d+)?(/.*)?"
"""An address without its scheme; without a port or a period it is a folder."""

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
        """The URI for messages and files, without credentials."""
        return safe(self.uri).rstrip("/")

    def shareable(self, error: Exception) -> Exception | None:
        """An error that ``--debug`` may print as a cause; None if it may quote the URI's credentials."""
        return error if safe(self.uri) == self.uri else None

    def key(self, root: Path) -> str:
        """The key in the ledger below ``root``: a relative path for a SQLite file, so that projects can be moved."""
        if self.database is None:
            return self.shown
        try:
            return SQLITE + Path(os.path.relpath(self.database, root.absolute())).as_posix()
        except ValueError:  # another drive on Windows
            return self.shown

    @property
    def artifacts(self) -> Path | None:
        """The folder for artifacts next to a SQLite database; None if the tracking server decides."""
        return self.database.parent / FOLDER if self.database else None


def resolve(tracking_uri: str | None = None) -> Address:
    """The address of ``tracking_uri``; defaults to ``$MLFLOW_TRACKING_URI`` or ``sqlite:///mlflow.db``.

    Raises ValueError with one line if it cannot be one.
    """
    uri = (os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT) if tracking_uri is None else tracking_uri
    if scheme := re.match(r"[A-Za-z][A-Za-z-]+(?=(\+\w+)?://)", uri):
        uri = scheme[0].lower() + uri[scheme.end() :]
    if rule := _broken_rule(uri):
        raise ValueError(f"tracking URI (={' '.join(safe(uri).split())}) {rule}")
    if not uri.startswith(SQLITE):
        return Address(uri)
    path, mark, query = uri.removeprefix(SQLITE).partition("?")
    if path in ("", ":memory:"):
        return Address(uri)
    database = Path(path).absolute()
    return Address(SQLITE + database.as_posix() + mark + query, database)


def written(tracking_uri: str | None = None) -> list[Path]:
    """The files and folders that are written for ``tracking_uri``, and for the default one, on this machine."""
    found: list[Path] = []
    for uri in (DEFAULT, tracking_uri):
        with suppress(ValueError):  # reported where it is used
            database, artifacts = (address := resolve(uri)).database, address.artifacts
            if database is not None and artifacts is not None:
                found += [artifacts, *(database.with_name(database.name + end) for end in ENDINGS)]
    return found


def _broken_rule(uri: str) -> str | None:
    """The rule that a tracking URI breaks, with the fix; None if it can be one."""
    if not uri.strip():
        return f"must not be empty. {EXAMPLE}"
    known = re.match(r"([a-z][\w.-]+)(\+\w+)?(://|:|$)", uri)
    scheme, mark = (known[1], known[3]) if known else ("", "")
    if uri != uri.strip() or (scheme in NETWORK and re.search(r"\s", uri)):
        return "must not contain spaces. Remove them; in a password, write %20."
    if scheme in ("file", *BARE):
        return None
    if mark != "://" and re.fullmatch(rf"([^/]*@)?{HOST}", uri) and not Path(uri).exists():
        return f"has no scheme. Use http://{safe(uri)} for a tracking server, or ./{safe(uri)} for a folder."
    if not mark and "://" not in uri:  # a folder
        return None
    if scheme not in SCHEMES and scheme not in entry_points(group="mlflow.tracking_store").names:
        return f"has an unsupported scheme. {EXAMPLE}"
    if scheme == "sqlite":
        right = uri.startswith(SQLITE) or uri == "sqlite://"
        return None if right else f"must start with {SQLITE}, followed by a path."
    if scheme in NETWORK and mark != "://":
        return f"must start with {scheme}://."
    return _broken_http(uri) if scheme.startswith("http") else None


def _broken_http(uri: str) -> str | None:
    encode = "In user name and password, write @ / : ? # as %40 %2F %3A %3F %23."
    try:
        parts = urlsplit(uri)
        _ = parts.port
    except ValueError:
        return f"has no valid host and port. {encode if '@' in uri else EXAMPLE}"
    return None if parts.hostname else f"has no host. {EXAMPLE}"


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
    elif address.database is not None and address.database.is_dir():
        what = "is a folder, not a database. Remove it, or set --tracking-uri"
    else:
        plain = re.sub(r"^\(\w+\.\w+\) ", "", str(error))  # how SQLAlchemy begins
        lines = safe_text(plain, address.uri).strip().splitlines()
        text = shorten(lines[0], 200, placeholder=" …") if lines else type(error).__name__
        what = f"could not be written: {text.rstrip('.')}"
    return f"MLflow (={address.shown}) {what}."


def refused(files: Mapping[str, int], address: Address) -> str:
    """A one-line message for artifacts that the server refused with an HTTP status."""
    named = ", ".join(f"{name} (error {status})" for name, status in list(files.items())[:3])
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return f"MLflow (={address.shown}) has all runs and curves, but refused artifacts: {named}{more}."


def out_of_time(address: Address, seconds: float) -> str:
    """A one-line message for a publication that was stopped after ``seconds``."""
    return f"MLflow (={address.shown}) timed out after {seconds:g} s."
