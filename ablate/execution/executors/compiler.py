"""torch's compiler, which `torch.optim` imports as soon as an optimizer is made: 1.5 s, as long as importing torch.

Most jobs never use it (`optimizers/steps/fused.py`), so it is imported before the first job that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from ablate.recipe import Settings
from ablate.trainers.trainer import OwnTrainer, trainer_of

WITHOUT = ("sgd", "adam", "adamw")
"""The optimizers whose steps do not need it."""

METHODS = ("zero_grad", "state_dict", "load_state_dict", "add_param_group")
"""What `torch.optim.Optimizer` excludes from compilation, by importing the compiler at the first call."""

MARK = "__dynamo_disable"
"""The attribute in which torch keeps the excluded function."""


def uses_compiler(settings: Settings) -> bool:
    """Whether a training of these settings would import the compiler in its job."""
    if isinstance(trainer := trainer_of(settings), OwnTrainer):
        return trainer.reading is None  # a command has processes of its own
    return settings.compile or settings.optimizer.name not in WITHOUT


def put_off() -> None:
    """Let optimizers be made without the compiler. Code that is not compiled notices no difference."""
    for method in _methods():
        setattr(method, MARK, method)


def import_compiler() -> None:
    """Import the compiler, if it is not there, and let optimizers be excluded from compilation again."""
    import_module("torch._dynamo")

    for method in _methods():
        if getattr(method, MARK, None) is method:
            delattr(method, MARK)


def _methods() -> Iterator[Any]:
    """The functions that torch has wrapped."""
    import torch

    for name in METHODS:
        if (method := getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)) is not None:
            yield method
