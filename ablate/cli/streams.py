"""The standard streams of the process: always open, in any encoding; a message that cannot be written ends nothing."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

STDOUT = "stdout"
"""What an error of the standard output names as its file."""


class Stream(io.TextIOWrapper):
    """A standard stream. If it is ``lossy``, what cannot be written is lost (a full disk, a terminal that is gone);
    otherwise an error names it.

    Only the standard library writes the bytes: Python code below it could be interrupted after the system call, and the
    bytes would be written again.
    """

    def __init__(self, number: int, encoding: str, *, lossy: bool, lines: bool) -> None:
        raw = io.FileIO(number, "w", closefd=False)
        lines = lines or raw.isatty()
        super().__init__(io.BufferedWriter(raw), encoding, errors="backslashreplace", line_buffering=lines)
        self.lossy = lossy

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Let the rest go nowhere if it may be lost, else raise an error with the name of the stream."""
        if not self.lossy:
            raise OSError(error.errno, error.strerror, STDOUT) from None
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


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
    sys.stdout = Stream(1, _encoding(sys.stdout), lossy=False, lines=False)
    sys.stderr = Stream(2, _encoding(sys.stderr), lossy=True, lines=True)


def _encoding(old: Any) -> str:
    return getattr(old, "encoding", None) or "utf-8"


def abandon_stdout() -> None:
    """Let the rest of the standard output go nowhere: nobody can read it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
