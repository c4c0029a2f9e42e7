"""Content hashes of data files, cached by path, size and modification time, and answers about contents: a large file is
read once."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

SETTLED = 2.0
"""Seconds after which a modification time can be trusted: a newer file may change again within one clock tick."""


def content_hash(path: Path) -> str:
    """32 hex characters for the contents of a file, or for the names and contents of all files in a folder.

    Raises ValueError if the path does not exist.
    """
    path = path.absolute()
    if not path.exists():
        raise ValueError(f"data (={path}) does not exist.")
    facts = list(_facts(path))
    remembered = _remembered(path)
    if remembered is not None and remembered.get("facts") == _digest(facts):
        return str(remembered["hash"])
    found = _hash_folder(path) if path.is_dir() else _hash_file(path)
    if _settled(facts):
        _remember(path, {"path": str(path), "facts": _digest(facts), "hash": found})
    return found


def of_contents(contents: str, question: str, answer: Callable[[], bool]) -> bool:
    """``answer`` to a question about files with this `content_hash`, cached; False if they cannot be read any more."""
    place = Path(contents) / question
    remembered = _remembered(place)
    if remembered is not None:
        return bool(remembered["hash"])
    try:
        found = answer()
    except (OSError, ValueError):
        return False
    _remember(place, {"facts": question, "hash": found})
    return found


def _settled(facts: list[tuple[str, int, int]]) -> bool:
    """Whether the newest modification time can be trusted."""
    return max((fact[2] for fact in facts), default=0) < (time.time() - SETTLED) * 1e9


def _facts(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and modification time (ns) of every file, without reading it."""
    for name, file in _files(path):
        status = file.stat()
        yield name, status.st_size, status.st_mtime_ns


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """All files by their name relative to ``path``, sorted; if ``path`` is a file, its name is ''."""
    if not path.is_dir():
        yield "", path
        return
    found = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    yield from sorted((file.relative_to(path).as_posix(), file) for file in found if file.is_file())


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _hash_folder(path: Path) -> str:
    return _digest([(name, _hash_file(file)) for name, file in _files(path)])


def _digest(value: object) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def cache_folder() -> Path:
    """``$ABLATE_CACHE``, or ``~/.cache/ablate``; a folder that nobody can write if the user has no home."""
    try:
        return Path(os.environ.get("ABLATE_CACHE") or "~/.cache/ablate").expanduser()
    except RuntimeError:  # in containers: no HOME, and a user id without a name
        return Path(os.devnull) / "ablate"


def _place(path: Path) -> Path:
    return cache_folder() / "contents" / f"{_digest(str(path))}.json"


def _remembered(path: Path) -> dict[str, object] | None:
    try:
        value = json.loads(_place(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) and {"facts", "hash"} <= value.keys() else None


def _remember(path: Path, value: dict[str, object]) -> None:
    """Cache a hash. A cache that cannot be written is ignored."""
    place = _place(path)
    beside = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(value), encoding="utf-8")
        os.replace(beside, place)
    except OSError:
        with suppress(OSError):
            beside.unlink()
