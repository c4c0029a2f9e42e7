"""The user's own network, by target."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from ablate.recipe.settings import Choice


def build_target(choice: Choice, folder: Path | None, input_shape: tuple[int, ...], outputs: int) -> nn.Module:
    """Call a model's target with the recipe's arguments; it gets ``input_shape`` and ``outputs`` too where its signature names them.

    Arguments that the recipe writes win. Raises ValueError with one line where the arguments do not fit or what comes back is no ``nn.Module``.
    """
    target = choice.resolve(folder)
    if not callable(target):
        raise ValueError(
            f"model.target (={choice.target}) is a {type(target).__name__}, not a class or function. Name one that returns an nn.Module."
        )
    assert isinstance(choice.options, Mapping)
    arguments: dict[str, Any] = dict(choice.options)
    try:
        signature = inspect.signature(target)
    except ValueError:  # a function in C says nothing about its arguments
        signature = None
    if signature is not None:
        offered = {"input_shape": tuple(input_shape), "outputs": outputs}
        arguments = {name: value for name, value in offered.items() if name in signature.parameters} | arguments
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ValueError(
                f"model.target (={choice.target}) cannot be called with the recipe's arguments: {error}. It takes {signature}."
            ) from None
    model = target(**arguments)
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"model.target (={choice.target}) returned a {type(model).__name__}. It must return an nn.Module for one network."
        )
    return model
