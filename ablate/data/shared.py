"""Data that one process has loaded, for processes forked later by the same parent: they map them instead of loading.

The parent makes an empty file in memory for each dataset (`offer`) and forks a process that loads the data into it
(`share`). Processes forked later inherit the file and map it copy-on-write (`taken`): a process that writes to a tensor
changes only its own copy. The file has no name and disappears with the last process.

Format: three numbers of 8 bytes (the lengths of text and pickle, and where the values begin), what loading printed, a
pickle of `Parts` without values, then the storages of its tensors, each at a multiple of 64 bytes. Only processes that
run user code unpickle it.
"""

from __future__ import annotations

import fcntl
import io
import json
import mmap
import os
import pickle
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from ablate.data.dataset import Parts
from ablate.data.memory import free_bytes, most_to_share
from ablate.recipe.settings import BatchForm, Choice
from ablate.registry.lazy import torch

HEAD = struct.Struct("<QQQ")
ALIGNED = 64
WRITTEN_AT_ONCE = 2**30

_offered: dict[str, int] = {}
"""Dataset → the descriptor of its file."""

_kept: dict[str, Parts] = {}
"""Datasets that this process has loaded and keeps."""


class CannotShare(Exception):
    """The data are not only dense tensors in main memory."""


def key_of(choice: Choice, folder: Path | None, *, double: bool, form: BatchForm | None) -> str:
    """What the data of a recipe depend on before they are split into folds."""
    form = form or BatchForm()
    return json.dumps([choice.dump(), str(folder), double, form.model_dump(mode="json")], sort_keys=True)


def offer(keys: Iterable[str]) -> None:
    """Make an empty file for each dataset that has none, if the system can."""
    for key in keys:
        if key not in _offered and hasattr(os, "memfd_create"):
            with suppress(OSError):
                _offered[key] = os.memfd_create("ablate data", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)


def keep(key: str, parts: Parts) -> None:
    """Let `taken` return these data in this process, which may not be shared."""
    _kept[key] = parts


def share(key: str, parts: Parts, printed: bytes = b"") -> bool:
    """Write a dataset into its file, for processes forked later; false if it cannot be shared or is too large.

    ``printed`` is what loading it printed.
    """
    if (file := _offered.get(key)) is None:
        return False
    storages = Storages()
    try:
        text = storages.pickled(parts)
        begin = _aligned(HEAD.size + len(printed) + len(text))
        os.ftruncate(file, begin + storages.bytes)
        together = sum(os.fstat(one).st_size for one in _offered.values())
        if together > most_to_share() or begin + storages.bytes > free_bytes("cpu"):
            raise CannotShare
        _write(file, memoryview(HEAD.pack(len(printed), len(text), begin) + printed + text), 0)
        for storage, place in storages.places.values():
            _write(file, _bytes_of(storage), begin + place)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    except Exception:  # pickling runs user code, if its classes are in the data
        with suppress(OSError):
            os.ftruncate(file, 0)
        return False
    return True


def taken(choice: Choice, folder: Path | None, *, double: bool, form: BatchForm | None) -> Parts | None:
    """The data that this process keeps or another one has shared; None if there are none. Prints what loading printed.

    Their tensors may be written to: no other process sees it.
    """
    if not _offered and not _kept:
        return None
    if (key := key_of(choice, folder, double=double, form=form)) in _kept:
        return _kept[key]
    file = _offered.get(key)
    if file is None or not fcntl.fcntl(file, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE:
        return None
    try:
        prot = mmap.PROT_READ | mmap.PROT_WRITE
        values = mmap.mmap(file, os.fstat(file).st_size, flags=mmap.MAP_PRIVATE, prot=prot)
        printed, text, begin = HEAD.unpack_from(values)
        parts = Mapped(values[HEAD.size + printed : HEAD.size + printed + text], values, begin).load()
    except Exception:  # then this process loads for itself, and reports what is wrong
        return None
    sys.stdout.write(values[HEAD.size : HEAD.size + printed].decode(errors="replace"))
    return parts if isinstance(parts, Parts) else None


class Storages:
    """The storages of tensors, each once, and where it goes. ``bytes`` is the size of all."""

    def __init__(self) -> None:
        self.places: dict[tuple[int, int], tuple[torch.UntypedStorage, int]] = {}
        self.bytes = 0

    def pickled(self, parts: Parts) -> bytes:
        """Data without the values of tensors. Raises `CannotShare`."""
        if any(part is not None and part.dataset is not None for part in (parts.train, parts.valid, parts.test)):
            raise CannotShare
        buffer = io.BytesIO()
        _Pickler(buffer, self).dump(parts)
        return buffer.getvalue()

    def place(self, storage: torch.UntypedStorage) -> int:
        """Where the values of a storage go."""
        if (known := (storage.data_ptr(), storage.nbytes())) not in self.places:
            self.places[known] = storage, self.bytes
            self.bytes = _aligned(self.bytes + storage.nbytes())
        return self.places[known][1]


class _Pickler(pickle.Pickler):
    """Writes of a tensor where its values are."""

    def __init__(self, file: io.BytesIO, storages: Storages) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.storages = storages

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return None
        plain = type(value) is torch.Tensor and value.layout is torch.strided and value.device.type == "cpu"
        if not plain or value.requires_grad or value.is_conj() or value.is_neg() or value.is_quantized:
            raise CannotShare
        storage = value.untyped_storage()
        place = self.storages.place(storage)
        return value.dtype, place, storage.nbytes(), value.storage_offset(), tuple(value.shape), value.stride()


class Mapped(pickle.Unpickler):
    """Reads data whose tensors are parts of a mapping, in which storages start at ``begin``."""

    def __init__(self, text: bytes, values: mmap.mmap, begin: int) -> None:
        super().__init__(io.BytesIO(text))
        self.values, self.begin = values, begin
        self.storages: dict[int, torch.UntypedStorage] = {}

    def persistent_load(self, pid: Any) -> torch.Tensor:
        dtype, place, size, offset, shape, stride = pid
        if not size:
            return torch.empty(shape, dtype=dtype)
        if place not in self.storages:
            values = torch.frombuffer(self.values, dtype=torch.uint8, count=size, offset=self.begin + place)
            self.storages[place] = values.untyped_storage()
        return torch.empty(0, dtype=dtype).set_(self.storages[place], offset, shape, stride)


def _bytes_of(storage: torch.UntypedStorage) -> memoryview:
    return memoryview(cast("Any", torch.empty(0, dtype=torch.uint8).set_(storage).numpy()))


def _write(file: int, data: memoryview, at: int) -> None:
    """Write all bytes. Raises OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done : done + WRITTEN_AT_ONCE], at + done)


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
