"""The MLflow UI: a server on 127.0.0.1 for a database, or the link to an existing tracking server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO
from urllib.parse import quote

from ablate.addresses import safe_text
from ablate.execution.shutdown import ended_by_signals
from ablate.tracking.address import Address, resolve, trouble
from ablate.tracking.connection import QUIET, Connection, quiet
from ablate.tracking.limits import NAME, cut

HOST = "127.0.0.1"
START_SECONDS = 120.0
RUNS = "?workflowType=machine_learning&orderByKey=attributes.start_time&orderByAsc=true"  # other orders are not nested


@dataclass(frozen=True)
class Page:
    """The MLflow UI at ``url``; ``note`` is a message for the user, ``server`` the process started for it, if any."""

    url: str
    note: str = ""
    server: subprocess.Popen[bytes] | None = None


def serve(tracking_uri: str | None, port: int, study: str | None, say: Callable[[str], None]) -> int:
    """Serve the MLflow UI until Ctrl-C, or print the link of an existing server with ``say``. Returns the exit code.

    Raises RuntimeError with one line if the server does not start.
    """
    try:
        with ended_by_signals(), page(tracking_uri, port, study) as shown:
            if shown.note:
                say(shown.note)
            if shown.server is None:
                say(shown.url)
                return 0
            say(f"{shown.url}  (press Ctrl-C to stop)")
            return 1 if shown.server.wait() else 0
    except KeyboardInterrupt:
        return 0


@contextmanager
def page(tracking_uri: str | None, port: int, study: str | None) -> Iterator[Page]:
    """The MLflow UI for a study (None: for all), served on ``port`` of 127.0.0.1 or on a free port within the context.

    Raises RuntimeError with one line if the database cannot be opened or the server does not start.
    """
    address = resolve(tracking_uri)
    if address.remote:
        yield Page(*_link(address, study))
        return
    try:
        with quiet():
            Connection(address)  # a new database is prepared under the lock
    except Exception as error:
        raise RuntimeError(f"{trouble(error, address)} The MLflow UI cannot be started.") from address.shareable(error)
    free = _free_port(port)
    note = "" if port in (free, 0) else f"--port (={port}) is in use; using {free}."
    base = f"http://{HOST}:{free}"
    with tempfile.TemporaryFile() as said:
        server = _start(address, free, said)
        try:
            _wait(server, base, said, address.uri)
            experiment = _experiment(base, cut(study, NAME)) if study else None
            if study and experiment is None:
                note = f"{note} {_unpublished(study)}".strip()
            yield Page(link(base, experiment), note, server)
        finally:
            _stop(server)


def link(base: str, experiment: str | None) -> str:
    """The URL of an experiment's runs on the server at ``base``: study ▸ variants ▸ seeds, oldest first."""
    return f"{base.rstrip('/')}/#/experiments" + (f"/{experiment}/runs{RUNS}" if experiment else "")


def _link(address: Address, study: str | None) -> tuple[str, str]:
    """Link and note for an existing server. MLflow's client is used, because it can log in."""
    if study is None:
        return link(address.shown, None), ""
    try:
        with quiet():
            found = Connection(address).client.get_experiment_by_name(cut(study, NAME))
    except Exception as error:
        return link(address.shown, None), trouble(error, address)
    if found is None:
        return link(address.shown, None), _unpublished(study)
    return link(address.shown, found.experiment_id), ""


def _unpublished(study: str) -> str:
    return f"study (={study}) has not been uploaded. Upload it with 'ablate sync'."


def _free_port(port: int) -> int:
    """The port itself, or any free port if it is in use."""
    for number in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError(f"--port (={port}) is in use, and no other port of {HOST} is free.")


def _start(address: Address, port: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # uvicorn puts the working folder first on its module path, unless it gets another one
    command += ["--uvicorn-opts", f"--log-level warning --app-dir {os.devnull}"]
    if address.artifacts is not None:
        command += ["--artifacts-destination", str(address.artifacts)]
    # no background jobs: they evaluate language models, in three more processes
    env = {**QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_LOGGING_LEVEL": "ERROR"} | os.environ
    env["MLFLOW_BACKEND_STORE_URI"] = address.uri  # the command line would show the password
    env["PYTHONSAFEPATH"] = "1"  # for the processes that MLflow starts, as -P for this one
    return subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # to stop its workers with it
    )


def _wait(server: subprocess.Popen[bytes], base: str, said: IO[bytes], uri: str) -> None:
    until = time.monotonic() + START_SECONDS
    while _get(f"{base}/health") is None:
        if server.poll() is not None or time.monotonic() > until:
            _stop(server)
            said.seek(0)
            lines = safe_text(said.read().decode(errors="replace"), uri).strip().splitlines()
            raise RuntimeError(f"MLflow server (={base}) did not start: {lines[-1] if lines else 'no output'}")
        time.sleep(0.1)


def _experiment(base: str, study: str) -> str | None:
    found = _get(f"{base}/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(study, safe='')}")
    return str(json.loads(found)["experiment"]["experiment_id"]) if found else None


def _get(url: str) -> bytes | None:
    # without proxies: the server is on this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server and its workers."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        try:
            if hasattr(os, "killpg"):
                os.killpg(server.pid, number)
            else:
                server.send_signal(number)
        except ProcessLookupError:
            break
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
    server.poll()
