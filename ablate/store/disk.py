"""Everything that changes files under a folder of runs, as a handful of operations: faults are injected here and nowhere else."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

REASONS = {
    errno.ENOSPC: "no space left on the device. Free some",
    errno.EDQUOT: "the disk quota is used up. Free some space",
    errno.EROFS: "the file system is read-only. Make it writable",
    errno.EACCES: "permission denied. Make it writable",
    errno.EPERM: "permission denied. Make it writable",
}


class DiskError(OSError):
    """The folder of runs could not be written. One line with the file, the reason and the way out; what was there before is still there."""

    @classmethod
    def about(cls, error: OSError, path: Path) -> DiskError:
        """The system's own error, in words that say what to do."""
        reason = REASONS.get(error.errno or 0, f"{error.strerror or error}. Mend that")
        return cls(error.errno or 0, f"{reason}, then run the same command again: it goes on where it stood", str(path))

    def __str__(self) -> str:
        return f"file (={self.filename}) cannot be written: {self.strerror}."


class Disk:
    """Operations on files. Each calls `point` first, so that a test can make any of them fail, or be the last that happened.

    All raise `DiskError` for what the system refuses.
    """

    def point(self, operation: str, path: Path) -> None:
        """Called before anything changes. The real disk does nothing here."""

    def replace(self, path: Path, contents: bytes, *, durable: bool = False) -> None:
        """Put new contents in place of a file, atomically: a reader sees the old ones or the new ones, whole.

        ``durable`` waits until the contents have reached the disk, so that they survive a power cut.
        """
        self._make_folder(path.parent)
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
        """Write a file that the user has named: as `replace` does, but a link stays a link, and a device or a pipe gets the contents itself."""
        path = Path(os.path.realpath(path))
        if not path.exists() or path.is_file():
            self.replace(path, contents)
            return
        with self._asked("write", path):
            path.write_bytes(contents)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder another name beside it; a file of that name goes."""
        with self._asked("rename", new):
            os.replace(old, new)

    def append(self, path: Path) -> BinaryIO:
        """A file open for adding to its end, unbuffered; made with its folder where it is not there."""
        self._make_folder(path.parent)
        with self._asked("open", path):
            return path.open("ab", buffering=0)

    def add(self, file: BinaryIO, data: bytes) -> None:
        """Add to a file opened with `append`."""
        with self._asked("add", Path(file.name)):
            # an almost full disk takes a part and says so
            while data:
                data = data[file.write(data) :]

    def sync(self, file: BinaryIO) -> None:
        """Wait until all that was added to a file has reached the disk."""
        with self._asked("sync", Path(file.name)):
            self._flush(file.fileno())

    def cut(self, path: Path, size: int) -> None:
        """Shorten a file to ``size`` bytes."""
        with self._asked("cut", path):
            os.truncate(path, size)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all that is in it; nothing happens where there is none."""
        with self._asked("remove", path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _make_folder(self, path: Path) -> None:
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
