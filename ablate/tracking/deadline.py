"""Bounds the time of a whole HTTP answer. The timeouts of `requests` bound the wait for each byte of it only."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from typing import Any


@contextmanager
def whole_answers() -> Iterator[None]:
    """Inside, an answer that is not complete within its connection's timeout is a timeout."""
    from urllib3.connection import HTTPConnection

    usual = HTTPConnection.response_class
    HTTPConnection.response_class = _Answer
    try:
        yield
    finally:
        HTTPConnection.response_class = usual


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        if (seconds := sock.gettimeout()) is not None:
            self.fp: Any = io.BufferedReader(_Bounded(self.fp, sock, seconds))


class _Bounded(io.RawIOBase):
    """The bytes of a socket until ``seconds`` are over."""

    def __init__(self, file: Any, sock: socket.socket, seconds: float) -> None:
        self._file, self._socket, self._seconds = file.detach(), sock, seconds
        self._until = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        count: int | None = self._file.readinto(buffer)
        return count

    def close(self) -> None:
        with suppress(OSError):  # the connection may be used again
            self._socket.settimeout(self._seconds)
        self._file.close()
        super().close()
