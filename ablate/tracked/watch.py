"""The contract of what is watched: numbers of a training that change nothing in it.

A watch is named under ``watch:`` in a recipe. The engine calls its hooks here::

    for epoch:
        watch.begin(epoch)
        for batch:
            gradients of loss; watch.on_pass(gradients, parameters) # gradients() once more, of a part of the batch
            watch.on_gradients(parameters)                      # before any trick: as backpropagation left them
            optimizer step, tricks; watch.on_weights(parameters)    # after any trick: as the next step finds them
        valid loss and metrics; watch.on_valid(prediction, targets) # of the whole part
        a look into the layers: watch.on_layers(outputs)            # one seed at a time, evaluation mode, fixed samples
        watch.on_epoch(epoch, numbers)                              # returns this epoch's numbers

What the hooks see is a stack's, ``(R, …)``; of one seed, plain ``(…)``. Nothing is read from the device before the epoch ends, and no number mixes seeds.
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
"""Name → a value for each seed, (R,)."""


class Watch(Named):
    """Base of all watches: frozen settings, and only the hooks that are needed.

    Whatever is called ``gradient_norm`` for the whole network is called ``gradient_norm/<layer>`` for one of its layers.
    """

    names: ClassVar[tuple[str, ...]] = ()
    """What its numbers are called, those of single layers apart."""

    clean: ClassVar[bool] = False
    """Whether it needs the train loss in evaluation mode after every epoch."""

    _context: Context | None = PrivateAttr(default=None)
    _samples: int = PrivateAttr(default=0)

    def bind(self, context: Context, samples: int) -> None:
        """Join a training of ``samples`` training samples."""
        self._context, self._samples = context, samples

    @property
    def context(self) -> Context:
        """The facts of the training that it was bound to."""
        assert self._context is not None, "a watch has no context before bind()"
        return self._context

    @property
    def count(self) -> int:
        """Seeds in the stack: R."""
        return len(self.context.seeds)

    def begin(self, epoch: int) -> None:
        """Before an epoch's first step."""

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        """Have gradients of the step computed again, of a part of its samples; put those back that were there."""

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        """See ``parameters[name].grad`` before tricks and the optimizer do."""

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        """See the weights after the optimizer's step and all tricks."""

    def on_valid(self, prediction: Tensor, target: Tensor) -> None:
        """See the predictions of the whole validation part, (n, outputs, …), in a stack (R, n, outputs, …)."""

    def layers(self, network: nn.Module) -> Mapping[str, nn.Module]:
        """The layers whose outputs it wants to see, by name."""
        return {}

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        """See the outputs of those layers for the seed number ``seed`` of the stack: a tensor (n, …) for each call of the layer."""

    def on_epoch(self, epoch: int, numbers: Numbers) -> Mapping[str, Tensor | NDArray[np.float64]]:
        """The epoch's numbers by name, each (R,); ``numbers`` are those that every training has. Empty where there is nothing to tell."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep of earlier epochs, in tensors and plain values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a saved state."""


def looks(watch: Watch, hook: str) -> bool:
    """Whether a watch has its own version of a hook (the engine calls no other)."""
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
