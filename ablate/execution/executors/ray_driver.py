"""Ray's driver: ``python -m ablate.execution.executors.ray_driver``, which connects to a cluster or starts one, and
runs commands as tasks.

It reads lines of JSON from its standard input, first its settings, then orders (``submit``, ``cancel``), and writes
``ready`` or an ``error``, and how each task ended. When its input closes, it ends all tasks, and its own cluster. If it
is killed, Ray kills the processes that run its tasks, and the commands see their input close and end.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import secrets
import select
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LOOK = 0.2
"""Seconds between two looks at the tasks."""

PATIENCE = 8.0
"""Seconds that a command has to end after SIGTERM, before it is killed."""

FAREWELL = 20.0
"""Seconds that all tasks have to end."""

CHECK = 60.0
"""Seconds that a node has to run a small task."""

STORE = 80 * 2**20
"""Bytes of memory for Ray's objects, the least that it takes: jobs are small."""

LEFT_OUT = (".git", ".hg", ".venv", "venv", "mlruns", "__pycache__", "*.pyc")
"""What is not sent to the nodes with the code."""

LOST = ("WorkerCrashedError", "NodeDiedError", "LocalRayletDiedError", "ObjectLostError")
"""Exceptions of Ray when a node or a process of its own ends, and takes the task or its exit code along."""


class Failed(Exception):
    """No task can be run. One line with the reason and the fix."""


