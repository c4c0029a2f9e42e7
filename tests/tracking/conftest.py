"""Studies made by hand in a store, and real counterparts: a SQLite file that MLflow has prepared once for all tests,
its server, PostgreSQL.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from filelock import FileLock

from ablate.planning.plan import Plan
from ablate.planning.planned_run import PlannedRun
from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Change, Compare, Variant
from ablate.store.provenance import Provenance
from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking.publish import Artifacts, Published, publish

BEGAN = 1_700_000_000.0  # seconds since 1970


def settings(**fields: Any) -> Settings:
    choices = {kind: Choice(kind, None, f"mine:{kind}", {"width": 3}) for kind in Settings.CHOICES}
    return Settings(**{**choices, "epochs": 4, **fields})


def line(epoch: int, **metrics: Any) -> dict[str, Any]:
    values = {"train_loss": 1 / epoch, "valid_loss": 2 / epoch}
    return {"epoch": epoch, "time": BEGAN + 10.5 * epoch, "seconds": 10.5, **values, **metrics}


@dataclass
class Lab:
    """A study in a store: rows are added by name, runs by status and number of epochs."""

    root: Path
    name: str = "faces"
    rows: dict[str, VariantRecord] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.root / "runs")

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def study(self) -> StudyRecord:
        rows = tuple(self.rows.values())
        variants = tuple(row.variant for row in rows)
        recipe = Recipe(self.name, "Points on a face.", variants, (0, 1), Compare(), None, self.root, "study: faces\n")
        return StudyRecord(recipe, rows)

    @property
    def plan(self) -> Plan:
        study = self.study
        runs = ((row.variant, run) for row in study.rows for run in row.runs)
        return Plan(study.recipe, tuple(PlannedRun(each, run.seed, run.fingerprint, "", run) for each, run in runs))

    def row(self, name: str, *runs: RunRecord, parent: str | None = None, **fields: Any) -> None:
        changes = (Change(name, "add", "flip"),) if parent else ()
        variant = Variant(name, parent, f"what {name} is", changes, settings(**fields), {"valid_loss": 0.25})
        self.rows[name] = VariantRecord(variant, runs)

    def run(self, fingerprint: str, seed: int = 0, status: Any = "finished", epochs: int = 4, **more: Any) -> RunRecord:
        """Write the files of a run and return what is known of it."""
        self.write_lines(fingerprint, [line(epoch + 1) for epoch in range(epochs)])
        self.store.write_provenance(fingerprint, Provenance(git_commit="abc123", torch="2.13", device="cpu"))
        finished = None if status in ("queued", "running") else BEGAN + 100
        known = RunRecord(fingerprint, seed, None, status, epoch=epochs, epochs=4, started=BEGAN, finished=finished)
        if status == "finished":
            known = replace(known, selected_epoch=4, results={"selected": {"valid_loss": 0.5}}, seconds=42.0)
        return replace(known, **more)

    def write_lines(self, fingerprint: str, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(each) + "\n" for each in lines)
        self.store.write_text(self.store.run_folder(fingerprint) / "metrics.jsonl", text)

    def publish(self, artifacts: Artifacts | None = None, **options: Any) -> Published:
        return publish(self.study, self.store, tracking_uri=self.uri, artifacts=artifacts, **options)

    def sent(self, artifacts: Artifacts | None = None, **options: Any) -> Published:
        """Publish, which must succeed."""
        published = self.publish(artifacts, **options)
        assert published.ok, published.reason
        return published

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def found(self, kind: str, uri: str | None = None) -> dict[str, Any]:
        """The study's MLflow runs of a kind, by name."""
        from mlflow import MlflowClient

        client = MlflowClient(uri or self.uri)
        experiment = client.get_experiment_by_name(self.name)
        runs = client.search_runs([experiment.experiment_id], f"tags.`ablate.kind` = '{kind}'")
        names = [run.info.run_name for run in runs]
        assert len(names) == len(set(names)), f"twice in MLflow: {names}"
        return {run.info.run_name: run for run in runs}


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Makes a folder once for all processes of this session of tests."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], None]) -> Path:
        with FileLock(base / f"{name}.lock"):
            if not (base / name).exists():
                (base / f"{name}.new").mkdir()
                fill(base / f"{name}.new")
                (base / f"{name}.new").rename(base / name)
        return base / name

    return make


