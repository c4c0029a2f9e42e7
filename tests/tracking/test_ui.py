"""MLflow's own server on a SQLite file: its page, and publishing through it."""

from __future__ import annotations

import json
import math
import shutil
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

from ablate.cli.app import run_command
from ablate.tracking.publish import Artifacts, needs_publishing, publish
from ablate.tracking.ui import Page, link, page, serve


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, prepared: Path, taken: int) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(prepared, folder / "mlflow.db")
    with page(f"sqlite:///{folder}/mlflow.db", taken, "somebody else's") as shown:
        yield shown
    assert shown.server is not None
    assert shown.server.poll() is not None


def base(shown: Page) -> str:
    url = urlparse(shown.url)
    return f"{url.scheme}://{url.netloc}"


def test_page_is_on_this_machine_on_a_free_port_and_shows_the_study(shown, taken):
    url = urlparse(shown.url)
    assert url.hostname == "127.0.0.1"
    assert shown.note == f"--port (={taken}) is in use; using {url.port}."
    request = urllib.request.Request(f"{base(shown)}/api/2.0/mlflow/experiments/get?experiment_id=1")
    found = json.loads(urllib.request.urlopen(request).read())
    assert found["experiment"]["name"] == "somebody else's"
    assert url.fragment.startswith("/experiments/1/runs?")


def test_publishing_through_a_server(shown, study_of_two, monkeypatch):
    lab = study_of_two
    lab.name = 'faces, "ünïcode" & 100%'
    lab.write_lines("a0", [{"epoch": n, "time": 1_700_000_000 + n, "train_loss": 1 / n} for n in range(1, 1501)])
    artifacts = Artifacts("study: faces\n", {"table.md": "| a |"}, "| a |", {}, {"net1": {"valid_loss": 0.5, "p": 1.0}})
    published = publish(lab.study, lab.store, tracking_uri=base(shown), artifacts=artifacts)
    assert published.ok, published.reason
    assert not needs_publishing(lab.study, lab.store, base(shown), artifacts)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", base(shown))
    seed = lab.found("seed", base(shown))["net1 · seed 0"]
    from mlflow import MlflowClient

    client = MlflowClient(base(shown))
    steps = [point.step for point in client.get_metric_history(seed.info.run_id, "train_loss")]
    assert steps == list(range(1, 1501))
    study = lab.found("study", base(shown))[lab.name]
    folder = client.download_artifacts(study.info.run_id, "", str(lab.root))
    assert (Path(folder) / "tables" / "table.md").read_text() == "| a |"
    later = Artifacts("study: faces\n", {"table.md": "| a |"}, "| a |", {}, {"net1": {"valid_loss": 0.5}})
    again = publish(lab.study, lab.store, artifacts=later)
    assert (again.ok, again.runs, again.points) == (True, 0, 1)
    assert math.isnan(lab.found("variant", base(shown))["net1"].data.metrics["p"])


def test_server_that_runs_already_gets_a_link(shown, lab):
    lines: list[str] = []
    assert serve(base(shown), 5000, "somebody else's", lines.append) == 0
    assert lines == [link(base(shown), "1")]
    lines.clear()
    serve(base(shown), 5000, "nobody's", lines.append)
    assert lines[0].startswith("study (=nobody's) ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_a_signal_and_takes_its_server_along(lab, warm, number):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    with warm.start(lab.root, "ui", "--tracking-uri", lab.uri, "--port", port) as process:
        url = process.stderr.readline().split()[0]
        process.send_signal(number)
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out, error) == (0, "", "")
    assert _refused(url)


def test_database_that_cannot_be_served_is_told_in_one_line(lab: Any, capsys: pytest.CaptureFixture[str]):
    lab.database.write_bytes(b"my diary, not a database" * 100)
    with pytest.raises(RuntimeError, match="not a database"), page(lab.uri, 5000, None):
        pass
    assert run_command(["ui", "--tracking-uri", lab.uri]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("MLflow (=")
    assert line.startswith("MLflow (=")


def _refused(url: str) -> bool:
    address = urlparse(url)
    with socket.socket() as probe:
        return probe.connect_ex((str(address.hostname), int(address.port or 0))) != 0
