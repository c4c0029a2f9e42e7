"""Custom losses and metrics that compare every prediction with every target, because their shapes broadcast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ablate.engine.dry_run import unchanged
from ablate.engine.measures import Measure
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.loaders import Loader

PAIRS = 32
"""Number of samples whose predictions are permuted to find a loss that compares all with all."""


def check_pairing(network: nn.Module, measures: Mapping[str, Measure], train: Loader, batch_size: int) -> None:
    """Raise ValueError if a custom loss or metric compares every prediction with every target, by broadcasting.

    Predictions (N,) and targets (N, 1), or the reverse, broadcast to (N, N); the value is then the same if the
    predictions are permuted. ``measures`` by their names in errors. The network is not changed.
    """
    n = min(PAIRS, batch_size, len(train))
    broadcast = []
    try:
        with unchanged(network):
            inputs, targets = next(iter(train.batches(torch.linspace(0, len(train) - 1, n).long())))
            prediction = network.eval()(inputs)
            if not isinstance(prediction, torch.Tensor) or not isinstance(targets, torch.Tensor):
                return
            if prediction.shape == targets.shape or prediction.squeeze().shape != targets.squeeze().shape:
                return
            right = targets.to(prediction.dtype).view_as(prediction)
            if right.min() < right.max():
                for name, measure in measures.items():
                    values = torch.stack([measure(right.roll(by, 0), targets).double() for by in range(4)])
                    if torch.allclose(values, values[0], rtol=1e-5):
                        broadcast.append(name)
    except Exception:  # the training reports it
        return
    if broadcast:
        raise ValueError(
            f"{broadcast[0]} compares every prediction with every target, because predictions of shape "
            f"{tuple(prediction.shape)} and targets of shape {tuple(targets.shape)} broadcast. In its code, use "
            "prediction.view_as(target)."
        )
