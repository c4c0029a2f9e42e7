"""Runs a user's script for one run: starts it, reads its metrics, and ends it with the job."""

from __future__ import annotations

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ablate.engine.contract import Assignment, Facts, Outcome, Report, State
from ablate.machine import end_with_parent, libc
from ablate.notes.note import Note
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.trainers.shared.points import Diverged, Points
from ablate.trainers.shared.reading import CsvLines, JsonLines, Patterns, Read, Tail, Values, text

LOOK_EVERY = 0.05
"""Seconds between two looks at the output and the metrics of a script."""

PART = 1 << 16
"""Number of bytes that are read from a pipe at once: all that it holds."""

MUCH, MOST = PART // 2, 16 * PART
"""Bytes of output after which the next look follows at once, and after which metrics are looked at."""

PATIENCE = 3.0
"""Seconds for a script to end after SIGTERM, before it is killed."""

TAIL = 2000
"""Number of bytes of the output that are kept for the reason of a failure."""

LINE_END = re.compile(rb"[\r\n]")


class Command(Protocol):
    """What is asked of `ablate.trainers.command.Command`."""

    @property
    def read(self) -> Read: ...
    @property
    def resume_args(self) -> tuple[str, ...]: ...
    def folder(self, folder: Path) -> Path: ...
    def metrics_file(self, settings: Settings, seed: int, fold: int | None, out: str, folder: Path) -> Path | None: ...
    def ignores_seed(self, folder: Path) -> bool: ...
    def fields_of(self, settings: Settings, seed: int, fold: int | None, out: str, device: str) -> dict[str, str]: ...
    def words(self, settings: Settings, built_in: Mapping[str, str], *, resumes: bool = False) -> list[str]: ...
    def write_config(self, args: Mapping[str, Any], where: Path, fields: Mapping[str, str] | None) -> None: ...


def run_script(command: Command, assignment: Assignment, replica: int, report: Report, state: State | None) -> Outcome:
    """Train one seed with the user's command. Raises ValueError with one line if it fails."""
    settings, seed, out = assignment.settings, assignment.seeds[replica], report.folder(replica)
    end_leftovers(out)
    notes = [Note("ignores_seed")] if command.ignores_seed(assignment.folder) else []
    report.started(Facts(notes=notes))
    points = Points(settings, lambda line: report.epoch(replica, line))
    fields = command.fields_of(settings, seed, assignment.fold, str(out), assignment.device)
    words = command.words(settings, fields, resumes=state is not None)
    where = command.folder(assignment.folder)
    command.write_config(settings.args, where, fields)
    reader = Reader(command, command.metrics_file(settings, seed, assignment.fold, str(out), assignment.folder))
    began = log_size()
    earlier: list[list[int]] | None = []
    if state is not None:
        points.restore(state["points"])
        reader.recorded = state["recorded"]
        earlier = state.get("output") or None
        if earlier is not None:
            # the script may be ahead of the checkpoint; the last line says that the run resumes
            since = report.log(replica, earlier[-1][1], began).rstrip(b"\n")
            earlier[-1][1] += since.rfind(b"\n") + 1
            for part in earlier:
                for line in LINE_END.split(report.log(replica, *part)):
                    reader.hear(text(line))

    def output() -> list[list[int]]:
        return [] if earlier is None else [*earlier, [began, log_size()]]

    def look(*, whole: bool = False) -> None:
        reader.record(reader.new(whole=whole), points)
        if not command.resume_args:
            report.end_if_asked()
        elif points.count and report.due(points.count):
            recorded = {"points": points.state(), "recorded": points.epoch, "output": output()}
            report.checkpoint({"epoch": points.count, **recorded})

    process = start(words, where, environment(assignment, fields, resumes=state is not None))
    try:
        said = follow(process, reader, look)
        look(whole=True)
    except BaseException as error:
        report.output(replica, output() if process.returncode == 0 else [])
        end(process)
        if not isinstance(error, Diverged):
            raise
    else:
        if process.returncode != 0:
            raise ValueError(failure(process.returncode, said))
        report.output(replica, output())
    finally:
        assert process.stdout is not None
        process.stdout.close()
    outcome = points.outcome(seed)
    report.ended(replica, outcome)
    return outcome


def read_again(
    command: Command, settings: Settings, seed: int, written: Sequence[bytes], *, resumed: bool
) -> tuple[list[dict[str, Any]], Outcome | Exception]:
    """What `run_script` records of a command that has ended, from all that it has written."""
    lines: list[dict[str, Any]] = []
    points = Points(settings, lambda line: lines.append(dict(line)))
    reader = Reader(command)
    if resumed:
        reader.recorded = -math.inf
    heard: list[str] = []
    for data in written:
        # an attempt that was killed may end within a line
        heard = [*heard[:-1], *map(text, LINE_END.split(data))] if command.read.regex else text(data).splitlines()
    try:
        with suppress(Diverged):
            reader.record(reader.values(heard, whole=True), points)
        return lines, points.outcome(seed)
    except (TypeError, ValueError) as error:
        return lines, error