class Driver:
    """Tasks on a cluster. ``tell`` gets what is to be said."""

    def __init__(self, ray: Any, settings: Mapping[str, Any], tell: Callable[..., None]) -> None:
        self.ray, self.settings, self.tell = ray, settings, tell
        self.names: dict[Any, str] = {}
        self.asked: set[str] = set()
        kept = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "PYTHONPATH") if name in os.environ}
        self.environment = kept
        self.task = ray.remote(
            num_cpus=settings["num_cpus"], num_gpus=settings["num_gpus"], max_calls=1, max_retries=0
        )(run_command)

    def connect(self) -> None:
        """Connect to the cluster, or start one. Raises `Failed`."""
        given, common = self.settings, {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if given["address"]:
                self.ray.init(address=given["address"], **common, **self._code())
            else:
                self.ray.init(
                    address="local",
                    num_cpus=given["cores"],
                    include_dashboard=False,
                    object_store_memory=STORE,
                    _temp_dir=given["folder"],
                    **common,
                    **self._code(),
                )
        except Exception as error:
            raise Failed(self._refusal(error)) from None
        if given["address"]:
            self._check_nodes()
        else:
            self._check_size()

    def submit(self, name: str, command: Sequence[str], jobs: str, output: str) -> None:
        """Run a command with ``jobs`` (base64) on its standard input."""
        task = self.task.options(name=name)
        folder = self.settings["working_dir"]
        words, where = ([*command, folder], "") if folder else (list(command), self.settings["where"])
        reference = task.remote(words, base64.b64decode(jobs), output, where, self.environment, PATIENCE)
        self.names[reference] = name

    def cancel(self, names: Sequence[str]) -> None:
        """End tasks, whether they have begun or not."""
        for reference, name in self.names.items():
            if name in names:
                self.asked.add(name)
                self.ray.cancel(reference, force=False)

    def look(self, wait: float = 0.0, *, all_of_them: bool = False) -> None:
        """Tell which tasks have ended, after ``wait`` seconds at most."""
        if not self.names:
            return
        count = len(self.names) if all_of_them else 1
        self.ray.wait(list(self.names), num_returns=count, timeout=wait, fetch_local=False)
        ended, _ = self.ray.wait(list(self.names), num_returns=len(self.names), timeout=0.0, fetch_local=False)
        for reference in ended:
            name, (fate, word) = self.names.pop(reference), self._fate(reference)
            if fate == "lost" and name in self.asked:
                fate = "cancelled"  # Ray may end its own process when it interrupts a task
            self.tell(ended=name, fate=fate, word=word)

    def close(self) -> None:
        """End all tasks; returns when their commands have ended, or had the time to."""
        self.cancel(list(self.names.values()))
        self.look(FAREWELL, all_of_them=True)
        self.ray.shutdown()

    def _fate(self, reference: Any) -> tuple[str, str]:
        """How a task ended, and Ray's word for it."""
        try:
            code = self.ray.get(reference, timeout=CHECK)
        except Exception as error:
            kinds = {kind.__name__ for kind in type(error).__mro__}
            word = next((name for name in ("OutOfMemoryError", *LOST) if name in kinds), type(error).__name__)
            if "OutOfMemoryError" in kinds:
                return "out_of_memory", word
            if "TaskCancelledError" in kinds or isinstance(getattr(error, "cause", None), KeyboardInterrupt):
                return "cancelled", word
            return ("lost", word) if kinds & set(LOST) else ("failed", _line(getattr(error, "cause", None) or error))
        return ("failed" if code else "done"), f"signal {-code}" if code < 0 else f"exit code {code}"

    def _code(self) -> dict[str, Any]:
        """The part of Ray's settings that sends code to the nodes."""
        folder, root = self.settings["working_dir"], Path(self.settings["root"])
        if not folder:
            return {}
        left_out = [*LEFT_OUT, *data_folders(Path(folder))]
        if root.is_relative_to(folder):
            left_out.append(f"/{root.relative_to(folder)}")
        return {"runtime_env": {"working_dir": folder, "excludes": left_out}}

    def _refusal(self, error: Exception) -> str:
        """Why there is no connection, as one line."""
        text, address = _line(error), self.settings["address"]
        if (size := re.search(r"Package size .* exceeds the maximum size of [0-9.]+ ?\w+", text)) is not None:
            return (
                f"The code in --ray (=working_dir={self.settings['working_dir']}) is too large to be sent: {size[0]}. "
                "Use a folder that contains only code, or list the other files in its .gitignore."
            )
        if not address:
            return f"Ray cannot start a cluster on this machine: {text}"
        if "raylet" in text.lower():
            return (
                f"This machine must be a node of Ray's cluster (={address}). Run the command on a node, or make this "
                f"machine one: ray start --address={address}. Ray says: {text}"
            )
        return f"Ray's cluster (={address}) cannot be used: {text}"

    def _check_size(self) -> None:
        """Raises `Failed` if no task fits on the own cluster, which would wait for ever."""
        there = self.ray.cluster_resources()
        for name, kind in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
            if (wanted := self.settings[name]) > (most := there.get(kind, 0)):
                raise Failed(
                    f"--ray (={name}={wanted:g}) must be at most {most:g}, the number of {kind}s of this machine."
                )

    def _check_nodes(self) -> None:
        """Raises `Failed` if a node lacks the folder of runs, or this Python."""
        root = Path(self.settings["root"])
        with token_in(root) as (path, token):
            tasks = {}
            for node in self.ray.nodes():
                if node["Alive"]:
                    where = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], False)
                    task = self.ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=where)(check_node)
                    tasks[task.remote(str(path), token, sys.executable)] = node
            ended, silent = self.ray.wait(list(tasks), num_returns=len(tasks), timeout=CHECK)
            for reference in [*ended, *silent]:
                lacking = "" if reference in ended else "an answer: it runs no tasks"
                with suppress(Exception):  # a node that has died since
                    lacking = lacking or self.ray.get(reference, timeout=CHECK)
                if lacking:
                    node = tasks[reference]
                    where = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
                    raise Failed(_LACKS[lacking].format(where=where, root=root, python=sys.executable))


_LACKS = {
    "runs": "The folder of runs (={root}) must be shared by all nodes of Ray's cluster, but node {where} does not see "
    "its files. Use --runs with a folder on a shared file system.",
    "python": "Python (={python}) must be on all nodes of Ray's cluster, but is missing on node {where}. Install "
    "the same environment there, at the same path.",
    "an answer: it runs no tasks": "Node {where} of Ray's cluster runs no tasks. Check its state with 'ray status'.",
}


