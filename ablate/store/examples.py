"""The file ``examples.npz`` of a run: the losses and metrics of its validation samples, as compressed arrays.

No part of a fingerprint: a run is finished without it, as the runs of earlier versions are.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ablate.data.examples import MOST, Examples
from ablate.store.store import Store, ignore_damaged

NAME = "examples.npz"

MOST_ARRAYS = 200
"""The most arrays in a file."""

LONGEST_HEADER = 1000
"""The most bytes before the numbers of an array."""

VALUE, WEIGHT = "value/", "weight/"
"""What the names of arrays begin with, before the name of a metric."""


def save(store: Store, fingerprint: str, examples: Examples) -> None:
    """Write the values of a run's samples atomically; returns when they are on the disk."""
    arrays: dict[str, NDArray[Any]] = {"ids": examples.ids}
    arrays |= {f"{VALUE}{name}": values for name, values in examples.values.items()}
    arrays |= {f"{WEIGHT}{name}": weights for name, weights in examples.weights.items()}
    if examples.groups is not None:
        arrays["groups"] = examples.groups
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    store.disk.replace(store.run_folder(fingerprint) / NAME, buffer.getvalue(), durable=True)


def load(store: Store, fingerprint: str) -> Examples | None:
    """The values of a run's samples; None if there are none. Warns if the file is damaged."""
    path = store.run_folder(fingerprint) / NAME
    contents = store.disk.read(path)
    try:
        return None if contents is None else from_bytes(contents)
    except ValueError as error:
        ignore_damaged(path, error)
        return None


def from_bytes(contents: bytes) -> Examples:
    """The contents of a file, which may be damaged or a stranger's. Raises ValueError (one line)."""
    try:
        with zipfile.ZipFile(io.BytesIO(contents)) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS:
                raise ValueError(f"has more than {MOST_ARRAYS} arrays")
            arrays = {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"is not a whole .npz file ({str(error).rstrip('.') or type(error).__name__})") from None
    ids, groups = arrays.pop("ids", None), arrays.pop("groups", None)
    if ids is None or ids.dtype != np.int64 or len(np.unique(ids)) != len(ids):
        raise ValueError("must have different integers as 'ids'")
    if groups is not None and groups.dtype != np.int64:
        raise ValueError("must have integers as 'groups'")
    found: dict[str, dict[str, NDArray[np.floating]]] = {VALUE: {}, WEIGHT: {}}
    for name, values in arrays.items():
        kind = next((kind for kind in found if name.startswith(kind)), None)
        if kind is None:
            continue  # of a later version
        if values.dtype.kind != "f" or not np.isfinite(values).all() or (kind == WEIGHT and (values < 0).any()):
            raise ValueError(f"must have finite numbers as '{name}'")
        found[kind][name.removeprefix(kind)] = values
    if any(len(values) != len(ids) for values in (*arrays.values(), *(() if groups is None else (groups,)))):
        raise ValueError("must have arrays of the same length")
    return Examples(ids, found[VALUE], found[WEIGHT], groups)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """An array (n,) of int64, float32 or float64, of at most `MOST` numbers; no more than they take is read."""
    name = member.filename
    if member.file_size > 8 * MOST + LONGEST_HEADER:
        raise ValueError(f"has an array '{name}' of {member.file_size:,} bytes")
    file = io.BytesIO(archive.read(member))
    if npy.read_magic(file) != (1, 0):
        raise ValueError(f"has an array '{name}' of another version of the format")
    shape, _, kind = npy.read_array_header_1_0(file)
    if len(shape) != 1 or not 0 < shape[0] <= MOST or kind not in (np.int64, np.float32, np.float64):
        raise ValueError(f"has an array '{name}' of shape {shape} and type {kind}")
    data = file.read(shape[0] * kind.itemsize)
    if len(data) != shape[0] * kind.itemsize:
        raise ValueError(f"has an array '{name}' that is cut off")
    return np.frombuffer(data, kind)
