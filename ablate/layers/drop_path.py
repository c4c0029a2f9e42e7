"""Stochastic depth: a layer that drops whole samples, so that a residual branch ends in it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ablate.layers.noisy_dropout import NoisyDropout

NAME = "drop_path"
"""What the layer is called below the module whose output it drops."""


class DropPath(NoisyDropout):
    """Zeroes whole samples of (N, …) with probability ``p`` and divides the others by 1 − p; in evaluation mode it does nothing.

    Random numbers belong to the seed, as in `NoisyDropout`.
    """

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """(N, 1, …): one draw for each sample."""
        return (x.shape[0], *(1 for _ in x.shape[1:]))


def end_in(module: nn.Module, layer: DropPath) -> None:
    """Let a module's output pass through ``layer``, in place; names of other layers stay.

    It becomes the last layer of a Sequential; any other module gets it as a child that a forward hook calls. Raises ValueError where one is there already.
    """
    if NAME in module._modules:
        raise ValueError(f"layer (={NAME}) is there already. Drop the trick, or rename the network's own layer.")
    module.add_module(NAME, layer)
    if type(module) is not nn.Sequential:
        module.register_forward_hook(_pass_through)


def _pass_through(module: nn.Module, _: Any, output: Tensor) -> Tensor:
    dropped: Tensor = module._modules[NAME](output)  # type: ignore[misc]
    return dropped
