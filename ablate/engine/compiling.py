"""torch.compile for a seed that trains alone, tried before the first step: what cannot be compiled trains as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    Forward = Callable[[Tensor], Tensor]

LOG = logging.getLogger(__name__)
"""What it says goes into the job's log."""

BACKEND: str | Callable[..., Any] = "inductor"


def compiled(
    network: nn.Module, batches: Iterable[Tensor], mixed: AbstractContextManager[object]
) -> tuple[Forward, str | None]:
    """The forward pass of a network, compiled, and None; or the network itself and why it is not compiled.

    ``batches`` are inputs of every size that training brings. Each is tried in a forward and a backward pass in training mode (under ``mixed``, the training's
    autocast), and in a forward pass in evaluation mode. Parameters and buffers stay as they were.
    """
    kept = {name: tensor.clone() for name, tensor in network.named_buffers()}
    try:
        forward = _compile(network)
        for inputs in batches:
            network.train()
            with mixed:
                prediction = forward(inputs)
            prediction.float().sum().backward()  # type: ignore[no-untyped-call]
            network.eval()
            with mixed, torch.no_grad():
                forward(inputs)
        return forward, None
    except Exception as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        LOG.warning("compile (=true): the network is not compiled and trains as it is. %s", reason)
        return network, reason
    finally:
        network.zero_grad(set_to_none=True)
        network.train()
        for name, tensor in network.named_buffers():
            tensor.copy_(kept[name])


def _compile(network: nn.Module) -> Forward:
    import torch._inductor.config as inductor

    # what a model draws from the global generator is to be what it draws uncompiled
    inductor.fallback_random = True
    # a job has no cores but its own
    inductor.compile_threads = torch.get_num_threads()
    for layer in network.modules():
        if callable(draw := getattr(layer, "draw", None)):
            layer.draw = torch.compiler.disable(draw)  # type: ignore[no-untyped-call]  # masks come from a seed's own stream, which no graph can hold
    made: Forward = torch.compile(network, backend=BACKEND)
    return made
