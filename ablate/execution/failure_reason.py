"""Why a job failed, in one line that says where: which trick, loss, metric or network, and which line of the user's own code."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from ablate.registry import Named, entries
from ablate.registry.lazy import torch
from ablate.store.records import Status

LIMIT = 300
"""Characters of a reason."""

OWN = Path(__file__).parents[1]

WAYS_OUT = {
    "Expected more than 1 value per channel when training": "a batch has one sample, and batch norm needs two: choose another batch_size",
    "IndexError: Target ": "the network has fewer outputs than the data have classes: a network of your own is told how many as 'outputs'",
    "mat1 and mat2 shapes cannot be multiplied": "a layer gets other inputs than it was made for: a network of your own is told their shape as 'input_shape'",
    "does not require grad and does not have a grad_fn": "the loss does not depend on the weights: detach(), .item() or argmax in it cut the gradient",
}
"""What torch says, and what that means here."""


def diagnosis(error: BaseException) -> tuple[Status, str]:
    """The status and the one-line reason of a job that raised."""
    text = " ".join(str(error).split())
    if (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "Storage size calculation overflowed" in text
    ):
        return "out_of_memory", shortened(text)
    if type(error) is not ValueError:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    meaning = next((way for said, way in WAYS_OUT.items() if said in text), "")
    parts = [text.rstrip("."), *([meaning] if meaning else [])]
    where = place(error)
    room = LIMIT - len(where) - 3 if where else LIMIT
    sentence = shortened("; ".join(parts), room)
    return "failed", f"{sentence} ({where})" if where else sentence


def place(error: BaseException) -> str:
    """Where an error comes from: ``my_model.py, line 12, in forward``; ``trick mixup``. Empty where the message says all: a ValueError of the library's own."""
    frames = list(walk_tb(error.__traceback__))
    for frame, line in reversed(frames):
        if users(path := frame.f_code.co_filename):
            return f"{Path(path).name}, line {line}, in {frame.f_code.co_name}"
    if type(error) is ValueError:
        return ""
    return next((name for frame, _ in reversed(frames) if (name := named(frame))), "")


def users(path: str) -> bool:
    """Whether a file is neither the library's, nor installed, nor Python's."""
    file = Path(path)
    return file.is_absolute() and not any(file.is_relative_to(folder) for folder in not_the_users())


def not_the_users() -> Iterator[Path]:
    yield OWN
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        if folder := sysconfig.get_path(name):
            yield Path(folder)


def named(frame: FrameType) -> str:
    """``trick mixup`` for a frame inside a method of something that recipes name."""
    owner = frame.f_locals.get("self")
    if not isinstance(owner, Named):
        return ""
    return next((f"{entry.kind} {entry.name}" for entry in entries() if entry.settings is type(owner)), "")


def shortened(text: str, limit: int = LIMIT) -> str:
    """At most ``limit`` characters, with an ellipsis where something is left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
