"""Arrays that are slow to compute, cached between runs in ``$ABLATE_CACHE`` or ``~/.cache/ablate``."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.recipe.contents import cache_folder
from ablate.registry.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]
else:
    np = LazyModule("numpy")


def cached(name: str, key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays that ``make`` returns, or those on disk with the same ``name`` and ``key``.

    A new key replaces the arrays of the old one, so the folder does not grow. A file that cannot be read is created
    again; a folder that cannot be written is not used.
    """
    path = cache_folder() / f"{name}-{_digest(key)}.npz"
    with contextlib.suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile), path.open("rb") as file:
        kept = np.load(file)
        return {array: kept[array] for array in kept.files}
    arrays = make()
    with contextlib.suppress(OSError):
        _keep(path, name, arrays)
    return arrays


def of_file(path: Path, kind: str, make: Callable[[], Arrays]) -> Arrays:
    """`cached` for arrays read from a file: computed again if its path, size or modification time changes."""
    facts = path.stat()
    real = str(path.resolve())
    return cached(f"{kind}-{_digest(real)}", f"{real} {facts.st_size} {facts.st_mtime_ns}", make)


def _keep(path: Path, name: str, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    for old in path.parent.glob(f"{name}-*.npz"):
        if old != path:
            old.unlink(missing_ok=True)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
