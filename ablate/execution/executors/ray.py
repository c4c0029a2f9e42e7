"""Ray, by tasks of its core. Ray's driver is a helper process (`executors.ray_driver`), because it ends without an
exception when the head of the cluster does.

Without an address, the driver starts a cluster on this machine that only it can use, and that ends with it. Tasks end
with their driver, wherever they run.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import math
import os
import re
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.execution.executors.cluster import Refused, State
from ablate.execution.executors.executor import ExecutorError
from ablate.planning.helper_process import cores

START = 120.0
"""Seconds that a driver has to start or find its cluster, and to check its nodes."""

ANSWER = 5.0
"""Seconds that the head of a cluster has to accept a connection."""

FAREWELL = 40.0
"""Seconds that a driver has to end its tasks and itself; it waits 20 for the tasks, and Ray then ends its cluster."""

RUNNING = State("running", "RUNNING")

OPTIONS = ("address", "num_cpus", "num_gpus", "working_dir")

PACKAGE = "ray"

ERRORS = "errors.txt"
"""What the driver and the processes of its cluster print."""

OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
"""The environment of a driver that starts a cluster. Anyone who can connect to a Ray cluster can run code on it, so
this one listens on the loopback interface only, and requires a token that only the driver knows.
"""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What tasks are to get. Raises ValueError.

    ``address``: the head of an existing cluster, empty for an own one. ``num_cpus`` and ``num_gpus`` may be fractions.
    ``working_dir``: the folder whose code is sent to the nodes; None if they have it at the same path.
    """

    address: str = ""
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    working_dir: Path | None = None

    @classmethod
    def of(cls, options: Mapping[str, str], threads: int) -> Resources:
        """The resources from options as words; a task gets a CPU per thread unless they say otherwise, or an own
        cluster has fewer.
        """
        for name, value in options.items():
            if name not in OPTIONS:
                raise ValueError(f"--ray (={name}={value}) must be one of {', '.join(OPTIONS)}.")
        address = options.get("address", "")
        if "address" in options and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}", address):
            raise ValueError(f"--ray (=address={address}) must be host:port, such as 10.0.0.1:6379.")
        folder = Path(options["working_dir"]).absolute().resolve() if "working_dir" in options else None
        if folder is not None and not (options["working_dir"] and folder.is_dir()):
            raise ValueError(f"--ray (=working_dir={options['working_dir']}) must be an existing folder with code.")
        return cls(
            address=address,
            num_cpus=_number(options, "num_cpus", float(threads if address else min(threads, cores()))),
            num_gpus=_number(options, "num_gpus", 0.0),
            working_dir=folder,
        )


