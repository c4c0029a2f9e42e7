"""torch.compile for a seed that is trained alone, tried before the first step; if it fails, training does without."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ablate.data.loaders import Loader
from ablate.engine.device import autocast
from ablate.engine.replicas import OneNetwork, Replicas
from ablate.notes.note import Note
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    Forward = Callable[[Tensor], Tensor]

LOG = logging.getLogger(__name__)
"""Writes to the job's log."""

BACKEND: str | Callable[..., Any] = "inductor"


def compile_network(replicas: Replicas, settings: Settings, train: Loader, device: str) -> list[Note]:
    """Compile the network of one seed for full batches and the last one. Returns a note if it is not compiled."""
    if not isinstance(replicas, OneNetwork):
        return [Note("stack_not_compiled")]
    if settings.loss.name == "from_model":
        return [Note("not_compiled", values={"reason": "the network computes its own loss"})]
    sizes = dict.fromkeys(
        (min(settings.batch_size, len(train)), len(train) % settings.batch_size or settings.batch_size)
    )
    batches = (next(iter(train.with_batch_size(n).batches(torch.arange(n))))[0] for n in sizes if n <= len(train))
    forward, reason = compiled(replicas.template, batches, autocast(device, settings.precision))
    replicas.run_by(forward)
    return [] if reason is None else [Note("not_compiled", values={"reason": reason})]


def compiled(
    network: nn.Module, batches: Iterable[Tensor], mixed: AbstractContextManager[object]
) -> tuple[Forward, str | None]:
    """The compiled forward pass of a network and None; or the network itself and the reason for the failure.

    ``batches`` are inputs of every size that occurs in training. Each is tried in a forward and a backward pass in
    training mode (under ``mixed``, the autocast of training), and in a forward pass in evaluation mode. Parameters and
    buffers are not changed.
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
        LOG.warning("compile (=true): Compilation failed; training without it. %s", reason)
        return network, reason
    finally:
        network.zero_grad(set_to_none=True)
        network.train()
        for name, tensor in network.named_buffers():
            tensor.copy_(kept[name])


def _compile(network: nn.Module) -> Forward:
    import torch._inductor.config as inductor

    # draw the same numbers from the global generator as without compilation
    inductor.fallback_random = True
    # use the job's own cores only
    inductor.compile_threads = torch.get_num_threads()
    for layer in network.modules():
        if callable(draw := getattr(layer, "draw", None)):
            # masks come from a seed's own stream, which cannot be part of a graph
            layer.draw = torch.compiler.disable(draw)  # type: ignore[no-untyped-call]
    made: Forward = torch.compile(network, backend=BACKEND)
    return made
