"""The limits of MLflow: characters and lengths of keys and values, and the size of one call.

The numbers are from ``mlflow.utils.validation`` (3.17); lengths of names are those of the database columns.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

KEY = 250
NAME = 250
PARAM_VALUE = 6000
TAG_VALUE = 8000
METRICS_PER_CALL = 1000
PARAMS_PER_CALL = 100
TAGS_PER_CALL = 100
BYTES_PER_CALL = 500_000  # MLflow allows 1 MB; the rest is for the overhead of the request

Item = TypeVar("Item")


def digest(value: object) -> str:
    """A short hash of plain JSON values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def legal_key(key: str) -> str:
    """A key that MLflow accepts on every system: at most 250 letters of any script, digits, ``_ - . /`` and spaces.

    A changed key ends in a hash of the original, so that different keys stay different. Legal keys are not changed.
    """
    legal = re.sub(r"[^\w.\- /]", "_", key)
    # MLflow may store a key as a file of that name, so it requires a plain relative path
    if posixpath.normpath(legal) != legal or legal.startswith("/"):
        legal = legal.replace("/", "_")
    if legal.startswith("..") or legal in ("", "."):
        legal = "_" + legal
    if legal == key and len(key) <= KEY:
        return key
    return f"{legal[: KEY - 9]}-{digest(key)[:8]}"


def cut(text: str, most: int) -> str:
    """The text truncated to ``most`` characters, ending in an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_lines(text: str, most: int, rest: str) -> str:
    """The text truncated to ``most`` characters after a whole line, followed by the line ``rest``."""
    if len(text) <= most:
        return text
    head = text[: most - len(rest) - 2]
    return head[: head.rfind("\n") + 1 or len(head)].rstrip("\n") + "\n\n" + rest


def calls(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in lists of at most ``most`` items and ``BYTES_PER_CALL`` bytes (the sum of ``size(item)``)."""
    batch: list[Item] = []
    filled = 0
    for item in items:
        if batch and (len(batch) == most or filled + size(item) > BYTES_PER_CALL):
            yield batch
            batch, filled = [], 0
        batch.append(item)
        filled += size(item)
    if batch:
        yield batch
