"""All access to files in the folder of runs, which may come from a stranger; tests inject faults here.

No link inside the folder of runs is followed: every folder below its root is opened relative to the one above, without
following links, and only regular files are read or written. The root itself may be a link, as to a larger disk.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

REASONS = {
    errno.ENOSPC: "no space left on device. Free disk space",
    errno.EDQUOT: "disk quota exceeded. Free disk space",
    errno.EROFS: "the file system is read-only. Remount it, or use another --runs",
    errno.EACCES: "permission denied. Change its permissions, or use another --runs",
    errno.EPERM: "permission denied. Change its permissions, or use another --runs",
    errno.ENAMETOOLONG: "file name too long. Use another --runs",
}

ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags with which everything below the root is opened; a pipe without a writer would otherwise be waited for."""

PART = 1 << 16
"""Bytes that are read at once."""

Kind = Literal["file", "folder", "symbolic link", "special file"]


class DiskError(OSError):
    """A file could not be written. One line with the file, the reason and the fix; earlier contents are unchanged."""

    @classmethod
    def about(cls, error: OSError, path: Path) -> DiskError:
        """The error of the operating system, with a fix."""
        reason = REASONS.get(error.errno or 0, f"{error.strerror or error}. Fix the problem")
        return cls(error.errno or 0, f"{reason}, and rerun the command to resume", str(path))

    def __str__(self) -> str:
        return f"file (={self.filename}) cannot be written: {self.strerror}."


class LinkError(ValueError):
    """The folder of all runs, or that of a study, is a symbolic link."""


class StoreWarning(UserWarning):
    """A file in the folder of runs counts as missing, because it is damaged or no file of its own. One line."""


class Refused(OSError):
    """A link below the root, or something else that is not the file or folder that it should be."""

    def __init__(self, path: Path, kind: Kind | None, wanted: str) -> None:
        rule = "is not followed inside a folder of runs" if kind == "symbolic link" else f"is in place of a {wanted}"
        super().__init__(errno.ELOOP, f"{kind} {rule}", str(path))
        self.sentence = f"{kind} (={path}) {rule}"


def ignore(what: str) -> None:
    """Warn, once per message, of a file that counts as missing."""
    warnings.warn(f"{what} and counts as missing.", StoreWarning, stacklevel=2)


class Disk:
    """Operations on files below a root. Those that change something raise `DiskError`, and call `point` first, so that
    tests can make them fail. The store that a disk belongs to sets its root.
    """

    root = Path("/")

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

    def append(self, path: Path, *, shared: bool = False) -> BinaryIO:
        """Open a file for appending, unbuffered; creates it and its folder. A link is replaced, not followed.

        Other names of the file (hard links) keep their contents, because this one becomes a copy; not if it is
        ``shared``, as a file to which nothing is written.
        """
        with self._way_to(path) as folder, self._asked("open", path):
            if not shared:
                self._make_own(folder, path)
            return self._opened(folder, path, "ab")

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
        try:
            here = os.open(self.root, ROOT)
        except FileNotFoundError:
            if not make:
                raise
            self.root.mkdir(parents=True, exist_ok=True)
            here = os.open(self.root, ROOT)
        for depth, name in enumerate(names):
            above = here
            try:
                here = os.open(name, FOLDER, dir_fd=above)
            except OSError:  # a path is made only now: most folders are there, and it takes as long as opening them
                here = open_folder(above, self.root.joinpath(*names[: depth + 1]), make, top=depth == 0)
            finally:
                os.close(above)
        return here

    # files in a folder

    def _opened(self, folder: int, path: Path, mode: Literal["rb", "ab"]) -> BinaryIO:
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


def open_folder(above: int, path: Path, make: bool, top: bool) -> int:
    """A descriptor of a folder in another one that may be missing, or something else. A link at the ``top``, directly
    below the root, is an error.
    """
    try:
        return os.open(path.name, FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        error.filename = str(path)
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        kind = kind_of(os.lstat(path.name, dir_fd=above))
        if top and kind == "symbolic link":
            raise LinkError(
                f"folder (={path}) is a symbolic link, which is not followed inside a folder of runs. Replace it with "
                "the folder itself, or use --runs with a folder of runs that holds it."
            ) from None
        if top:
            raise
        if not make:
            raise Refused(path, kind, "folder") from None
        os.unlink(path.name, dir_fd=above)
    with suppress(FileExistsError):  # another process was faster
        os.mkdir(path.name, dir_fd=above)
    return os.open(path.name, FOLDER, dir_fd=above)


def contents_of(above: int, folder: str, name: str) -> bytes:
    """The contents of a file in a folder in another one. Raises OSError if it is no file in a folder of its own."""
    if os.sep in folder or folder == os.pardir:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), folder)
    inside = os.open(folder, FOLDER, dir_fd=above)
    try:
        file = os.open(name, os.O_RDONLY | FILE, dir_fd=inside)
    finally:
        os.close(inside)
    try:
        if kind_of(status := os.fstat(file)) != "file":
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        contents = os.read(file, status.st_size + 1)
        while len(contents) != status.st_size and (more := os.read(file, PART)):
            contents += more
        return contents
    finally:
        os.close(file)


def kind_and_size(above: int, name: str) -> tuple[Kind, int]:
    """What is in a folder under a name, and its bytes, or those of all files below it. Raises FileNotFoundError."""
    status = os.lstat(name, dir_fd=above)
    if (kind := kind_of(status)) != "folder":
        return kind, status.st_size
    folder = os.open(name, FOLDER, dir_fd=above)
    try:
        total = 0
        for below in os.listdir(folder):
            with suppress(OSError):  # replaced by another process, or not readable
                total += kind_and_size(folder, below)[1]
        return kind, total
    finally:
        os.close(folder)


def kind_of(status: os.stat_result) -> Kind:
    """What a status is of."""
    if stat.S_ISREG(status.st_mode):
        return "file"
    if stat.S_ISDIR(status.st_mode):
        return "folder"
    return "symbolic link" if stat.S_ISLNK(status.st_mode) else "special file"


def remove(folder: int, name: str) -> None:
    """Remove what is in a folder under a name, if anything. Follows no link."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def clear_way(folder: int, name: str) -> None:
    """Remove what is in a folder under the name of a file, unless it is a file."""
    with suppress(FileNotFoundError):
        if kind_of(os.lstat(name, dir_fd=folder)) != "file":
            remove(folder, name)
