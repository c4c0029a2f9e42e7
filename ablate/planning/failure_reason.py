"""The reason why a job failed, in one line with the trick, loss, metric or network, or the line of the user's code."""

from __future__ import annotations

import errno
import sysconfig
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from ablate.registry import Named, entries
from ablate.registry.lazy import torch
from ablate.store.records import Status
from ablate.trees import WrongPath
from ablate.tricks.trick import NoEffect

LIMIT = 300
"""Maximum number of characters of a reason."""

NOT_THE_USERS = (Path(__file__).parents[1], *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")))
"""The folders of this package and of Python."""

INSTALLED = {"site-packages", "dist-packages"}
"""Folders of installed packages, of this or another environment."""

OURS = (ValueError, WrongPath)
"""Exceptions whose message is one line that says all."""

SCARCE = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE)

WAYS_OUT = {
    "Expected more than 1 value per channel when training": (
        "batch norm requires at least two samples per batch: change batch_size"
    ),
    "IndexError: Target ": (
        "the network has fewer outputs than there are classes: "
        "custom networks receive the number of classes as the argument 'outputs'"
    ),
    "mat1 and mat2 shapes cannot be multiplied": (
        "a layer received inputs of the wrong shape: custom networks receive it as the argument 'input_shape'"
    ),
    "does not require grad and does not have a grad_fn": (
        "the loss does not depend on the weights: check for detach(), .item() or argmax"
    ),
}
"""Part of torch's error message → its cause and fix."""


def diagnosis(error: BaseException) -> tuple[Status, str]:
    """The status and the one-line reason of a job that raised an exception."""
    text = " ".join(str(error).split())
    if isinstance(error, NoEffect):
        return "no_effect", text.replace(" has no effect: ", ": ", 1)
    if (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "Storage size calculation overflowed" in text
    ):
        return "out_of_memory", shortened(text)
    if type(error) not in OURS:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    meaning = next((way for said, way in WAYS_OUT.items() if said in text), "")
    parts = [text.rstrip("."), *([meaning] if meaning else [])]
    where = place(error)
    room = LIMIT - len(where) - 3 if where else LIMIT
    sentence = shortened("; ".join(parts), room)
    return "failed", f"{sentence} ({where})" if where else sentence


def lacks_resources(error: BaseException) -> bool:
    """Whether the system refused memory, a process, a thread or a file, which it may grant another time."""
    return (isinstance(error, OSError) and error.errno in SCARCE) or "can't start new thread" in str(error)


def place(error: BaseException) -> str:
    """The origin of an error: ``my_model.py, line 12, in forward`` or ``trick mixup``; empty for our ValueErrors."""
    frames = list(walk_tb(error.__traceback__))
    for frame, line in reversed(frames):
        if users(path := frame.f_code.co_filename):
            return f"{Path(path).name}, line {line}, in {frame.f_code.co_name}"
    if type(error) in OURS:
        return ""
    return next((name for frame, _ in reversed(frames) if (name := named(frame))), "")


def users(path: str) -> bool:
    """Whether a file is the user's: not part of this package, an installed package or Python."""
    file = Path(path)
    return (
        file.is_absolute()
        and not INSTALLED.intersection(file.parts)
        and not any(file.is_relative_to(folder) for folder in NOT_THE_USERS)
    )


def named(frame: FrameType) -> str:
    """``trick mixup`` for a frame inside a method of a registry entry."""
    owner = frame.f_locals.get("self")
    if not isinstance(owner, Named):
        return ""
    return next((f"{entry.kind} {entry.name}" for entry in entries() if entry.settings is type(owner)), "")


def shortened(text: str, limit: int = LIMIT) -> str:
    """The text truncated to ``limit`` characters, ending in an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
