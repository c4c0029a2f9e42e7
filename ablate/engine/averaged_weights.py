"""Weights of a trick's own (an average) in place of the live ones, for as long as an epoch is measured and kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ablate.engine.device import autocast
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from ablate.engine.assembly import Assembly


@contextmanager
def evaluation_weights(assembly: Assembly) -> Iterator[None]:
    """Inside, the networks have the weights that a trick wants to be judged by (`Trick.evaluation_weights`); afterwards they have their own again.

    Raises ValueError where it names weights that the networks have not.
    """
    trick = assembly.judged
    weights = trick.evaluation_weights() if trick is not None else None
    if trick is None or weights is None:
        yield
        return
    state = assembly.replicas.state()
    if odd := next((name for name in weights if name not in state), None):
        raise ValueError(
            f"evaluation weights (={odd}) are none of the network's. Give them the names of its parameters."
        )
    live = {name: tensor.clone() for name, tensor in state.items()}
    try:
        # one by one: loaded with all others, a weight that two layers share would get its live value back under its second name
        for name, weight in weights.items():
            state[name].copy_(weight)
        if trick.fresh_norms:
            measure_norms(assembly)
        yield
    finally:
        assembly.replicas.load(live)


def measure_norms(assembly: Assembly) -> None:
    """Set the running statistics of batch norm to their mean over the training part, in evaluation order, without augmentation or dropout.

    As `torch.optim.swa_utils.update_bn`, but that batches count by their samples and dropout is off. It costs a forward pass over the training part where there
    is batch norm, and nothing where there is none.
    """
    replicas = assembly.replicas
    kinds = torch.nn.modules.batchnorm._BatchNorm
    layers = [m for m in replicas.template.modules() if isinstance(m, kinds) and m.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    replicas.eval()
    seen = 0
    try:
        for layer in layers:
            layer.training = True
        with torch.no_grad(), autocast(assembly.device, assembly.settings.precision):
            for inputs, _ in assembly.train_clean.batches(None):
                seen += len(inputs)
                for layer in layers:
                    layer.momentum = len(inputs) / seen
                replicas.predict(inputs)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        replicas.eval()