class Ray:
    """Tasks on Ray, for jobs whose runs are in the folder ``root``. ``options``: those of `Resources`, as words.

    Raises ValueError for a wrong option, and ExecutorError if Ray is not installed.
    """

    title = "Ray"
    lasting = False

    def __init__(self, options: Mapping[str, str], root: Path, threads: int = 1) -> None:
        self.resources, self.root = Resources.of(options, threads), root
        if importlib.util.find_spec(PACKAGE) is None:
            raise ExecutorError("--executor (=ray) requires Ray. Install it: pip install 'ablate-runner[ray]'.")
        self._driver: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._buffer = b""
        self._states: dict[str, State] = {}
        self._said = ""
        self._ready = self._began = False

    def submit(self, name: str, command: Sequence[str], jobs: bytes, output: Path, after: Collection[str]) -> None:
        """`Cluster.submit`. The jobs ``after`` have ended: the scheduler waits for them."""
        self._hear()
        if self._driver is None:
            self._start()
        self._order(submit=name, command=list(command), jobs=base64.b64encode(jobs).decode(), output=str(output))
        self._states[name] = RUNNING

    def states(self, names: Collection[str]) -> Mapping[str, State] | None:
        """`Cluster.states`."""
        self._hear()
        return {name: self._states[name] for name in names if name in self._states}

    def cancel(self, names: Collection[str]) -> None:
        """`Cluster.cancel`."""
        if self._driver is not None:
            with suppress(Refused):  # the driver ended, and its tasks with it
                self._order(cancel=list(names))

    def close(self) -> None:
        """`Cluster.close`: ends all tasks, and the cluster if it is an own one."""
        driver = self._driver
        if driver is None:
            return
        assert driver.stdin is not None
        try:
            with suppress(OSError):
                driver.stdin.close()
            until = time.monotonic() + FAREWELL
            while self._driver is driver and time.monotonic() < until:
                self._hear(ANSWER)
        finally:
            self._end()

    # the driver

    def _start(self) -> None:
        """Start a driver and wait until it takes orders."""
        self._check_address()
        self._folder = tempfile.mkdtemp(prefix="ablate-", dir="/tmp")  # paths of sockets must be short
        self._buffer, self._said, self._ready = b"", "", False
        with Path(self._folder, ERRORS).open("wb") as errors:
            self._driver = subprocess.Popen(
                [sys.executable, "-P", "-m", "ablate.execution.executors.ray_driver"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env=self._environment(),
                cwd=self._folder,  # Ray lets its processes import modules from there
                bufsize=0,
            )
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        os.set_blocking(self._driver.stdin.fileno(), False)
        os.set_blocking(self._driver.stdout.fileno(), False)
        try:
            with suppress(Refused):  # it has ended, as is found next
                self._order(**self._settings())
            self._await_ready()
        except BaseException:
            self._end()
            raise

    def _await_ready(self) -> None:
        until = time.monotonic() + START
        while not self._ready:
            driver = self._driver
            if driver is None or time.monotonic() > until:
                raise self._problem(self._said or f"Ray's driver was not ready after {START:.0f} s.")
            self._hear(ANSWER)
        self._began = True

    def _check_address(self) -> None:
        """Whether the head of an existing cluster accepts connections."""
        if not (address := self.resources.address):
            return
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), ANSWER).close()
        except (OSError, OverflowError) as error:
            reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
            raise self._problem(
                f"Cannot connect to a Ray cluster at --ray (=address={address}): {reason}. Check the address, or omit "
                "it to start a cluster on this machine."
            ) from None

    def _problem(self, reason: str) -> ExecutorError | Refused:
        """What to raise: after a cluster has worked once, it may come back."""
        return Refused(reason.rstrip(".")) if self._began else ExecutorError(reason)

    def _settings(self) -> dict[str, Any]:
        """What a driver must know."""
        return {
            "address": self.resources.address,
            "num_cpus": self.resources.num_cpus,
            "num_gpus": self.resources.num_gpus,
            "working_dir": str(self.resources.working_dir or ""),
            "cores": cores(),
            "folder": self._folder,
            "where": os.getcwd(),
            "root": str(self.root),
        }

    def _environment(self) -> dict[str, str]:
        """The driver's environment. An address in it is not used: only one that is given on purpose."""
        known = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_NAMESPACE")}
        if paths := [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]:
            known["PYTHONPATH"] = os.pathsep.join(paths)
        known["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
        if self.resources.address:
            return {**known, "RAY_USAGE_STATS_ENABLED": "0"}
        known = {name: value for name, value in known.items() if not name.startswith("RAY_AUTH")}
        return {**known, **OWN, "RAY_TMPDIR": self._folder, "RAY_AUTH_TOKEN": secrets.token_hex(32)}

    def _order(self, **order: Any) -> None:
        """Tell the driver something. Raises `Refused` if it has ended, or reads nothing."""
        driver = self._driver
        assert driver is not None
        assert driver.stdin is not None
        data = json.dumps(order).encode() + b"\n"
        while data:
            if not select.select([], [driver.stdin], [], START)[1]:
                driver.kill()
            try:
                data = data[os.write(driver.stdin.fileno(), data) :]
            except BlockingIOError:
                continue
            except OSError:
                self._lost()
                raise Refused(self._said.rstrip(".")) from None

    def _hear(self, wait: float = 0.0) -> None:
        """Read what the driver has said; if that is nothing, for ``wait`` seconds at most."""
        if wait and self._driver is not None and self._driver.stdout is not None:
            select.select([self._driver.stdout], [], [], wait)
        while (driver := self._driver) is not None:
            assert driver.stdout is not None
            try:
                data = os.read(driver.stdout.fileno(), 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._lost()
                return
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._note(json.loads(line))

    def _note(self, said: Mapping[str, Any]) -> None:
        if "ended" in said:
            self._states[said["ended"]] = State(said["fate"], said["word"])
        self._ready |= "ready" in said
        self._said = said.get("error", self._said)

    def _lost(self) -> None:
        """The driver has ended, and all tasks with it."""
        driver = self._driver
        assert driver is not None
        code = _kill(driver)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        word = f"Ray's driver ended with {how}; its last line of output: {_last_line(Path(self._folder, ERRORS))}"
        self._said = self._said or f"{word}."
        self._end()
        for name, state in self._states.items():
            if state is RUNNING:
                self._states[name] = State("lost", word)

    def _end(self) -> None:
        """Kill the driver, and remove what it has left; its cluster ends with it."""
        driver, self._driver = self._driver, None
        if driver is not None:
            _kill(driver)
            for pipe in (driver.stdin, driver.stdout):
                assert pipe is not None
                with suppress(OSError):
                    pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _kill(driver: subprocess.Popen[bytes]) -> int:
    """Kill a driver and all processes of its cluster, which are in its group; its exit code."""
    if driver.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(driver.pid, signal.SIGKILL)  # before its number is free for another process
    return driver.wait()


def _number(options: Mapping[str, str], name: str, default: float) -> float:
    """The number of CPUs or GPUs of a task. Raises ValueError."""
    if name not in options:
        return default
    try:
        number = float(options[name])
    except ValueError:
        number = math.nan
    if not 0 <= number < 10_000 or (name == "num_cpus" and number == 0):
        least = "greater than 0" if name == "num_cpus" else "at least 0"
        raise ValueError(f"--ray (={name}={options[name]}) must be a number that is {least}.")
    if number > 1 and number != int(number):
        raise ValueError(f"--ray (={name}={options[name]}) must be a whole number if it is greater than 1.")
    return number


def _last_line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip().rpartition("\n")[2][:200] or "none"
    except OSError:
        return "none"
