"""Custom networks, by target."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.registry.described import type_of
from ablate.registry.lazy import torch
from ablate.trees import Tree

if TYPE_CHECKING:
    from torch import nn

    from ablate.recipe.settings import Choice


def build_target(choice: Choice, folder: Path | None, input_shape: Tree, outputs: int) -> nn.Module:
    """Call a model's target with the recipe's arguments, and with ``input_shape`` and ``outputs`` if its signature has
    them.

    The recipe's arguments take precedence. Raises ValueError (one line) if the arguments do not match or the result is
    not an ``nn.Module``.
    """
    target = choice.resolve(folder)
    if not callable(target):
        raise ValueError(
            f"model.target (={choice.target}) must be a class or function that returns an nn.Module, but it is a "
            f"{type(target).__name__}."
        )
    assert isinstance(choice.options, Mapping)
    arguments: dict[str, Any] = dict(choice.options)
    try:
        signature = inspect.signature(target)
    except ValueError:  # functions in C have no signature
        signature = None
    if signature is not None:
        offered = {"input_shape": input_shape, "outputs": outputs}
        arguments = {name: value for name, value in offered.items() if name in signature.parameters} | arguments
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ValueError(
                f"model.target (={choice.target}) cannot be called with the recipe's arguments: {error}. It takes "
                f"{signature}."
            ) from None
    model = target(**arguments)
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"model.target (={choice.target}) must return an nn.Module, but returned {type_of(model)}.")
    return model