@pytest.fixture(scope="session")
def prepared(once: Callable[..., Path]) -> Path:
    """A SQLite file with MLflow's tables: seconds of migrations, hence once."""

    def fill(folder: Path) -> None:
        lab = Lab(folder)
        lab.row("net1", lab.run("f1"))
        lab.sent()
        experiment = lab.client.get_experiment_by_name(lab.name)
        lab.client.rename_experiment(experiment.experiment_id, "somebody else's")

    return once("prepared", fill) / "mlflow.db"


@pytest.fixture
def lab(tmp_path: Path, prepared: Path) -> Lab:
    """An empty study beside a prepared database."""
    shutil.copy(prepared, tmp_path / "mlflow.db")
    return Lab(tmp_path)


@pytest.fixture
def study_of_two(lab: Lab) -> Lab:
    """net1 with two finished seeds, net2 with one finished and one running."""
    lab.row("net1", lab.run("a0"), lab.run("a1", seed=1))
    lab.row("net2", lab.run("b0"), lab.run("b1", seed=1, status="running", epochs=2), parent="net1", batch_size=32)
    return lab


RECIPE = """
study: tiny
description: Ten digits.
seeds: 2
data: digits
baseline:
  name: net1
  description: one hidden layer
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 5
variants:
  - {name: net2, description: wider, set: {model.hidden: [8]}}
"""


IMPORTS = (
    "mlflow",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.tracking.rest_store",
    "mlflow.cli",
    "mlflow.server.fastapi_app",
)
"""What the process that publishes, and MLflow's server, import in seconds."""


@pytest.fixture(scope="session", autouse=True)
def warm_mlflow(warm: Any) -> None:
    """Commands and helpers share MLflow's import, too."""
    warm.imports = IMPORTS


@dataclass(frozen=True)
class Desk:
    """A folder with a recipe in it, where commands are given."""

    folder: Path
    warm: Any

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Give a command and do not wait for it."""
        others = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        environment = {**others, "NO_PROXY": "*", **variables}
        return self.warm.start(self.folder, *words, environment=environment, start_new_session=True)

    def give(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Give a command and wait for its end."""
        process = self.start(*words, **variables)
        out, error = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, error)


@pytest.fixture(scope="session")
def trained(once: Callable[..., Path], warm: Any) -> Path:
    """A folder with the recipe, trained, of which MLflow has heard nothing."""

    def fill(folder: Path) -> None:
        (folder / "recipe.yaml").write_text(RECIPE)
        done = Desk(folder, warm).give("run", "recipe.yaml", "--no-mlflow")
        assert done.returncode == 0, done.stderr

    return once("trained", fill)


@pytest.fixture
def desk(tmp_path: Path, trained: Path, prepared: Path, warm: Any) -> Desk:
    """A trained study that MLflow does not know, beside a prepared database."""
    shutil.copytree(trained, tmp_path / "desk")
    shutil.copy(prepared, tmp_path / "desk" / "mlflow.db")
    return Desk(tmp_path / "desk", warm)


@pytest.fixture
def fresh_desk(tmp_path: Path, prepared: Path, warm: Any) -> Desk:
    """A study of which nothing is trained, beside a prepared database."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "recipe.yaml").write_text(RECIPE)
    shutil.copy(prepared, tmp_path / "desk" / "mlflow.db")
    return Desk(tmp_path / "desk", warm)


class Door:
    """An address in front of a tracking server, which lets requests through (``open``), answers each with an error
    (``500``), takes them and never answers (``silent``), or lets ``left`` of them through and then loses the answer to
    one and is ``silent`` (``dying``).
    """

    def __init__(self, upstream: str, mode: str = "open", left: int = 0) -> None:
        self.upstream, self.mode, self.left = urlparse(upstream), mode, left
        self.asked, self.over = threading.Event(), threading.Event()
        self.seen: list[str] = []
        self.lost = ""
        door = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                door.answer(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append(f"{request.command} {request.path}")
        self.asked.set()
        if self.mode == "500":
            request.send_error(500)
            return
        if self.mode == "silent":
            self.over.wait()
            return
        self.left -= 1
        forward = http.client.HTTPConnection(str(self.upstream.hostname), int(self.upstream.port or 80))
        headers = {key: value for key, value in request.headers.items() if key.lower() != "host"}
        forward.request(request.command, request.path, body, headers)
        answer = forward.getresponse()
        content = answer.read()
        if self.mode == "dying" and self.left <= 0:
            self.mode, self.lost = "silent", f"{request.command} {request.path}"
            return
        request.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in ("transfer-encoding", "connection", "content-length"):
                request.send_header(key, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def doors() -> Iterator[Callable[..., Door]]:
    """Makes doors, which are closed at the end of the test."""
    made: list[Door] = []

    def make(upstream: str, mode: str = "open", left: int = 0) -> Door:
        made.append(Door(upstream, mode, left))
        return made[-1]

    yield make
    for door in made:
        door.close()


@pytest.fixture
def server(running_server: str) -> str:
    """The address of an MLflow server on a SQLite file, with nothing of earlier tests under the names that they used."""
    from mlflow import MlflowClient

    client = MlflowClient(running_server)
    for experiment in client.search_experiments():
        if experiment.name != "Default" and not experiment.name.startswith("earlier "):
            client.rename_experiment(experiment.experiment_id, f"earlier {experiment.experiment_id} {experiment.name}")
    return running_server


@pytest.fixture(scope="session")
def running_server(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[str]:
    """The server itself, one for all tests of a process."""
    from ablate.tracking.ui import page

    folder = tmp_path_factory.mktemp("server")
    shutil.copy(prepared, folder / "mlflow.db")
    with page(f"sqlite:///{folder}/mlflow.db", 0, None) as shown:
        yield shown.url.partition("/#")[0]


@pytest.fixture(scope="session")
def give(warm: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Gives a command in a folder."""
    return lambda folder, *words: Desk(folder, warm).give(*words)


