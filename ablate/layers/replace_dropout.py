"""Replace the dropout and randomized ReLU layers of a network by layers with random numbers keyed by the seed."""

from __future__ import annotations

from torch import nn

from ablate.layers.noisy_dropout import NoisyDropout
from ablate.layers.noisy_rrelu import NoisyRReLU


def replace_dropout(model: nn.Module) -> list[str]:
    """Replace a network's ``nn.Dropout``, ``nn.Dropout1d``, ``2d``, ``3d`` (channelwise) and ``nn.RReLU`` by noisy
    layers, in place.

    Probabilities, modes, names and shared layers are kept. Returns the names of the replaced layers.
    """
    kinds = {nn.Dropout: False, nn.Dropout1d: True, nn.Dropout2d: True, nn.Dropout3d: True}
    new: dict[nn.Module, NoisyDropout] = {}
    names = []
    for path, parent in list(model.named_modules()):
        for name, old in list(parent._modules.items()):  # named_children skips a layer that is used twice
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
