"""Dropout and randomized ReLU layers of a network, replaced by those whose random numbers belong to a seed."""

from __future__ import annotations

from torch import nn

from ablate.layers.noisy_dropout import NoisyDropout
from ablate.layers.noisy_rrelu import NoisyRReLU


def replace_dropout(model: nn.Module) -> list[str]:
    """Put noisy layers in the place of a network's ``nn.Dropout`` and ``nn.Dropout1d``, ``2d``, ``3d`` (these channelwise) and ``nn.RReLU``, in place.

    Rates, modes, names and sharing stay. Returns the names of the layers that were replaced.
    """
    kinds = {nn.Dropout: False, nn.Dropout1d: True, nn.Dropout2d: True, nn.Dropout3d: True}
    new: dict[nn.Module, NoisyDropout] = {}
    names = []
    for path, parent in list(model.named_modules()):
        for name, old in list(parent._modules.items()):  # named_children leaves out a layer that is used twice
            if old is not None and (type(old) in kinds or type(old) is nn.RReLU):
                if old not in new:
                    if isinstance(old, nn.RReLU):
                        new[old] = NoisyRReLU(old.lower, old.upper)
                    else:
                        new[old] = NoisyDropout(old.p, channelwise=kinds[type(old)])
                    new[old].train(old.training)
                parent._modules[name] = new[old]
                names.append(f"{path}.{name}" if path else name)
    return names
