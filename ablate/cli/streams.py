"""The standard streams of the process: always open, in any encoding; a message that cannot be written ends nothing."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

STDOUT = "stdout"
"""What an error of the standard output names as its file."""


class Stream(io.FileIO):
    """A standard stream. If it is ``lossy``, what cannot be written is lost (a full disk, a terminal that is gone);
    otherwise an error names it.
    """

    def __init__(self, number: int, *, lossy: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self.lossy = lossy

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or (memoryview(data).nbytes if self.lossy else 0)
        except OSError as error:
            if self.lossy:
                return memoryview(data).nbytes
            raise OSError(error.errno, error.strerror, STDOUT) from None


def open_streams() -> None:
    """Give the process its standard streams; characters that an encoding lacks become escapes.

    A stream that was closed must not become the number of the next file: input and messages go nowhere, and the
    standard output cannot be written.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, mode), True)  # takes the lowest free number
    sys.stdout = _text(sys.stdout, Stream(1, lossy=False))
    sys.stderr = _text(sys.stderr, Stream(2, lossy=True), lines=True)


def _text(old: Any, raw: Stream, *, lines: bool = False) -> io.TextIOWrapper:
    encoding = getattr(old, "encoding", None) or "utf-8"
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding, errors="backslashreplace", line_buffering=lines or raw.isatty())


def abandon_stdout() -> None:
    """Let the rest of the standard output go nowhere: nobody can read it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
