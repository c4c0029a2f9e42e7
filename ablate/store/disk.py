"""All access to files in the folder of runs, which may come from a stranger; tests inject faults here.

No link inside the folder of runs is followed: every folder below its root is opened relative to the one above, without
following links, and only regular files are read or written. The root itself may be a link, as to a larger disk.
"""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from ablate.store.descriptors import (
    FILE,
    FOLDER,
    ROOT,
    Kind,
    Refused,
    clear_way,
    contents_of,
    kind_and_size,
    kind_of,
    open_folder,
    remove,
)

REASONS = {
    errno.ENOSPC: "no space left on device. Free disk space",
    errno.EDQUOT: "disk quota exceeded. Free disk space",
    errno.EROFS: "the file system is read-only. Remount it, or use another --runs",
    errno.EACCES: "permission denied. Change its permissions, or use another --runs",
    errno.EPERM: "permission denied. Change its permissions, or use another --runs",
    errno.ENAMETOOLONG: "file name too long. Use another --runs",
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


class StoreWarning(UserWarning):
    """A file in the folder of runs counts as missing, because it is damaged or no file of its own. One line."""


def ignore(what: str) -> None:
    """Warn, once per message, of a file that counts as missing."""
    warnings.warn(f"{what} and counts as missing.", StoreWarning, stacklevel=2)


class Disk:
    """Operations on files below a root. Those that change something raise `DiskError`, and call `point` first, so that
    tests can make them fail. The store that a disk belongs to sets its root.
    """

    root = Path("/")

    def __init__(self) -> None:
        self.observed: dict[Path, tuple[object, float]] = {}
        """What `store.locks` has seen of files that other machines write."""
        self._pins: dict[tuple[str, ...], int] = {}

    def point(self, operation: str, path: Path) -> None:
        """Called before a change; does nothing except in tests."""

    # reading

    def open(self, path: Path) -> BinaryIO | None:
        """Open a file for reading; None if it does not exist. Warns if there is anything but a regular file."""
        try:
            with self._folder(path.parent) as folder:
                if (kind := kind_of(os.lstat(path.name, dir_fd=folder))) != "file":
                    raise Refused(path, kind, "file")
                return self._opened(folder, path, "rb")
        except FileNotFoundError:
            return None
        except Refused as error:
            ignore(error.sentence)
            return None

    def read(self, path: Path) -> bytes | None:
        """The contents of a file; None if it does not exist."""
        if (file := self.open(path)) is None:
            return None
        with file:
            return file.read()

    def read_each(self, path: Path, folders: Iterable[str], name: str) -> Iterator[bytes | None]:
        """`read` the file of that name in each of these folders in a folder, which is opened only once."""
        try:
            above = self._descriptor(path)
        except FileNotFoundError:
            yield from (None for _ in folders)
            return
        try:
            for folder in folders:
                try:
                    yield contents_of(above, folder, name)
                except FileNotFoundError:
                    yield None
                except OSError:  # not a file, or one that cannot be read: say so
                    yield self.read(path / folder / name)
        finally:
            os.close(above)

    def names(self, path: Path) -> list[str]:
        """What is in a folder, sorted; nothing if it does not exist."""
        try:
            with self._folder(path) as folder:
                return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []
        except Refused as error:
            ignore(error.sentence)
            return []

    def status(self, path: Path) -> os.stat_result | None:
        """The status of a file, a folder or a link itself; None if it does not exist."""
        try:
            with self._folder(path.parent) as folder:
                return os.lstat(path.name, dir_fd=folder)
        except (FileNotFoundError, Refused):
            return None

    def kind(self, path: Path) -> Kind | None:
        """What is at a path; None if it does not exist."""
        return None if (status := self.status(path)) is None else kind_of(status)

    def size(self, path: Path) -> int:
        """Bytes of a file, or of all files below a folder."""
        [(_, size)] = self.size_each(path.parent, [path.name])
        return size

    def size_each(self, path: Path, names: Iterable[str]) -> Iterator[tuple[Kind | None, int]]:
        """The `kind` and the `size` of each of these in a folder, which is opened only once."""
        try:
            above = self._descriptor(path)
        except (FileNotFoundError, Refused):
            yield from ((None, 0) for _ in names)
            return
        try:
            for name in names:
                try:
                    yield kind_and_size(above, name)
                except FileNotFoundError:  # removed by another process
                    yield None, 0
        finally:
            os.close(above)

    # writing

    def replace(self, path: Path, contents: bytes, *, durable: bool = False) -> None:
        """Replace a file atomically: readers see the old or the new contents. A link is replaced, not followed.

        ``durable`` waits until the contents are on the disk, so that they survive a power failure.
        """
        with self._way_to(path) as folder:
            self._swap(folder, path, contents, durable)

    def deliver(self, path: Path, contents: bytes) -> None:
        """Write a file of the user's: like `replace`, but follow links, and write to devices and pipes directly."""
        path = Path(os.path.realpath(path))
        with self._asked("write", path):
            if path.exists() and not path.is_file():
                path.write_bytes(contents)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._swap(folder, path, contents, durable=False)
        finally:
            os.close(folder)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file or folder, replacing what is there."""
        with self._asked("rename", new), self._folder(old.parent) as source, self._folder(new.parent) as target:
            clear_way(target, new.name)
            os.replace(old.name, new.name, src_dir_fd=source, dst_dir_fd=target)

    def append(self, path: Path) -> BinaryIO:
        """Open a file for appending, unbuffered; creates it and its folder. A link is replaced, not followed.

        Other names of the file (hard links) keep their contents, because this one becomes a copy.
        """
        with self._way_to(path) as folder, self._asked("open", path):
            self._make_own(folder, path)
            return self._opened(folder, path, "ab")

    def create(self, path: Path) -> BinaryIO | None:
        """Create a file and its folder, and open it for writing, unbuffered; None if there is something already."""
        with self._asked("make folder", path.parent):
            folder = self._descriptor(path.parent, make=True)
        try:
            with self._asked("create", path):
                return self._opened(folder, path, "xb")
        except DiskError as error:
            if error.errno == errno.EEXIST:
                return None
            raise
        finally:
            os.close(folder)

    def touch(self, path: Path) -> None:
        """Give a file, not a link, a new time of modification."""
        with self._asked("touch", path), suppress(FileNotFoundError, Refused), self._folder(path.parent) as folder:
            os.utime(path.name, dir_fd=folder, follow_symlinks=False)

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
        """Truncate a file to ``size`` bytes. Its other names (hard links) keep their contents."""
        with self._asked("cut", path), self._folder(path.parent) as folder:
            self._make_own(folder, path)
            with self._opened(folder, path, "ab") as file:
                file.truncate(size)

    def remove(self, path: Path) -> None:
        """Remove a file, a link itself, or a folder with its contents, if it exists."""
        with self._asked("remove", path), suppress(FileNotFoundError, Refused), self._folder(path.parent) as folder:
            remove(folder, path.name)

    def make_folder(self, path: Path) -> None:
        """Create a folder if it does not exist. What is in place of it is removed; a link is not followed."""
        with self._asked("make folder", path):
            os.close(self._descriptor(path, make=True))

    @contextmanager
    def pinned(self, path: Path) -> Iterator[None]:
        """Inside, everything in a folder is read and written in the one that has this path now, even if another process
        renames it and makes a new one.
        """
        folder, names = self._descriptor(path), path.parts[len(self.root.parts) :]
        try:
            self._pins[names] = folder
            yield
        finally:
            self._pins.pop(names, None)
            os.close(folder)

    def unpinned(self) -> Disk:
        """The same folder of runs as other processes see it."""
        disk = Disk()
        disk.root = self.root
        return disk

    # descriptors of folders

    @contextmanager
    def _folder(self, path: Path) -> Iterator[int]:
        """A descriptor of a folder. Raises FileNotFoundError, `Refused` and `LinkError`."""
        folder = self._descriptor(path)
        try:
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _way_to(self, path: Path) -> Iterator[int]:
        """A descriptor of the folder of a file that is written. It is created if necessary, and what is in place of a
        folder or of the file is removed.
        """
        with self._asked("make folder", path.parent):
            folder = self._descriptor(path.parent, make=True)
            clear_way(folder, path.name)
        try:
            yield folder
        finally:
            os.close(folder)

    def _descriptor(self, path: Path, *, make: bool = False) -> int:
        """A descriptor of the root, or of a folder below it, opened one by one."""
        root, parts = self.root.parts, path.parts
        names = parts[len(root) :]
        if parts[: len(root)] != root or ".." in names:
            raise ValueError(f"file (={path}) must be in the folder of runs (={self.root}).")
        pinned = next((n for n in range(len(names), 0, -1) if names[:n] in self._pins), 0) if self._pins else 0
        here = os.dup(self._pins[names[:pinned]]) if pinned else self._root(make)
        for depth, name in enumerate(names[pinned:], pinned):
            above = here
            try:
                here = os.open(name, FOLDER, dir_fd=above)
            except OSError:  # a path is made only now: most folders are there, and it takes as long as opening them
                here = open_folder(above, self.root.joinpath(*names[: depth + 1]), make, top=depth == 0)
            finally:
                os.close(above)
        return here

    def _root(self, make: bool) -> int:
        try:
            return os.open(self.root, ROOT)
        except FileNotFoundError:
            if not make:
                raise
        self.root.mkdir(parents=True, exist_ok=True)
        return os.open(self.root, ROOT)

    # files in a folder

    def _opened(self, folder: int, path: Path, mode: Literal["rb", "ab", "xb"]) -> BinaryIO:
        """A file in a folder, opened. Raises `Refused` if it is not a regular file."""

        def opener(_: str, flags: int) -> int:
            return os.open(path.name, flags | FILE, 0o666, dir_fd=folder)

        file: BinaryIO = open(path, mode, buffering=-1 if mode == "rb" else 0, opener=opener)  # noqa: SIM115
        if (kind := kind_of(os.fstat(file.fileno()))) != "file":
            file.close()
            raise Refused(path, kind, "file")
        return file

    def _swap(self, folder: int, path: Path, contents: bytes, durable: bool) -> None:
        """Replace a file in a folder atomically."""
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with self._asked("write", beside):
            try:
                remove(folder, beside.name)
                with self._opened(folder, beside, "ab") as file:
                    while contents:  # an almost full disk may write a part only
                        contents = contents[file.write(contents) :]
                    if durable:
                        self._flush(file.fileno())
                self.point("rename", path)
                os.replace(beside.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with suppress(FileNotFoundError):
                    os.unlink(beside.name, dir_fd=folder)
                raise
            if durable:
                self._flush(folder)

    def _make_own(self, folder: int, path: Path) -> None:
        """Replace a file that has other names by a copy."""
        with suppress(FileNotFoundError):
            if os.lstat(path.name, dir_fd=folder).st_nlink > 1:
                with self._opened(folder, path, "rb") as file:
                    contents = file.read()
                self._swap(folder, path, contents, durable=False)

    @contextmanager
    def _asked(self, operation: str, path: Path) -> Iterator[None]:
        try:
            self.point(operation, path)
            yield
        except DiskError:
            raise
        except OSError as error:
            raise DiskError.about(error, path) from error

    def _flush(self, descriptor: int) -> None:
        os.fsync(descriptor)


@dataclass(frozen=True)
class StoredFile:
    """A file in a folder of runs, for code that only reads it."""

    disk: Disk
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open it. Raises FileNotFoundError if there is no regular file."""
        if (file := self.disk.open(self.path)) is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        return file
