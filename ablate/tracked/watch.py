"""The base class of tracked metrics, which do not affect training.

A recipe lists them under ``watch:``. The engine calls the hooks here::

    for epoch:
        watch.begin(epoch)
        for batch:
            gradients of loss; watch.on_pass(gradients, parameters)   # gradients() again, of a part of the batch
            watch.on_gradients(parameters)                            # before any trick changes them
            optimizer step, tricks; watch.on_weights(parameters)      # after all tricks
        validation loss and metrics; watch.on_valid(prediction, targets)   # of the whole validation set
        forward pass on fixed samples; watch.on_layers(outputs, seed) # one seed at a time, in evaluation mode
        watch.on_epoch(epoch, numbers)                                # returns this epoch's numbers

In a stack, tensors passed to hooks are ``(R, …)``; for one seed, ``(…)``. Nothing is copied from the device before the
end of an epoch, and no value depends on other seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PrivateAttr

from ablate.registry import Named
from ablate.registry.lazy import torch
from ablate.tricks.trick import Context, Gradients

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

Numbers = Mapping[str, "NDArray[np.float64]"]
"""Name → one value per seed, (R,)."""


class Watch(Named):
    """Base of all tracked metrics: frozen settings, and only the hooks that are needed.

    The value for the whole network is named ``gradient_norm``, that of a layer ``gradient_norm/<layer>``.
    """

    names: ClassVar[tuple[str, ...]] = ()
    """Names of its values, without those of single layers."""

    clean: ClassVar[bool] = False
    """Whether it requires the training loss in evaluation mode after every epoch."""

    _context: Context | None = PrivateAttr(default=None)
    _samples: int = PrivateAttr(default=0)

    def bind(self, context: Context, samples: int) -> None:
        """Bind to a training with ``samples`` training samples."""
        self._context, self._samples = context, samples

    @property
    def context(self) -> Context:
        """The facts of the training that it is bound to."""
        assert self._context is not None, "a tracked metric has no context before bind()"
        return self._context

    @property
    def count(self) -> int:
        """Number of seeds in the stack: R."""
        return len(self.context.seeds)

    def begin(self, epoch: int) -> None:
        """Called before the first step of an epoch."""

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        """Compute gradients of the step again, on a part of its samples, and restore the previous ones."""

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """Called with ``parameters[name].grad`` before tricks and the optimizer change them."""

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        """Called after the optimizer's step and all tricks."""

    def on_valid(self, prediction: Tensor, target: Tensor) -> None:
        """Called with the predictions for the whole validation set, (n, outputs, …), in a stack (R, n, outputs, …)."""

    def layers(self, network: nn.Module) -> Mapping[str, nn.Module]:
        """The layers whose outputs it requires, by name."""
        return {}

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        """Called with the outputs of those layers for seed number ``seed`` of the stack: a tensor (n, …) per call of
        the layer.
        """

    def on_epoch(self, epoch: int, numbers: Numbers) -> Mapping[str, Tensor | NDArray[np.float64]]:
        """The epoch's values by name, each (R,); ``numbers`` are those of every training. Empty if there are none."""
        return {}

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, as tensors and plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""


def looks(watch: Watch, hook: str) -> bool:
    """Whether a tracked metric overrides a hook (the engine calls no other)."""
    return getattr(type(watch), hook) is not getattr(Watch, hook)


def by_layer(parameters: Iterable[str]) -> dict[str, list[str]]:
    """Layer → the names of its parameters: ``conv1`` → ``conv1.weight``, ``conv1.bias``."""
    layers: dict[str, list[str]] = {}
    for name in parameters:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return layers


def norms(tensors: Iterable[Tensor], count: int) -> Tensor:
    """The Euclidean norm of several tensors together for each of ``count`` seeds, (R,): float32 or wider, detached."""
    each = [vector_norm(tensor.detach().reshape(count, -1)) for tensor in tensors]
    return each[0] if len(each) == 1 else vector_norm(torch.stack(each, dim=1))


def vector_norm(values: Tensor) -> Tensor:
    """√(Σ x²) over the last axis, in float32 or wider."""
    wide = torch.promote_types(values.dtype, torch.float32)
    norm: Tensor = torch.linalg.vector_norm(values, dim=-1, dtype=wide)
    return norm
