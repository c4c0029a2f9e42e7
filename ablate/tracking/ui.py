"""MLflow's page: a server of its own on 127.0.0.1 for a database, or the link to a server that runs already."""

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

from ablate.execution.signals import ended_by_signals
from ablate.tracking.address import Address, resolve
from ablate.tracking.connection import QUIET, Connection, quiet
from ablate.tracking.error_text import trouble
from ablate.tracking.limits import NAME, cut

HOST = "127.0.0.1"
START_SECONDS = 120.0
RUNS = "?workflowType=machine_learning&orderByKey=attributes.start_time&orderByAsc=true"  # other orders are shown without nesting


@dataclass(frozen=True)
class Page:
    """MLflow's page at ``url``; ``note`` says what was not as asked for; ``server`` is the process that serves it, if it is ours."""

    url: str
    note: str = ""
    server: subprocess.Popen[bytes] | None = None


def serve(tracking_uri: str | None, port: int, study: str | None, say: Callable[[str], None]) -> int:
    """Serve MLflow's page until Ctrl-C, or give the link where a server runs already; ``say`` gets the lines for the user. Returns the exit code.

    Raises RuntimeError with one line when the server does not start.
    """
    try:
        with ended_by_signals(), page(tracking_uri, port, study) as shown:
            if shown.note:
                say(shown.note)
            if shown.server is None:
                say(shown.url)
                return 0
            say(f"{shown.url}  (Ctrl-C ends it)")
            return 1 if shown.server.wait() else 0
    except KeyboardInterrupt:
        return 0


@contextmanager
def page(tracking_uri: str | None, port: int, study: str | None) -> Iterator[Page]:
    """MLflow's page on a study (None: on all of them), served on ``port`` of 127.0.0.1 or on a free one, as long as the context lasts.

    Raises RuntimeError with one line when the database cannot be opened or the server does not start.
    """
    address = resolve(tracking_uri)
    if address.remote:
        yield Page(*_link(address, study))
        return
    try:
        with quiet():
            Connection(address)  # a new database is prepared under the lock
    except Exception as error:
        raise RuntimeError(f"{trouble(error, address)} Nothing can be shown.") from error
    free = _free_port(port)
    note = "" if port in (free, 0) else f"port (={port}) is taken: using {free}."
    base = f"http://{HOST}:{free}"
    with tempfile.TemporaryFile() as said:
        server = _start(address, free, said)
        try:
            _wait(server, base, said)
            experiment = _experiment(base, cut(study, NAME)) if study else None
            if study and experiment is None:
                note = f"{note} study (={study}) is not published there yet: 'ablate sync' publishes it.".strip()
            yield Page(link(base, experiment), note, server)
        finally:
            _stop(server)


def link(base: str, experiment: str | None) -> str:
    """The address of an experiment's runs on the server at ``base``: the study ▸ variants ▸ seeds, the first one first."""
    return f"{base.rstrip('/')}/#/experiments" + (f"/{experiment}/runs{RUNS}" if experiment else "")


def _link(address: Address, study: str | None) -> tuple[str, str]:
    """Link and note for a server that is not ours. MLflow's client asks it, since it knows how to log in."""
    if study is None:
        return link(address.shown, None), ""
    try:
        with quiet():
            found = Connection(address).client.get_experiment_by_name(cut(study, NAME))
    except Exception as error:
        return link(address.shown, None), trouble(error, address)
    if found is None:
        return link(address.shown, None), f"study (={study}) is not published there yet: 'ablate sync' publishes it."
    return link(address.shown, found.experiment_id), ""


def _free_port(port: int) -> int:
    """The port itself, or any free one if it is taken."""
    for number in (port, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, number))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError(f"port (={port}) is taken and no other is free on {HOST}.")


def _start(address: Address, port: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--uvicorn-opts",
        "--log-level warning",
    ]
    if address.artifacts is not None:
        command += ["--artifacts-destination", str(address.artifacts)]
    # no background jobs: those are for judging language models, and would be three more processes
    env = {**QUIET, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_LOGGING_LEVEL": "ERROR"} | os.environ
    env["MLFLOW_BACKEND_STORE_URI"] = address.uri  # not on the command line, where everybody reads the password
    return subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # so that its workers can be ended with it
    )


def _wait(server: subprocess.Popen[bytes], base: str, said: IO[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while _get(f"{base}/health") is None:
        if server.poll() is not None or time.monotonic() > until:
            _stop(server)
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"MLflow's server (={base}) did not start: {lines[-1] if lines else 'it says nothing'}")
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
    """End the server and its workers."""
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
