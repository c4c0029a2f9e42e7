"""What MLflow accepts: characters and lengths of keys and values, and how much goes into one call.

The numbers are those of ``mlflow.utils.validation`` (3.17); names of experiments and runs are as long as their database columns allow.
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
BYTES_PER_CALL = 500_000  # MLflow takes 1 MB; half of it leaves room for the frame around the values

Item = TypeVar("Item")


def digest(value: object) -> str:
    """A short hash of plain JSON values."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def legal_key(key: str) -> str:
    """The key in characters that MLflow takes on every system (letters of any script, digits, ``_ - . /`` and spaces), at most 250 of them.

    A key that had to be changed ends in a hash of the original, so that two of them never become one. Legal keys stay as they are.
    """
    legal = re.sub(r"[^\w.\- /]", "_", key)
    # MLflow may keep a key as a file of that name, so it refuses what is no plain relative path
    if posixpath.normpath(legal) != legal or legal.startswith("/"):
        legal = legal.replace("/", "_")
    if legal.startswith("..") or legal in ("", "."):
        legal = "_" + legal
    if legal == key and len(key) <= KEY:
        return key
    return f"{legal[: KEY - 9]}-{digest(key)[:8]}"


def cut(text: str, most: int) -> str:
    """The text in at most ``most`` characters, with an ellipsis where something is missing."""
    return text if len(text) <= most else text[: most - 1] + "…"


def cut_lines(text: str, most: int, rest: str) -> str:
    """The text in at most ``most`` characters, cut after a whole line and followed by the line ``rest``, which says where all of it is."""
    if len(text) <= most:
        return text
    head = text[: most - len(rest) - 2]
    return head[: head.rfind("\n") + 1 or len(head)].rstrip("\n") + "\n\n" + rest


def calls(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """The items in lists of at most ``most`` items and ``BYTES_PER_CALL`` bytes, ``size(item)`` each."""
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
