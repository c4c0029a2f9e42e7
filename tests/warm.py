"""Commands as forks of one process that has imported what they need: a tenth of a second instead of the seconds that a command, its server of jobs and its
other helpers take to import.

A line of JSON on the standard input is a command: its words, folder, environment, the files that take its output, and modules to import before it; its exit
code is the answer. The helpers that it starts are processes that were forked before it began, so they inherit nothing from it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HELPERS = 3
"""Processes that wait to be a helper. When they are used up, helpers are started as always."""

IMPORTS = ("ablate.api", "ablate.cli.app", "ablate.report.pictures", "matplotlib.figure", "pandas", "scipy.stats")


class Popen(subprocess.Popen[Any]):
    """Starts ``python -P -m module`` in a process that waits for it."""

    waiting: list[tuple[int, socket.socket]] = []  # noqa: RUF012

    def _execute_child(self, *args: Any) -> None:
        start = super()._execute_child  # type: ignore[misc]
        given = inspect.signature(start).bind(*args).arguments
        words = [str(word) for word in given["args"]] if not isinstance(given["args"], str) else []
        if words[1:3] != ["-P", "-m"] or len(words) > 4 or given["cwd"] or not self.waiting:
            start(*args)
            return
        self.pid, orders = self.waiting.pop()
        self._child_created = True
        files = ((given["p2cread"], 0), (given["c2pwrite"], 1), (given["errwrite"], 2))
        order = {"module": words[3], "variables": {**(given["env"] or os.environ)}, "alone": given["start_new_session"]}
        socket.send_fds(orders, [json.dumps(order).encode()], [own if file == -1 else file for file, own in files])
        orders.close()
        pipes = [given[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")]
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def wait_to_help() -> tuple[int, socket.socket]:
    """Fork a process that becomes a helper when it is told which; it ends with its parent."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if pid := os.fork():
        theirs.close()
        return pid, ours
    ours.close()
    for _, other in Popen.waiting:
        other.close()
    order, files, _, _ = socket.recv_fds(theirs, 1 << 20, 3)
    if not order:
        os._exit(0)
    given = json.loads(order)
    if given["alone"]:
        os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
    os.closerange(3, 64)
    del sys.path[0]
    sys.modules.pop(given["module"], None)  # as `runpy` wants it
    be(given["variables"], [given["module"]], lambda: runpy.run_module(given["module"], run_name="__main__"))


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


def command(words: Sequence[str], folder: str, variables: Mapping[str, str], out: str, err: str) -> None:
    """Be ``python -m ablate`` in a folder."""
    from ablate import cli

    os.chdir(folder)
    for number, file in ((0, os.devnull), (1, out), (2, err)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
    os.closerange(3, 64)
    sys.path[0] = folder
    for _ in range(HELPERS):
        Popen.waiting.append(wait_to_help())
    subprocess.Popen = Popen  # type: ignore[misc]
    be(variables, [str(Path(cli.__file__).parents[1] / "__main__.py"), *words], cli.main)


def main() -> None:
    from ablate.execution.executors.forkserver import warm_up

    warm_up()
    for module in IMPORTS:
        importlib.import_module(module)
    channel = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        given = json.loads(line)
        for module in given.pop("imports"):
            importlib.import_module(module)
        if (pid := os.fork()) == 0:
            command(**given)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=channel, flush=True)


if __name__ == "__main__":
    main()
