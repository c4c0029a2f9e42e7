"""All operations that change files in the folder of runs; tests inject faults here."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

REASONS = {
    errno.ENOSPC: "no space left on device. Free disk space",
    errno.EDQUOT: "disk quota exceeded. Free disk space",
    errno.EROFS: "the file system is read-only. Remount it, or use another --runs",
    errno.EACCES: "permission denied. Change its permissions, or use another --runs",
    errno.EPERM: "permission denied. Change its permissions, or use another --runs",
}


class DiskError(OSError):
    """A file could not be written. One line with the file, the reason and the fix; earlier contents are unchanged."""

    @classmethod
    def about(cls, error: OSError, path: Path) -> DiskError:
        """The error of the operating system, with a fix."""
        reason = REASONS.get(error.errno or 0, f"{error.strerror or error}. Fix the problem")
        return cls(error.errno or 0, f"{reason}, and rerun the command to resume", str(path))

    def __str__(self) -> str:
        return f"file (={self.filename}) cannot be written: {self.strerror}."


class Disk:
    """Operations on files, which raise `DiskError`. Each calls `point` first, so that tests can make it fail."""

    def point(self, operation: str, path: Path) -> None:
        """Called before a change; does nothing except in tests."""

    def replace(self, path: Path, contents: bytes, *, durable: bool = False) -> None:
        """Replace a file atomically: readers see the old or the new contents.

        ``durable`` waits until the contents are on the disk, so that they survive a power failure.
        """
        self.make_folder(path.parent)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with self._asked("write", beside):
            try:
                with beside.open("wb") as file:
                    file.write(contents)
                    if durable:
                        file.flush()
                        self._flush(file.fileno())
                self.point("rename", path)
                os.replace(beside, path)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
            if durable:
                self._flush_folder(path.parent)

    def deliver(self, path: Path, contents: bytes) -> None:
        """Write a file of the user's: like `replace`, but follow links, and write to devices and pipes directly."""
        path = Path(os.path.realpath(path))
        if not path.exists() or path.is_file():
            self.replace(path, contents)
            return
        with self._asked("write", path):
            path.write_bytes(contents)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or folder, replacing an existing file."""
        with self._asked("rename", new):
            os.replace(old, new)

    def append(self, path: Path) -> BinaryIO:
        """Open a file for appending, unbuffered; creates it and its folder."""
        self.make_folder(path.parent)
        with self._asked("open", path):
            return path.open("ab", buffering=0)

    def add(self, file: BinaryIO, data: bytes) -> None:
        """Write to a file opened with `append`."""
        with self._asked("add", Path(file.name)):
            # an almost full disk may write a part only
            while data:
                data = data[file.write(data) :]

    def sync(self, file: BinaryIO) -> None:
        """Wait until everything written to a file is on the disk."""
        with self._asked("sync", Path(file.name)):
            self._flush(file.fileno())

    def cut(self, path: Path, size: int) -> None:
        """Truncate a file to ``size`` bytes."""
        with self._asked("cut", path):
            os.truncate(path, size)

    def remove(self, path: Path) -> None:
        """Remove a file, or a folder with its contents, if it exists."""
        with self._asked("remove", path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        """Create a folder, and those above it."""
        with self._asked("make folder", path):
            path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _asked(self, operation: str, path: Path) -> Iterator[None]:
        try:
            self.point(operation, path)
            yield
        except OSError as error:
            raise DiskError.about(error, path) from error

    def _flush(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def _flush_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            self._flush(descriptor)
        finally:
            os.close(descriptor)
