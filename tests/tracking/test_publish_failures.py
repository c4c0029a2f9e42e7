"""What publishing does when MLflow, the network or the disk does not do its part."""

from __future__ import annotations

import json
import os
import pickle
import re
import resource
import socket
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from ablate.tracking.address import resolve
from ablate.tracking.publish import Artifacts, needs_publishing, publish

PUBLISH = """# fork
import pickle, sys
study, store, uri = pickle.load(open(sys.argv[1], "rb"))
from ablate.tracking.publish import publish
published = publish(study, store, tracking_uri=uri)
print(published.ok, published.reason)
"""


def start(lab: Any, uri: str | None, **options: Any) -> subprocess.Popen[str]:
    """Publish in a process of its own."""
    file = lab.root / f"{lab.name}.pickle"
    file.write_bytes(pickle.dumps((lab.study, lab.store, uri)))
    command = [sys.executable, "-c", PUBLISH, str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=lab.root, **options)


def steps(lab: Any) -> list[int]:
    (run,) = lab.found("seed").values()
    return [point.step for point in lab.client.get_metric_history(run.info.run_id, "train_loss")]


def test_server_that_is_not_there_gives_a_reason(lab):
    lab.row("net1", lab.run("a0"))
    published = publish(lab.study, lab.store, tracking_uri="http://user:secret@127.0.0.1:9")
    assert not published.ok
    assert published.reason == "MLflow (=http://127.0.0.1:9) does not respond."
    assert published.error is not None
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ
    assert "secret" not in "".join(path.read_text() for path in lab.root.rglob("*.json"))
    assert needs_publishing(lab.study, lab.store, "http://user:secret@127.0.0.1:9")


def test_scheme_that_mlflow_does_not_know_is_refused_before_training(lab):
    lab.row("net1", lab.run("a0"))
    said = r"tracking URI \(=foo://x\) has an unsupported scheme\. Use a URI such as sqlite:///mlflow\.db or http"
    with pytest.raises(ValueError, match=said):
        publish(lab.study, lab.store, tracking_uri="foo://x")


@pytest.mark.parametrize(
    "uri", ["sqlite:///a.db", "http://x", "postgresql+psycopg2://u@h/d", "file:///m", "mlruns", "databricks", "C:/m"]
)
def test_known_schemes_are_accepted(uri):
    assert resolve(uri).uri.startswith(uri.partition("a.db")[0])


