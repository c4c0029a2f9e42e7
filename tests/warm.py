"""Commands as forks of one process that has imported what they need: a tenth of a second instead of the seconds that a command, its server of jobs and its
other helpers take to import.

The process listens on a socket that its parent has made. A connection is a process to start, the command or a helper: it brings a line of JSON (module,
words, folder, environment, modules to import before it, whether it leads a session of its own) with the three standard files, and takes back a process id,
and the status at the end. The helpers that a command starts are processes that were forked before it began: they are its children, and inherit nothing.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HELPERS = {"run": 2} | dict.fromkeys(("plan", "check", "sync", "ui", "ensemble", "predict", "plot"), 1)
"""How many processes wait to be a helper of a command. When they are used up, helpers are started as always."""

PYTHON = {"PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONPATH", "PYTHONUTF8"}
"""Variables that a fork would not hear of."""

FORK = "# fork"
"""What code for ``python -c`` begins with if it may be a fork."""

READERS = ("mlflow.server", "mlflow.server.fastapi_app")
"""Modules that read the environment when they are imported: each process imports them anew."""

IMPORTS = (
    "torch._dynamo",
    "ablate.api",
    "ablate.cli.app",
    "ablate.report.pictures",
    "matplotlib.figure",
    "pandas",
    "scipy.stats",
)


class Forked(subprocess.Popen[Any], ABC):
    """A process that is forked elsewhere: `fork` gives an order and the three standard files to a waiting process, which answers with its id."""

    @abstractmethod
    def fork(self, given: Mapping[str, Any], files: Sequence[int]) -> int | None:
        """The id of the process, or None where it must be started as always."""

    def _execute_child(self, *args: Any) -> None:
        start = super()._execute_child  # type: ignore[misc]
        given = inspect.signature(start).bind(*args).arguments
        files = ((given["p2cread"], 0), (given["c2pwrite"], 1), (given["errwrite"], 2))
        pid = self.fork(given, [own if file == -1 else file for file, own in files])
        if pid is None:
            start(*args)
            return
        self.pid = pid
        self._child_created = True
        pipes = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


class Connected(Forked):
    """``python -m ablate``, ``python -P -m module`` or code that asks for it as a fork of the warm process, for which it waits through a connection. Anything else is started as
    always.
    """

    warm: Any
    """Connects to the warm process, and knows what it imports besides."""

    connection: socket.socket | None = None

    def fork(self, given: Mapping[str, Any], files: Sequence[int]) -> int | None:
        order = ordered(given)
        if order is None:
            return None
        order["imports"] = self.warm.imports
        self.connection = self.warm.connect()
        socket.send_fds(self.connection, [json.dumps(order).encode()], files)
        return int(self.connection.recv(100))

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if self.connection is None:
            return super()._try_wait(flags)  # type: ignore[misc,no-any-return]
        self.connection.setblocking(not flags & os.WNOHANG)
        try:
            status = int(self.connection.recv(100))
        except BlockingIOError:
            return 0, 0
        self.connection.close()
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None, **options: Any) -> int | None:
        if self.connection is None:
            return super()._internal_poll(_deadstate, **options)  # type: ignore[misc,no-any-return]
        if self.returncode is None and _deadstate is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def ordered(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a process is started to do, where it is the command or one of its helpers."""
    words = [str(word) for word in given["args"]] if not isinstance(given["args"], str) else []
    variables = {**(given["env"] or os.environ)}
    if given["preexec_fn"] or PYTHON & variables.keys():
        return None
    if words[1:3] == ["-m", "ablate"]:
        module, words = "", words[3:]
    elif words[1:3] == ["-P", "-m"] and words[3].startswith("ablate."):
        module, words = words[3], words[4:]
    elif words[1:5] == ["-P", "-m", "mlflow", "server"]:
        module, words = "mlflow.__main__", words[4:]
    elif words[1:3] == ["-m", "uvicorn"]:
        module, words = "uvicorn.__main__", words[3:]
    elif words[1:2] == ["-c"] and words[2].startswith(FORK):
        module, words = words[2], words[3:]
    else:
        return None
    folder = str(given["cwd"] or os.getcwd())
    return {
        "module": module,
        "words": words,
        "folder": folder,
        "variables": variables,
        "alone": given["start_new_session"],
    }


