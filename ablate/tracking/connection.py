"""A connection to MLflow without log output and with short timeouts. MLflow is imported when it is opened."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from ablate.tracking.address import SQLITE, Address
from ablate.tracking.deadline import whole_answers
from ablate.tracking.describe import NOTE, PARENT, PUBLICATION, Description, Point
from ablate.tracking.limits import METRICS_PER_CALL, NAME, PARAMS_PER_CALL, TAGS_PER_CALL, calls, cut, legal_key
from ablate.tracking.locations import renew_locations

Result = TypeVar("Result")

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Environment variables read when MLflow is imported; the user's own values are kept."""

BOUNDED = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
    "PGCONNECT_TIMEOUT": "15",
}
"""Environment variables read at every request, set only while publishing (MLflow's defaults: 7 retries of 120 s)."""

LOCK_SECONDS = 120.0

LONGEST_PATH = 470
"""Bytes of a SQLite file's path: SQLite's 512 without what its journal, and a file beside it, add to the name."""

_turns: dict[Path, list[int]] = {}


class OutOfTime(Exception):
    """The time limit was reached."""


class Connection:
    """Writes runs of one experiment. Every call holds the lock of the SQLite file, so that studies can share it.

    After ``until`` (`time.monotonic`), calls raise `OutOfTime`.
    """

    def __init__(self, address: Address, until: float | None = None) -> None:
        self.address = address
        self.experiment = ""
        self._until = until
        self._lock: AbstractContextManager[object] = nullcontext()
        if address.database is not None:
            from filelock import FileLock

            check_length(address.database)
            address.database.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{address.database}.lock", timeout=LOCK_SECONDS)
        with self._lock:  # creates a new SQLite file, which takes seconds
            self.client = client_of(_prepared(address))
            if address.database is not None:
                renew_locations(address.database)

    def enter(self, study: str, runs: Iterable[str], description: str) -> str | None:
        """Select the experiment of the first of ``runs`` that exists, or that named ``study``; create or restore it.

        Returns the run.
        """
        found = next((one for run in runs if (one := self.find(run)) is not None), None)
        run = str(found.info.run_id) if found is not None else None
        experiment: Any
        if found is not None:
            experiment = self._call(self.client.get_experiment, found.info.experiment_id)
        else:
            experiment = self._call(self.client.get_experiment_by_name, cut(study, NAME))
        if experiment is None:
            self.experiment = self._create_experiment(study)
        else:
            self.experiment = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self._call(self.client.restore_experiment, self.experiment)
                found = self.find(run) if run else None
        # without this tag, MLflow 3 asks the user for the type of the experiment
        tags = {"mlflow.experimentKind": "custom_model_development", NOTE: description}
        known = experiment.tags if experiment is not None else {}
        for key, value in tags.items():
            if value and known.get(key) != value:
                self.tag_experiment(key, value)
        self._revive(found)
        return run

    def find(self, run: str) -> Any | None:
        """MLflow's record of a run, None if it does not exist."""
        from mlflow.exceptions import MlflowException

        try:
            return self._call(self.client.get_run, run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def there(self, run: str) -> bool:
        """Whether a run exists; a deleted one is restored."""
        found = self.find(run)
        self._revive(found)
        return found is not None

    def create(self, description: Description, parent: str | None, publication: str) -> str:
        """Create a run and return its id. It is tagged with ``publication``, to find it if its id was not recorded."""
        start = int(time.time() * 1000) if description.start is None else description.start
        tags = {**description.tags, PUBLICATION: publication} | ({PARENT: parent} if parent else {})
        run = self._call(self.client.create_run, self.experiment, start, tags, description.name)
        return str(run.info.run_id)

    def params(self, run: str, description: Description) -> None:
        """Set the params, which cannot be changed later."""
        from mlflow.entities import Param

        params = [Param(*pair) for pair in description.params.items()]
        for few in calls(params, PARAMS_PER_CALL, lambda param: _size(param.key, param.value)):
            self._call(self.client.log_batch, run, params=few)

    def describe(self, run: str, description: Description, old_tags: Iterable[str]) -> None:
        """Set name and tags; remove obsolete ``old_tags``."""
        from mlflow.entities import RunTag

        tags = [RunTag(*pair) for pair in description.tags.items()]
        for some in calls(tags, TAGS_PER_CALL, lambda tag: _size(tag.key, tag.value)):
            self._call(self.client.log_batch, run, tags=some)
        for key in old_tags:
            if key not in description.tags:
                self._call(self.client.delete_tag, run, key)
        self.rename(run, description.name)

    def state(self, run: str, description: Description) -> None:
        """Set the status and the end time."""
        if description.status == "RUNNING":
            self._call(self.client.update_run, run, "RUNNING")
        else:
            self._call(self.client.set_terminated, run, description.status, description.end)

    def rename(self, run: str, name: str) -> None:
        """Rename a run."""
        self._call(self.client.update_run, run, None, name)

    def adopt(self, run: str, parent: str) -> None:
        """Move an existing run below another."""
        if self.there(run):
            self.tag(run, PARENT, parent)

    def trash(self, run: str) -> None:
        """Delete a run; MLflow can restore it."""
        self._call(self.client.delete_run, run)

    def made_by(self, publication: str) -> Iterator[str]:
        """The ids of the runs that a publication created in this experiment."""
        page = None
        while True:
            query = f"tags.`{PUBLICATION}` = '{publication}'"
            found = self._call(self.client.search_runs, [self.experiment], query, max_results=1000, page_token=page)
            yield from (str(run.info.run_id) for run in found)
            page = found.token
            if not page:
                return

    def discard(self, run: str) -> None:
        """Delete a run that the ledger does not have, with the status killed."""
        self._call(self.client.set_terminated, run, "KILLED")
        self.trash(run)

    def last_step(self, run: str, keys: Iterable[str]) -> int | None:
        """The last step of a run's curves in MLflow, None if there is none."""
        known = self._call(self.client.get_run, run).data.metrics
        points = [self._call(self.client.get_metric_history, run, key) for key in keys if key in known]
        return max((point.step for curve in points for point in curve), default=None)

    def tag(self, run: str, key: str, value: str) -> None:
        """Set one tag of a run."""
        self._call(self.client.set_tag, run, key, value)

    def tag_experiment(self, key: str, value: str) -> None:
        """Set one tag of the experiment."""
        self._call(self.client.set_experiment_tag, self.experiment, key, value)

    def points(self, run: str, points: Iterable[Point]) -> None:
        """Add points to a run's curves."""
        from mlflow.entities import Metric

        metrics = [Metric(point.key, point.value, point.time, point.step) for point in points]
        for batch in calls(metrics, METRICS_PER_CALL, lambda metric: _size(metric.key) + 100):
            self._call(self.client.log_batch, run, metrics=batch)

    def file(self, run: str, name: str, content: bytes) -> int | None:
        """Add or replace an artifact; its name is a relative path. Returns the HTTP status if the server refuses it."""
        path = PurePosixPath(name)
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            local = Path(folder, path.name)
            local.write_bytes(content)
            try:
                self._call(self.client.log_artifact, run, str(local), str(path.parent) if path.parent.name else None)
            except Exception as error:
                if (status := _refusal(error)) is None:
                    raise
                return status
        return None

    def there_of(self, run: str, names: Iterable[str]) -> set[str]:
        """Those of a run's artifacts that MLflow has."""
        folders = {PurePosixPath(name).parent for name in names}
        there: set[str] = set()
        for folder in folders:
            place = str(folder) if folder.name else None
            try:
                there |= {each.path for each in self._call(self.client.list_artifacts, run, place)}
            except Exception as error:
                if _refusal(error) is None:
                    raise
        return there

    def _create_experiment(self, study: str) -> str:
        from mlflow.exceptions import MlflowException

        folder = self.address.artifacts
        location = (folder / legal_key(study).replace("/", "_")).as_uri() if folder else None
        try:
            return str(self._call(self.client.create_experiment, cut(study, NAME), location))
        except MlflowException as error:
            experiment = self._call(self.client.get_experiment_by_name, cut(study, NAME))
            if error.error_code == "RESOURCE_ALREADY_EXISTS" and experiment is not None:  # created by another process
                return str(experiment.experiment_id)
            raise

    def _revive(self, found: Any | None) -> None:
        if found is not None and found.info.lifecycle_stage == "deleted":
            run = self._call(self.client.get_run, found.info.run_id)
            if run.info.lifecycle_stage == "deleted":
                self._call(self.client.restore_run, found.info.run_id)

    def _call(self, function: Callable[..., Result], *args: Any, **options: Any) -> Result:
        if self._until is not None and time.monotonic() > self._until:
            raise OutOfTime
        with self._lock:
            return function(*args, **options)


def check_length(database: Path) -> None:
    """Raise ValueError if a path is too long for SQLite, which MLflow would try to open for two minutes."""
    length = len(os.fsencode(database))
    if length > LONGEST_PATH:
        raise ValueError(
            f"its path has {length} bytes, but SQLite supports at most {LONGEST_PATH}. Use a shorter --tracking-uri"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, MLflow has short timeouts and no telemetry, log output or printed links."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    mine = [key for key in BOUNDED if key not in os.environ]
    os.environ.update({key: BOUNDED[key] for key in mine})
    logger = logging.getLogger("mlflow")
    disabled = logger.manager.disable
    # importing MLflow configures its loggers, so their levels cannot be set before
    logging.disable(logging.CRITICAL)
    try:
        with whole_answers():
            yield
    finally:
        logging.disable(disabled)
        for key in mine:
            os.environ.pop(key, None)


def client_of(uri: str) -> Any:
    """MLflow's client, which repeats one failed attempt to open a database (MLflow's default: 9, in 100 s)."""
    from mlflow import MlflowClient

    if uri.startswith("http"):
        return MlflowClient(uri)
    from mlflow.store.db import utils

    usual, utils.MAX_RETRY_COUNT = utils.MAX_RETRY_COUNT, 2
    try:
        return MlflowClient(uri)
    finally:
        utils.MAX_RETRY_COUNT = usual


def knows(address: Address, run: str) -> bool:
    """Whether a run may exist in MLflow: looked up in a SQLite file without MLflow, assumed for other trackers."""
    if address.database is None:
        return True
    try:
        with closing(sqlite3.connect(address.database.as_uri() + "?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run,)).fetchone() is not None
    except sqlite3.Error:
        return False


def _prepared(address: Address) -> str:
    """The URI for MLflow; creates the tables of a new SQLite file. Call it under the lock.

    A new file is created under another name and then moved, because interrupted migrations cannot be resumed. MLflow
    keeps SQLite files open, per URI, as long as the process lives: a replaced file needs another spelling of its URI.
    """
    database = address.database
    if database is None:
        return address.uri
    if not database.exists() or database.stat().st_size == 0:
        for left in database.parent.glob(f".{database.name}.*"):  # left by killed processes
            left.unlink(missing_ok=True)
        if os.name != "nt":  # Windows cannot move open files: there, MLflow creates it in place
            beside = database.with_name(f".{database.name}.{os.getpid()}.{len(_turns.get(database, []))}")
            try:
                client_of(SQLITE + beside.as_posix())
                os.replace(beside, database)
            finally:
                beside.unlink(missing_ok=True)
        _turns.setdefault(database, []).append(0)
    number = database.stat().st_ino if database.exists() else 0
    turns = _turns.setdefault(database, [number])
    if turns[-1] == 0:
        turns[-1] = number
    elif turns[-1] != number:
        turns.append(number)
    spelling = len(turns) - 1
    mark = "&" if "?" in address.uri else "?"
    return f"{address.uri}{mark}cached_statements={128 + spelling}" if spelling else address.uri


def _refusal(error: Exception) -> int | None:
    """The status with which a server refuses a request for good, such as 403 or 413."""
    response = getattr(error, "response", None)
    status = response.status_code if response is not None else getattr(error, "get_http_status_code", lambda: 0)()
    return int(status) if 400 <= status < 500 and status not in (408, 429) else None


def _size(*texts: str) -> int:
    """Bytes of texts in a request, with up to six per non-ASCII character."""
    return sum(len(text) if text.isascii() else 6 * len(text) for text in texts) + 50
