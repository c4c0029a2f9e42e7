"""Stochastic depth: a layer at the end of a residual branch that drops whole samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ablate.layers.noisy_dropout import NoisyDropout

NAME = "drop_path"
"""Name of the layer in the module whose output it drops."""


class DropPath(NoisyDropout):
    """Zeroes whole samples of (N, …) with probability ``p`` and divides the others by 1 − p; no effect in evaluation
    mode.

    Random numbers are keyed by the seed, as in `NoisyDropout`.
    """

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """(N, 1, …): one number per sample."""
        return (x.shape[0], *(1 for _ in x.shape[1:]))


def end_in(module: nn.Module, layer: DropPath) -> None:
    """Apply ``layer`` to a module's output, in place; names of other layers do not change.

    A Sequential gets it as its last layer; any other module as a child that a forward hook calls. Raises ValueError if
    there already is one.
    """
    if NAME in module._modules:
        raise ValueError(f"layer (={NAME}) already exists in the network. Remove the trick, or rename the layer.")
    module.add_module(NAME, layer)
    if type(module) is not nn.Sequential:
        module.register_forward_hook(_pass_through)


def _pass_through(module: nn.Module, _: Any, output: Tensor) -> Tensor:
    dropped: Tensor = module._modules[NAME](output)  # type: ignore[misc]
    return dropped