class Reader:
    """The metrics of a script, in the order in which it reports them: in a ``file``, or in its output.

    ``recorded``: after a script has been resumed, only metrics of later epochs count, and what is repeated does not.
    """

    def __init__(self, command: Command, file: Path | None = None) -> None:
        read, self.resumable = command.read, bool(command.resume_args)
        self.recorded: float | None = None
        self.newest = -math.inf
        self.waiting: list[str] = []
        self.tail: Tail | None = None
        self.source: JsonLines | CsvLines | Patterns
        if read.regex is not None:
            self.source = Patterns({name: re.compile(pattern) for name, pattern in read.regex.items()})
            return
        self.source = JsonLines(read.names) if read.jsonl is not None else CsvLines(read.names)
        self.tail = None if file is None else Tail(file)

    def hear(self, line: str) -> None:
        """Take a line of the output."""
        if self.tail is None:
            self.waiting.append(line)

    def new(self, *, whole: bool) -> Iterator[Values]:
        """What was reported since the last call; ``whole``: the script has ended."""
        lines, self.waiting = self.waiting, []
        return self.values(lines if self.tail is None else self.tail.lines(whole=whole), whole=whole)

    def values(self, lines: Iterable[str], *, whole: bool) -> Iterator[Values]:
        """What these lines report; ``whole``: they are the last."""
        for line in lines:
            values = self.source.read(line)
            if values is None:
                continue
            if self.recorded is not None and values.epoch is not None:
                if values.epoch <= self.recorded or values.epoch < self.newest:
                    continue
                self.newest = values.epoch
            yield values
        if whole and isinstance(self.source, Patterns):
            yield from self.source.rest()

    def record(self, reported: Iterable[Values], points: Points) -> None:
        """Add what was reported to the points of the run. Raises Diverged, and TypeError or ValueError."""
        for values in reported:
            if self.resumable and values.epoch is None:
                raise ValueError("resume_args requires the epoch of all metrics. Report 'epoch' with them")
            points.add(values.metrics, values.epoch, values.step)


def environment(assignment: Assignment, fields: Mapping[str, str], *, resumes: bool) -> dict[str, str]:
    """The environment variables of a script."""
    known = {**os.environ, **{f"ABLATE_{name.upper()}": value for name, value in fields.items()}}
    known |= {"PYTHONUNBUFFERED": "1", "ABLATE_RESUME": "1" if resumes else ""}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        known.setdefault(name, str(torch.get_num_threads()))
    known["PATH"] = search_path()
    known.pop("PYTHONSAFEPATH", None)  # the script's folder is on its module path, as when it is started by hand
    if assignment.device.startswith("cuda"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        number = int(assignment.device.partition(":")[2] or 0)
        known["CUDA_VISIBLE_DEVICES"] = visible[number] if number < len(visible) and visible[number] else str(number)
    return known


def search_path() -> str:
    """Where programs are searched: ``python`` is the one that runs `ablate`, unless another environment is active."""
    path = os.environ.get("PATH", os.defpath)
    if os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX"):
        return path
    return f"{os.path.dirname(sys.executable)}{os.pathsep}{path}"


def start(words: Sequence[str], where: Path, known: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start the script. Raises ValueError with one line if that is impossible."""
    libc()
    try:
        program = shutil.which(words[0], path=known["PATH"]) if os.sep not in words[0] else words[0]
        return subprocess.Popen(
            [program or words[0], *words[1:]],
            cwd=where,
            env=dict(known),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=end_with_parent,  # the job has one other thread, which waits in a read
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"trainer.command (={words[0]}) cannot be started: {reason}.") from None


def follow(process: subprocess.Popen[bytes], reader: Reader, look: Callable[[], None]) -> str:
    """Copy the output of a script into the log and read its metrics until it ends. Returns the end of its output.

    The script is not waited for line by line, because each line would then cost it time: `print` with several
    arguments writes them one by one.
    """
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    last, rest, data = b"", b"", b""
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0 if len(data) > MUCH else LOOK_EVERY)
        ended = process.returncode is not None
        data = drained(pipe)
        if data:
            log(data)
            last = (last + data)[-TAIL:]
            *lines, rest = LINE_END.split(rest + data)
            for line in lines:
                reader.hear(text(line))
        elif ended:
            break
        look()
    reader.hear(text(rest))
    return text(last)


def drained(pipe: int) -> bytes:
    """What is in a pipe, `MOST` bytes of it."""
    found: list[bytes] = []
    with suppress(BlockingIOError):
        while len(found) * PART < MOST and (data := os.read(pipe, PART)):
            found.append(data)
    return b"".join(found)


def log(data: bytes) -> None:
    """Write to the job's log."""
    sys.stdout.flush()
    with suppress(OSError):
        os.write(1, data)


def log_size() -> int:
    """Number of bytes in the job's log."""
    sys.stdout.flush()
    return os.fstat(1).st_size


def end(process: subprocess.Popen[bytes]) -> None:
    """End a script: SIGTERM first, SIGKILL after `PATIENCE` seconds."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
    if process.poll() is None:
        process.kill()
        process.wait()


def failure(code: int, output: str) -> str:
    """Why a script failed: its exit code and its last line."""
    how = f"exit code {code}" if code > 0 else f"signal {-code}"
    hint = ", possibly because the machine ran out of memory" if code == -signal.SIGKILL else ""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = f": {lines[-1]}" if lines else ""
    return f"its command ended with {how}{hint}{said}"


def end_leftovers(out: Path) -> None:
    """Kill what an earlier attempt at this run has left behind on this machine (Linux)."""
    mark = f"ABLATE_OUT={out}".encode()
    while True:
        found = False
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if mark in path.read_bytes().split(b"\0") and int(path.parent.name) != os.getpid():
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    found = True
        if not found:
            return
        time.sleep(0.01)
