"""A quiet, bounded connection to MLflow, which is imported here and nowhere else, when a connection is opened."""

from __future__ import annotations

import logging
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ablate.tracking.address import SQLITE, Address
from ablate.tracking.curves import Point
from ablate.tracking.describe import NOTE, PARENT, PUBLICATION, Description
from ablate.tracking.limits import METRICS_PER_CALL, NAME, PARAMS_PER_CALL, TAGS_PER_CALL, calls, cut, legal_key

Result = TypeVar("Result")

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
"""Read when MLflow is imported, so they are set for good; what the user has set stays."""

BOUNDED = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""Read at every request (MLflow's own: 7 retries of 120 s each), so they are set while publishing only."""

LOCK_SECONDS = 120.0
_turns: dict[Path, list[int]] = {}


class OutOfTime(Exception):
    """The time that was granted is over."""


class Connection:
    """Writes runs of one experiment. Every call holds the lock of the SQLite file, so that studies publishing at once take turns.

    No call begins after ``until`` (`time.monotonic`): it raises `OutOfTime` instead.
    """

    def __init__(self, address: Address, until: float | None = None) -> None:
        self.address = address
        self.experiment = ""
        self._until = until
        self._lock = None
        if address.database is not None:
            from filelock import FileLock

            address.database.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(f"{address.database}.lock", timeout=LOCK_SECONDS)
        with self._locked():  # a new SQLite file is prepared here, seconds of migrations
            from mlflow import MlflowClient

            self.client = MlflowClient(_prepared(address))

    def enter(self, study: str, run: str | None, description: str) -> bool:
        """Go to the experiment of the study's ``run``, or to the one named ``study``; make or restore it. Returns whether the run is there."""
        found = self.find(run) if run else None
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
        # without its kind MLflow 3 asks every visitor whether the experiment is about language models
        tags = {"mlflow.experimentKind": "custom_model_development", NOTE: description}
        known = experiment.tags if experiment is not None else {}
        for key, value in tags.items():
            if value and known.get(key) != value:
                self.tag_experiment(key, value)
        self._revive(found)
        return found is not None

    def find(self, run: str) -> Any | None:
        """MLflow's record of a run, None where the tracker knows no such run."""
        from mlflow.exceptions import MlflowException

        try:
            return self._call(self.client.get_run, run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise

    def there(self, run: str) -> bool:
        """Whether a run can be written to; one that lies in MLflow's trash is taken out of it."""
        found = self.find(run)
        self._revive(found)
        return found is not None

    def create(self, description: Description, parent: str | None, publication: str) -> str:
        """Make a run and return its id. ``publication`` is marked on it, so that a run whose id got lost on the way can be found."""
        start = int(time.time() * 1000) if description.start is None else description.start
        tags = {**description.tags, PUBLICATION: publication} | ({PARENT: parent} if parent else {})
        run = self._call(self.client.create_run, self.experiment, start, tags, description.name)
        return str(run.info.run_id)

    def params(self, run: str, description: Description) -> None:
        """Set the params, which can be set once."""
        from mlflow.entities import Param

        params = [Param(*pair) for pair in description.params.items()]
        for few in calls(params, PARAMS_PER_CALL, lambda param: _size(param.key, param.value)):
            self._call(self.client.log_batch, run, params=few)

    def describe(self, run: str, description: Description, old_tags: Iterable[str]) -> None:
        """Set name and tags; take away ``old_tags`` that are no more."""
        from mlflow.entities import RunTag

        tags = [RunTag(*pair) for pair in description.tags.items()]
        for some in calls(tags, TAGS_PER_CALL, lambda tag: _size(tag.key, tag.value)):
            self._call(self.client.log_batch, run, tags=some)
        for key in old_tags:
            if key not in description.tags:
                self._call(self.client.delete_tag, run, key)
        self.rename(run, description.name)

    def state(self, run: str, description: Description) -> None:
        """Set the status, and the time of the end."""
        if description.status == "RUNNING":
            self._call(self.client.update_run, run, "RUNNING")
        else:
            self._call(self.client.set_terminated, run, description.status, description.end)

    def rename(self, run: str, name: str) -> None:
        """Give a run another name."""
        self._call(self.client.update_run, run, None, name)

    def trash(self, run: str) -> None:
        """Put a run into MLflow's trash, from where it can be restored."""
        self._call(self.client.delete_run, run)

    def made_by(self, publication: str) -> Iterator[str]:
        """The ids of the runs that a publication has made in this experiment."""
        page = None
        while True:
            query = f"tags.`{PUBLICATION}` = '{publication}'"
            found = self._call(self.client.search_runs, [self.experiment], query, max_results=1000, page_token=page)
            yield from (str(run.info.run_id) for run in found)
            page = found.token
            if not page:
                return

    def discard(self, run: str) -> None:
        """Put a run that nobody knows of into the trash, as one that is not going on."""
        self._call(self.client.set_terminated, run, "KILLED")
        self.trash(run)

    def last_step(self, run: str, keys: Iterable[str]) -> int | None:
        """The last step that any of a run's curves has there; None without any."""
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

    def files(self, run: str, files: Mapping[str, bytes]) -> None:
        """Add or replace artifacts; names are relative paths."""
        with tempfile.TemporaryDirectory(prefix="ablate-") as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._call(self.client.log_artifacts, run, folder)

    def _create_experiment(self, study: str) -> str:
        from mlflow.exceptions import MlflowException

        folder = self.address.artifacts
        location = (folder / legal_key(study).replace("/", "_")).as_uri() if folder else None
        try:
            return str(self._call(self.client.create_experiment, cut(study, NAME), location))
        except MlflowException as error:
            experiment = self._call(self.client.get_experiment_by_name, cut(study, NAME))
            if error.error_code == "RESOURCE_ALREADY_EXISTS" and experiment is not None:  # somebody was faster
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
        with self._locked():
            return function(*args, **options)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            if self._lock is not None:
                stack.enter_context(self._lock)
            yield


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow without telemetry, log lines and links on the screen, and with short waits."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    mine = [key for key in BOUNDED if key not in os.environ]
    os.environ.update({key: BOUNDED[key] for key in mine})
    logger = logging.getLogger("mlflow")
    disabled = logger.manager.disable
    logging.disable(
        logging.CRITICAL
    )  # importing MLflow sets up its loggers, so their own levels cannot be lowered beforehand
    try:
        yield
    finally:
        logging.disable(disabled)
        for key in mine:
            os.environ.pop(key, None)


def knows(address: Address, run: str) -> bool:
    """Whether a run may be known there, asked without MLflow: a look into a SQLite file; of other trackers it is assumed."""
    if address.database is None:
        return True
    try:
        with ExitStack() as stack:
            database = sqlite3.connect(address.database.as_uri() + "?mode=ro", uri=True)
            stack.callback(database.close)
            return database.execute("SELECT 1 FROM runs WHERE run_uuid = ?", (run,)).fetchone() is not None
    except sqlite3.Error:
        return False


def _prepared(address: Address) -> str:
    """The URI for MLflow, with a SQLite file behind it that has its tables (call it under the lock).

    A new file is prepared beside its place and moved there when done: migrations that are interrupted cannot be taken up again. MLflow keeps SQLite
    files open, per URI, for as long as the process lives: a file that was replaced is reached by another spelling of its URI.
    """
    database = address.database
    if database is None:
        return address.uri
    if not database.exists() or database.stat().st_size == 0:
        for left in database.parent.glob(f".{database.name}.*"):  # by processes that were killed meanwhile
            left.unlink(missing_ok=True)
        if os.name != "nt":  # Windows moves no open files: there MLflow prepares it in place
            from mlflow import MlflowClient

            beside = database.with_name(f".{database.name}.{os.getpid()}.{len(_turns.get(database, []))}")
            try:
                MlflowClient(SQLITE + beside.as_posix())
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


def _size(*texts: str) -> int:
    """Bytes of texts in a request, where whatever is not ASCII takes six of them."""
    return sum(len(text) if text.isascii() else 6 * len(text) for text in texts) + 50
