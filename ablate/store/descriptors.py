"""Files and folders relative to descriptors of folders, without following links."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Literal

ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags with which everything below the root is opened; a pipe without a writer would otherwise be waited for."""

PART = 1 << 16
"""Bytes that are read at once."""

Kind = Literal["file", "folder", "symbolic link", "special file"]


class LinkError(ValueError):
    """The folder of all runs, or that of a study, is a symbolic link."""


class Refused(OSError):
    """A link below the root, or something else that is not the file or folder that it should be."""

    def __init__(self, path: Path, kind: Kind | None, wanted: str) -> None:
        rule = "is not followed inside a folder of runs" if kind == "symbolic link" else f"is in place of a {wanted}"
        super().__init__(errno.ELOOP, f"{kind} {rule}", str(path))
        self.sentence = f"{kind} (={path}) {rule}"


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