@pytest.fixture(scope="session")
def postgres(required: Callable[[str], None]) -> Iterator[str]:
    """The URI of an empty database in a PostgreSQL cluster of its own, on a free port of this machine."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = str(programs[-1]) if programs else os.path.dirname(shutil.which("initdb") or "")
    if not Path(found or "nowhere", "initdb").exists():
        required("PostgreSQL (Debian's package postgresql)")
    if importlib.util.find_spec("psycopg2") is None:
        required("psycopg2 (the package's extra 'dev')")
    folder = Path(tempfile.mkdtemp(prefix="ablate-pg-"))
    become: dict[str, Any] = {}
    if os.getuid() == 0:  # the server refuses to be root
        shutil.chown(folder, "postgres", "postgres")
        become = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def program(name: str, *words: str) -> None:
        done = subprocess.run(
            [f"{found}/{name}", *words], cwd=folder, capture_output=True, text=True, check=False, **become
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    cluster, said = str(folder / "cluster"), str(folder / "log")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    try:
        program("initdb", "-D", cluster, "-U", "ablate", "--auth", "trust", "--no-sync", "--encoding", "UTF8")
        program("pg_ctl", "-D", cluster, "-l", said, "-o", options, "-w", "start")
        try:
            yield f"postgresql+psycopg2://ablate:unused@127.0.0.1:{port}/postgres"
        finally:
            program("pg_ctl", "-D", cluster, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def curves(study: str, uri: str) -> dict[str, dict[str, list[int]]]:
    """The steps of every curve of every seed of a study: run → metric → steps, as MLflow's history has them."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(study)
    assert experiment is not None, f"{study} is not published"
    runs = client.search_runs([experiment.experiment_id], "tags.`ablate.kind` = 'seed'")
    assert len({run.info.run_name for run in runs}) == len(runs)
    return {
        run.info.run_name: {
            key: [point.step for point in client.get_metric_history(run.info.run_id, key)] for key in run.data.metrics
        }
        for run in runs
    }


def states(study: str, uri: str) -> set[str]:
    """The states of all runs of a study in MLflow."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return {run.info.status for run in client.search_runs([client.get_experiment_by_name(study).experiment_id])}


@pytest.fixture
def steps_of() -> Callable[[str, str], dict[str, dict[str, list[int]]]]:
    """The steps of every curve of every seed of a study in MLflow."""
    return curves


@pytest.fixture
def states_of() -> Callable[[str, str], set[str]]:
    """The states of all runs of a study in MLflow."""
    return states


@pytest.fixture
def is_whole() -> Callable[..., None]:
    """Asserts that MLflow has the tiny study: every epoch of every seed once, and nothing left running."""

    def check(uri: str, study: str = "tiny", seeds: int = 4, epochs: int = 5) -> None:
        found = curves(study, uri)
        assert len(found) == seeds
        for name, metrics in found.items():
            assert "valid_loss" in metrics, name
            for key, steps in metrics.items():
                assert steps == list(range(1, epochs + 1)), f"{name}: {key}"
        assert states(study, uri) == {"FINISHED"}

    return check