@contextmanager
def token_in(root: Path) -> Iterator[tuple[Path, str]]:
    """A file in the folder of runs with a random token. Raises `Failed`."""
    path, token = root / ".jobs" / f"token-{secrets.token_hex(8)}", secrets.token_hex(16)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(token)
    except OSError as error:
        raise Failed(f"The folder of runs (={root}) cannot be written: {error.strerror}.") from None
    try:
        yield path, token
    finally:
        path.unlink(missing_ok=True)


def data_folders(folder: Path) -> list[str]:
    """The folder with data beside the code, if there is no code in it."""
    data = folder / "data"
    return ["/data"] if data.is_dir() and next(data.rglob("*.py"), None) is None else []


# these run on the nodes, where `ablate` need not be installed in Ray's own environment


def check_node(path: str, token: str, python: str) -> str:
    """What a node lacks; empty if nothing."""
    import os

    try:
        with open(path) as file:
            seen = file.read()
    except OSError:
        seen = ""
    if seen != token:
        return "runs"
    return "" if os.access(python, os.X_OK) else "python"


def run_command(
    command: list[str], jobs: bytes, output: str, where: str, environment: dict[str, str], patience: float
) -> int:
    """Run a command in a process group of its own, in the folder ``where`` if it is there; its exit code. Its input
    stays open as long as this process lives.

    When the task is cancelled, which raises KeyboardInterrupt here, the command is asked to end, and killed later.
    """
    import os
    import signal
    import subprocess
    import time

    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    paths = kept.pop("PYTHONPATH", "").split(os.pathsep)  # Ray adds its copy of the code, before all that is installed
    kept["PYTHONPATH"] = os.pathsep.join(path for path in paths if path and path != os.getcwd())
    with open(output, "ab") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**kept, **environment},
            cwd=where if os.path.isdir(where) else None,
            start_new_session=True,
        )
    assert child.stdin is not None
    try:
        with suppress(BrokenPipeError):
            child.stdin.write(jobs + b"\n")
            child.stdin.flush()
        while child.poll() is None:
            time.sleep(0.1)  # Ray raises between two instructions, but interrupts no call of the system
        return child.returncode
    except BaseException:
        child.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience)
        raise
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _line(error: BaseException) -> str:
    """The message of an exception as one line."""
    return " ".join(str(error).split())[:400] or type(error).__name__


def serve() -> None:
    """Obey until the input closes."""
    channel = os.dup(1)
    os.dup2(2, 1)  # only what this program says may go into the pipe

    def tell(**said: Any) -> None:
        with suppress(BrokenPipeError):
            os.write(channel, json.dumps(said).encode() + b"\n")

    orders = _orders(0)
    settings = next((order for order in orders if order is not None), None)
    if settings is None:
        return
    sys.argv = [str(Path(settings["folder"], "driver"))]  # Ray lets its processes import what is beside it
    try:
        import ray

        driver = Driver(ray, settings, tell)
        driver.connect()
    except (Failed, ImportError) as error:
        tell(error=_line(error))
        return
    tell(ready=True)
    for order in orders:
        match order:
            case {"submit": name, "command": command, "jobs": jobs, "output": output}:
                driver.submit(name, command, jobs, output)
            case {"cancel": names}:
                driver.cancel(names)
        driver.look()
    driver.close()
    shutil.rmtree(settings["folder"], ignore_errors=True)  # a command that was killed could not


def _orders(descriptor: int) -> Iterator[dict[str, Any] | None]:
    """The lines of JSON that arrive, and None whenever none has for a while."""
    buffer = b""
    while True:
        if not select.select([descriptor], [], [], LOOK)[0]:
            yield None
            continue
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        yield from map(json.loads, lines)


if __name__ == "__main__":
    sys.path = [entry for entry in sys.path if entry]
    serve()
    os._exit(0)
