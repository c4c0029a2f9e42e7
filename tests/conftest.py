"""What all tests share: the command line as users call it, a report that listens, the real faces beside the project,
and caches of their own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported. Tests train tiny networks on all cores at once: more threads only wait for each other, at five times the CPU time.
os.environ["OMP_NUM_THREADS"] = "1"

from ablate.engine.contract import Facts

CHROMIUM = "/usr/bin/chromium"
QUIETLY = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WARM = Path(__file__).parent / "warm.py"
FACES = Path(__file__).parents[2] / "shared" / "data" / "faces96.npz"


def pytest_configure() -> None:
    """Let modules be compiled once, not by each worker and process, whatever the shell says."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session", autouse=True)
def heard_signals() -> None:
    """Commands of the tests hear Ctrl-C and a closed terminal, however the tests were started: in the background, or under nohup, both are ignored."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep parsed data of all tests in one folder per session, away from the user's."""
    os.environ["ABLATE_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "ablate-cache")


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Global generators start alike for each test: what passes once passes always, in any order and on any worker."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)  # torch.manual_seed takes 2 ms


@pytest.fixture(scope="session")
def faces() -> Path:
    """The real faces; skips where they are not there, unless ABLATE_REQUIRE_SHARED says that they must be."""
    if FACES.exists():
        return FACES
    if os.environ.get("ABLATE_REQUIRE_SHARED"):
        pytest.fail(f"the real faces are not there: {FACES.name} is missing in the shared folder beside the project")
    pytest.skip("needs the real faces in the shared folder beside the project")


class Heard:
    """A report of a training that keeps what it hears, by replica: each epoch's line, the weights that are kept, how it
    ended; asks for no checkpoints.
    """

    def __init__(self) -> None:
        self.facts = Facts()
        self.lines: dict[int, list[dict[str, Any]]] = {}
        self.kept: dict[tuple[int, str], dict[str, Any]] = {}
        self.outcomes: dict[int, Any] = {}

    def started(self, facts: Facts) -> None:
        self.facts = facts

    def epoch(self, replica: int, line: Mapping[str, Any]) -> None:
        self.lines.setdefault(replica, []).append(dict(line))

    def due(self, epoch: int) -> bool:
        return False

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        raise AssertionError("nobody asked for a checkpoint")

    def weights(self, replica: int, which: str, state: Mapping[str, Any]) -> None:
        self.kept[replica, which] = {name: value.clone() for name, value in state.items()}

    def ended(self, replica: int, outcome: Any) -> None:
        self.outcomes[replica] = outcome


@pytest.fixture
def heard() -> type[Heard]:
    """Makes reports that keep what they hear."""
    return Heard


class Done:
    """A finished command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def json(self) -> Any:
        return json.loads(self.out)

    def rows(self) -> dict[str, Any]:
        return {row["variant"]: row for row in self.json()["rows"]}


def words_of(*words: object) -> list[str]:
    """A command without MLflow unless told otherwise."""
    return [*map(str, words), *(["--no-mlflow"] if words[0] == "run" and "--tracking-uri" not in words else [])]


class Warm:
    """Starts commands as forks of a process that has imported what they need (`warm.py`); the first one starts that process."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.path, self.stack = folder / "warm", stack
        self.imports: Sequence[str] = ()

    def connect(self) -> socket.socket:
        """A connection to the process."""
        if not self.path.exists():
            listener = self.stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            listener.bind(str(self.path))
            listener.listen(100)
            words = [sys.executable, str(WARM), str(listener.fileno())]
            process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[listener.fileno()])
            self.stack.enter_context(process)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.connect(str(self.path))
        return connection

    def start(self, folder: Path, *words: str, environment: Mapping[str, str] | None = None, **options: Any) -> Any:
        """Give a command in a folder and do not wait for it; its streams are pipes."""
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "ablate", *words]
        return subprocess.Popen(command, cwd=folder, env=environment, **streams, **options)

    def __call__(self, folder: Path, *words: str, **variables: str) -> Done:
        with self.start(folder, *words, environment={**os.environ, **variables}) as process:
            out, err = process.communicate()
        return Done(process.returncode, out, err)


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[Warm]:
    """Commands, and the helpers of studies that run in this process, share their imports."""
    spec = importlib.util.spec_from_file_location("warm", WARM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = subprocess.Popen
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        warm = module.Connected.warm = Warm(Path(folder), stack)
        subprocess.Popen = module.Connected
        yield warm
        subprocess.Popen = started


@pytest.fixture
def ablate(tmp_path: Path, warm: Warm) -> Callable[..., Done]:
    """Run a command in a folder of its own, without MLflow unless told otherwise, as a fork of a process that has imported all that it needs."""
    return lambda *words, **variables: warm(tmp_path, *words_of(*words), **variables)


@pytest.fixture
def ablate_alone(tmp_path: Path) -> Callable[..., Done]:
    """The same as a process that has nothing in common with any other, as users start it."""

    def run(*words: object, **variables: str) -> Done:
        command = [sys.executable, "-P", "-m", "ablate", *words_of(*words)]
        environment = {**os.environ, **variables}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def required() -> Callable[[str], None]:
    """Skips a test for want of a program, or fails it where ABLATE_REQUIRE_SERVICES says that all of them are there."""

    def missing(what: str) -> None:
        if os.environ.get("ABLATE_REQUIRE_SERVICES"):
            pytest.fail(f"{what} is not there, although ABLATE_REQUIRE_SERVICES is set")
        pytest.skip(f"needs {what}")

    return missing


@pytest.fixture(scope="session")
def browser(required: Any) -> Iterator[Any]:
    """Chromium, without services of its own that would use the network."""
    if not Path(CHROMIUM).exists():
        required("Chromium (Debian's package chromium)")
    if importlib.util.find_spec("playwright") is None:
        required("Playwright (the package's extra 'dev')")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIETLY)
        yield browser
        browser.close()


class Inbox(ThreadingHTTPServer):
    """A server that keeps the requests that it gets, as (method, path, headers, body), and gives these ``answers`` in turn, the last one again and again:
    a status, a status with the address of a redirect, or ``silent`` (none until the test is over).
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers: list[Any] = [200]
        self.seen: list[tuple[str, str, Mapping[str, str], bytes]] = []
        self.over = threading.Event()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    @property
    def messages(self) -> list[Any]:
        return [json.loads(body) for _, _, _, body in self.seen]


class _Answering(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        answer = self.server.answers[0] if len(self.server.answers) == 1 else self.server.answers.pop(0)
        if answer == "silent":
            self.server.over.wait()
            return
        status, location = answer if isinstance(answer, tuple) else (answer, "")
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    """A server on this machine that is asked without a proxy."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    with Inbox() as inbox:
        thread = threading.Thread(target=inbox.serve_forever, args=(0.01,))
        thread.start()
        yield inbox
        inbox.over.set()
        inbox.shutdown()
        thread.join()
