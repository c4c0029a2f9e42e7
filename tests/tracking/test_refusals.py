"""Servers that refuse artifacts, ask to wait for an hour, or send a byte now and then; and runs that were deleted."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from ablate.tracking.publish import Artifacts, needs_publishing, publish

ARTIFACTS = Artifacts("study: faces\n", {"table.md": "| a |", "table.csv": "a"}, "| a |")


@pytest.mark.parametrize("status", [403, 413])
def test_a_refused_artifact_is_said_and_sent_later_and_costs_nothing_else(lab, monkeypatch, status):
    from mlflow import MlflowClient
    from requests import HTTPError, Response

    lab.row("net1", lab.run("a0"))
    accept = MlflowClient.log_artifact

    def refuse(self: Any, run: str, path: str, place: str | None = None) -> None:
        if path.endswith(".md"):
            answer = Response()
            answer.status_code = status
            raise HTTPError("refused", response=answer)
        accept(self, run, path, place)

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    for check in (False, True):
        published = lab.publish(ARTIFACTS, check=check)
        assert not published.ok
        assert published.refused
        assert published.reason.endswith(
            f"has all runs and curves, but refused artifacts: tables/table.md (error {status})."
        )
    (seed,) = lab.found("seed").values()
    assert len(lab.client.get_metric_history(seed.info.run_id, "train_loss")) == 4
    study = lab.found("study")["faces"].info.run_id
    assert [file.path for file in lab.client.list_artifacts(study, "tables")] == ["tables/table.csv"]
    assert needs_publishing(lab.study, lab.store, lab.uri, ARTIFACTS)
    monkeypatch.setattr(MlflowClient, "log_artifact", accept)
    assert lab.sent(ARTIFACTS, check=True).runs == 0
    assert [file.path for file in lab.client.list_artifacts(study, "tables")] == ["tables/table.csv", "tables/table.md"]
    assert not needs_publishing(lab.study, lab.store, lab.uri, ARTIFACTS)


@contextmanager
def answering(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server with one answer to everything; its address, and what it was asked."""
    over, asked = threading.Event(), []

    def serve(connection: socket.socket) -> None:
        with connection:
            asked.append(connection.recv(65536))
            with suppress(OSError):  # hung up
                answer(connection, over)

    def listen() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = [threading.Thread(target=listen)]
        threads[0].start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


def drip(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.01):
        connection.sendall(b" ")


def drip_headers(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not over.wait(0.01):
        connection.sendall(b"x")


def later(connection: socket.socket, _: threading.Event) -> None:
    connection.sendall(
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3600\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (drip, "does not respond.", {1, 2}),
        (drip_headers, "does not respond.", {2}),
        (later, "responds with error 429.", {2}),
    ],
)
def test_every_request_is_bounded(lab, monkeypatch, answer, reason, requests):
    """Without a bound, this test does not end."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    lab.row("net1", lab.run("a0"))
    with answering(answer) as (uri, asked):
        published = publish(lab.study, lab.store, tracking_uri=uri)
    assert published.reason == f"MLflow (={uri}) {reason}"
    assert len(asked) in requests


def collect(lab: Any, *runs: str) -> None:
    """Delete runs as `mlflow gc` does."""
    with closing(sqlite3.connect(lab.database)) as database, database:
        for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
            database.executemany(f"DELETE FROM {table} WHERE run_uuid = ?", [(run,) for run in runs])


@pytest.mark.parametrize("check", [True, False])
def test_a_study_that_was_deleted_for_good_gets_its_runs_back(study_of_two, check):
    lab = study_of_two
    lab.sent(ARTIFACTS)
    before = {name: run.info.run_id for kind in ("variant", "seed") for name, run in lab.found(kind).items()}
    collect(lab, lab.found("study")["faces"].info.run_id)
    published = lab.sent(ARTIFACTS, check=check)
    assert (published.runs, published.points) == (1, 0)
    after = {name: run.info.run_id for kind in ("variant", "seed") for name, run in lab.found(kind).items()}
    assert after == before
    study = lab.found("study")["faces"].info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in lab.found("variant").values()} == {study}
    assert {file.path for file in lab.client.list_artifacts(study)} == {"recipe.yaml", "tables"}


def test_a_variant_that_was_deleted_for_good_gets_its_seeds_back(study_of_two):
    lab = study_of_two
    lab.sent()
    collect(lab, lab.found("variant")["net2"].info.run_id)
    assert lab.sent(check=True).runs == 1
    variant = lab.found("variant")["net2"].info.run_id
    seeds = lab.found("seed")
    assert len(seeds) == 4
    assert {seeds[name].data.tags["mlflow.parentRunId"] for name in ("net2 · seed 0", "net2 · seed 1")} == {variant}


@pytest.mark.slow
def test_a_server_that_refuses_artifacts_gets_all_curves_and_later_the_artifacts(desk, server, doors, is_whole):
    door = doors(server)
    forward = door.answer

    def refuse(request: Any) -> None:
        if request.command == "PUT" and "/artifacts/" in request.path:
            request.rfile.read(int(request.headers.get("Content-Length") or 0))
            request.send_error(413)
        else:
            forward(request)

    door.answer = refuse
    done = desk.give("run", "recipe.yaml", "--tracking-uri", door.uri)
    assert done.returncode == 0
    assert "has all runs and curves, but refused artifacts: recipe.yaml (error 413), " in done.stderr
    assert desk.give("sync", "recipe.yaml", "--tracking-uri", door.uri).returncode == 1
    door.answer = forward
    assert desk.give("sync", "recipe.yaml", "--tracking-uri", door.uri).returncode == 0
    is_whole(server)