class Helper(Forked):
    """``python -P -m module`` in a process that waits for it, a child of the command."""

    waiting: list[tuple[int, socket.socket]] = []  # noqa: RUF012

    def fork(self, given: Mapping[str, Any], files: Sequence[int]) -> int | None:
        order = ordered(given)
        if order is None or not order["module"] or not self.waiting:
            return None
        pid, orders = self.waiting.pop()
        socket.send_fds(orders, [json.dumps(order).encode()], files)
        orders.close()
        return pid


def wait_to_help() -> tuple[int, socket.socket]:
    """Fork a process that becomes a helper when it is told which; it ends with its parent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if pid := os.fork():
        theirs.close()
        return pid, ours
    ours.close()
    for _, other in Helper.waiting:
        other.close()
    order, files, _, _ = socket.recv_fds(theirs, 1 << 20, 3)
    if not order:
        os._exit(0)
    begin(json.loads(order), files)


def begin(given: dict[str, Any], files: Sequence[int]) -> None:
    """Be the command or a helper, as is ordered; never returns."""
    if given["module"] == "ablate.execution.executors.forkserver":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as its parent does
    take(files, given["alone"])
    os.chdir(given["folder"])
    if (module := given["module"]).startswith(FORK):
        sys.path[0] = ""
        be(given["variables"], ["-c", *given["words"]], lambda: exec(module, {"__name__": "__main__"}))
    if module:
        del sys.path[0]
        for name in (module, *READERS):
            sys.modules.pop(name, None)  # `runpy` wants it so
        if module == "mlflow.__main__":
            help_with(1)
        be(given["variables"], [module, *given["words"]], lambda: runpy.run_module(module, run_name="__main__"))
    from ablate import cli

    sys.path[0] = given["folder"]
    help_with(HELPERS.get(given["words"][0] if given["words"] else "", 0))
    be(given["variables"], [str(Path(cli.__file__).parents[1] / "__main__.py"), *given["words"]], cli.main)


def help_with(number: int) -> None:
    """Have processes wait that become the helpers of this one."""
    for _ in range(number):
        Helper.waiting.append(wait_to_help())
    subprocess.Popen = Helper  # type: ignore[misc]


def take(files: Sequence[int], alone: bool) -> None:
    """Keep no files but these three, as standard input, output and error; lead a session if ``alone``."""
    if alone:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 64)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def be(variables: Mapping[str, str], words: Sequence[str], program: Any) -> None:
    """Run a program and end as a process does; never returns."""
    code: Any = 1
    try:
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = [*words]
        program()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def main() -> None:
    from ablate.execution.executors.forkserver import warm_up

    # it may be the first process that is started by a test's study, which blocks Ctrl-C while it starts its server
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    warm_up()
    for module in IMPORTS:
        importlib.import_module(module)
    gc.freeze()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listener = socket.socket(fileno=int(sys.argv[1]))
    started: dict[int, socket.socket] = {}
    while sys.stdin not in (
        ready := select.select([listener, wake_read, sys.stdin], [], [])[0]
    ):  # closed by the parent
        if wake_read in ready:
            os.read(wake_read, 100)
            tell_ends(started)
        if listener in ready:
            connection, _ = listener.accept()
            order, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
            given = json.loads(order)
            for module in given.pop("imports"):
                if module not in sys.modules:
                    importlib.import_module(module)
                    gc.freeze()
            if (pid := os.fork()) == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                begin(given, files)
            started[pid] = connection
            connection.send(str(pid).encode())
            for file in files:
                os.close(file)


def tell_ends(started: dict[int, socket.socket]) -> None:
    """Send the status of each process that has ended to who waits for it."""
    while started:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with contextlib.suppress(OSError), started.pop(pid) as connection:  # nobody may wait
            connection.send(str(status).encode())


if __name__ == "__main__":
    main()