def test_server_that_answers_nonsense_gives_a_reason(lab):
    lab.row("net1", lab.run("a0"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 418 no\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        threading.Thread(target=answer, daemon=True).start()
        published = publish(lab.study, lab.store, tracking_uri=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert not published.ok
    assert "could not be written" in published.reason
    assert "\n" not in published.reason


def test_file_that_is_no_database_is_left_alone(lab):
    lab.row("net1", lab.run("a0"))
    lab.database.write_bytes(b"my diary, not a database" * 100)
    published = lab.publish()
    assert not published.ok
    assert "is not a database" in published.reason
    assert lab.database.read_bytes() == b"my diary, not a database" * 100


def test_folder_in_the_place_of_the_database_is_left_alone_and_said(lab, tmp_path):
    from ablate.tracking.external_runs import fetch

    lab.row("net1", lab.run("a0"))
    (tmp_path / "folder.db").mkdir()
    uri = f"sqlite:///{tmp_path / 'folder.db'}"
    said = f"MLflow (={uri}) is a folder, not a database. Remove it, or set --tracking-uri."
    assert publish(lab.study, lab.store, tracking_uri=uri).reason == said
    with pytest.raises(ValueError, match="is a folder, not a database"):
        fetch("faces", uri)
    assert list((tmp_path / "folder.db").iterdir()) == []


def test_full_disk_is_one_line_and_the_rest_is_sent_later(lab):
    """The disk takes no byte more than the files have."""
    lab.row("net1", lab.run("a0", epochs=3000))
    size = lab.database.stat().st_size
    process = start(lab, lab.uri, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    out, error = process.communicate()
    assert out.startswith(f"False MLflow (={lab.uri}) could not be written: ")
    assert (len(out.splitlines()), error) == (1, "")
    lab.sent()
    assert steps(lab) == [*range(1, 3001)]


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "must not be empty"),
        (" ", "must not be empty"),
        ("localhost:5000", "Use http://localhost:5000 for a tracking server, or ./localhost:5000 for a folder."),
        ("mlflow.example.org", "Use http://mlflow.example.org for a tracking server"),
        ("u:hunter2@host:5000/x", "(=host:5000/x) has no scheme"),
        ("htp://x", "has an unsupported scheme"),
        ("http:/x", "must start with http://."),
        ("http://", "has no host"),
        ("http://h:abc", "has no valid host and port"),
        (" http://h", "must not contain spaces"),
        ("http://h x", "must not contain spaces"),
        ("sqlite://mlflow.db", "must start with sqlite:///"),
    ],
)
def test_address_that_cannot_be_one_is_refused_with_the_fix(uri, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        resolve(uri)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mlruns", "./mlruns", "../x.y", "/a/b", "old.runs", "HTTP://x", "sqlite:///my folder/m.db"]
)
def test_folders_and_spellings_that_mlflow_takes_are_kept(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.runs").mkdir()
    assert resolve(uri).uri.lower().endswith(uri.lower().removeprefix("sqlite:///"))


def test_disk_that_does_not_take_artifacts_costs_neither_runs_nor_curves(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    (lab.root / "mlartifacts").write_text("a file in the place of the folder")
    published = lab.publish(Artifacts(recipe="study: faces\n"))
    assert not published.ok
    (lab.root / "mlartifacts").unlink()
    assert lab.sent(Artifacts(recipe="study: faces\n")).runs == 0
    assert (lab.root / "mlartifacts").is_dir()


def test_database_that_was_removed_is_filled_again(lab):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    lab.database.unlink()
    assert needs_publishing(lab.study, lab.store, lab.uri)
    assert lab.sent().runs == 3
    done, said = start(lab, lab.uri).communicate()
    assert (done, said) == ("True \n", "")
    lab.sent()
    assert not needs_publishing(lab.study, lab.store, lab.uri)
    script = (
        "import sys, sqlite3; print(sqlite3.connect(sys.argv[1]).execute('select count(*) from runs').fetchone()[0])"
    )
    count = subprocess.run(
        [sys.executable, "-c", script, str(lab.database)], capture_output=True, text=True, check=True
    )
    assert count.stdout == "3\n"


def test_experiment_and_runs_in_the_trash_are_restored(study_of_two):
    lab = study_of_two
    lab.sent()
    client = lab.client
    client.delete_experiment(client.get_experiment_by_name("faces").experiment_id)
    lab.row("net3", lab.run("c0"), batch_size=16)
    assert lab.sent().runs == 2
    assert sorted(lab.found("variant")) == ["net1", "net2", "net3"]
    client.delete_run(lab.found("variant")["net2"].info.run_id)
    runs = lab.rows["net2"].runs
    lab.row("net2", runs[0], replace(runs[1], status="failed"), parent="net1", batch_size=32)
    assert lab.sent().runs == 0
    assert lab.found("variant")["net2"].info.status == "FAILED"


def test_checking_sends_again_what_the_tracker_has_lost(lab):
    lab.row("net1", lab.run("a0"), lab.run("a1", seed=1))
    lab.sent()
    import sqlite3

    lost = lab.found("seed")["net1 · seed 1"].info.run_id
    with sqlite3.connect(lab.database) as database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.execute(f"delete from {table} where run_uuid = ?", (lost,))
    assert lab.sent().runs == 0
    assert lab.sent(check=True).runs == 1
    assert sorted(lab.found("seed")) == ["net1 · seed 0", "net1 · seed 1"]
    assert lab.sent(check=True).points == 0


def test_time_that_is_over_leaves_the_rest_for_later(lab):
    lab.row("net1", lab.run("a0"))
    published = lab.publish(within=0.0)
    assert not published.ok
    assert "timed out after 0 s" in published.reason
    lab.sent(within=600.0)
    assert steps(lab) == [1, 2, 3, 4]


CALLS = 19
"""How many calls the first publication of a run takes."""


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", range(1, CALLS + 2))
def test_interruption_at_any_call_repeats_and_loses_nothing(lab, monkeypatch, stop_at):
    from ablate.tracking.connection import Connection

    lab.row("net1", lab.run("a0"))
    artifacts = Artifacts("study: faces\n", {"table.md": "| a |"}, "| a |", {}, {"net1": {"valid_loss": 0.5}})
    call, calls = Connection._call, []

    def interrupted(self: Connection, function: Any, *args: Any, **options: Any) -> Any:
        calls.append(function)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return call(self, function, *args, **options)

    monkeypatch.setattr(Connection, "_call", interrupted)
    with pytest.raises(KeyboardInterrupt) if stop_at <= CALLS else nullcontext():
        lab.publish(artifacts)
    lab.sent(artifacts)
    assert steps(lab) == [1, 2, 3, 4]
    assert lab.found("variant")["net1"].info.status == lab.found("study")["faces"].info.status == "FINISHED"
    assert lab.found("variant")["net1"].data.metrics == {"valid_loss": 0.5}
    assert lab.found("study")["faces"].data.tags["mlflow.note.content"] == "| a |"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1, "trackers": {"x": 3}}', '{"version": 99}'])
def test_unreadable_ledger_counts_as_empty(lab, text):
    lab.row("net1", lab.run("a0"))
    lab.store.write_text(lab.store.study_folder("faces") / "published.json", text)
    assert needs_publishing(lab.study, lab.store, lab.uri)
    assert lab.sent().runs == 3


def test_studies_at_once_share_one_new_file_quietly(lab):
    studies = []
    lab.database.unlink()
    for name in ("one", "two"):
        lab.name = name
        lab.row("net1", lab.run(f"{name}0", epochs=400), lab.run(f"{name}1", seed=1, epochs=400))
        studies.append(start(lab, None, env={k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}))
    assert [process.communicate() for process in studies] == [("True \n", "")] * 2
    for lab.name in ("one", "two"):
        assert len(lab.found("seed")) == 2


def test_ledger_knows_each_tracking_uri_by_itself(lab, monkeypatch, tmp_path):
    lab.row("net1", lab.run("a0"))
    lab.sent()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    assert needs_publishing(lab.study, lab.store)
    assert not needs_publishing(lab.study, lab.store, lab.uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not needs_publishing(lab.study, lab.store)
    ledger = json.loads((lab.store.study_folder("faces") / "published.json").read_text())
    assert list(ledger["trackers"]) == ["sqlite:///../mlflow.db"]
