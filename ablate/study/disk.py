"""Everything that changes files under a folder of runs, as a handful of operations: faults are injected here and nowhere else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


class Disk:
    """Operations on files. Each calls `point` first, so that a test can make any of them fail, or be the last that happened."""

    def point(self, operation: str, path: Path) -> None:
        """Called before anything changes. The real disk does nothing here."""

    def replace(self, path: Path, write: bytes | Callable[[BinaryIO], None], *, durable: bool = False) -> None:
        """Put new contents in place of a file, atomically: a reader sees the old ones or the new ones, whole.

        ``durable`` waits until the contents have reached the disk, so that they survive a power cut.
        """
        self.point("make folder", path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        self.point("write", beside)
        try:
            with beside.open("wb") as file:
                if isinstance(write, bytes):
                    file.write(write)
                else:
                    write(file)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            self.point("rename", path)
            os.replace(beside, path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        if durable:
            self._sync_folder(path.parent)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in its folder; a file of that name goes."""
        self.point("rename", new)
        os.replace(old, new)

    def append(self, path: Path) -> BinaryIO:
        """A file open for adding to its end, unbuffered; made with its folder where it is not there."""
        self.point("make folder", path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.point("open", path)
        return path.open("ab", buffering=0)

    def add(self, file: BinaryIO, data: bytes) -> None:
        """Add to a file opened with `append`."""
        self.point("add", Path(file.name))
        file.write(data)

    def cut(self, path: Path, size: int) -> None:
        """Shorten a file to ``size`` bytes."""
        self.point("cut", path)
        os.truncate(path, size)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all that is in it; nothing happens where there is none."""
        self.point("remove", path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def _sync_folder(self, folder: Path) -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
