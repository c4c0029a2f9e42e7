"""A last batch of one sample, which batch norm may not accept in training mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.engine.dry_run import unchanged, without_dropout
from ablate.layers.batch_norm import batch_norms, too_few_samples
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.loaders import Loader


def try_one_sample(network: nn.Module, train: Loader, batch_size: int) -> None:
    """If an epoch's last batch has one sample, check that the network's batch norm accepts it; raises ValueError."""
    if (len(train) - 1) % batch_size == 0 and not takes_one_sample(network, train):
        rule = f"With {len(train)} training samples, the last batch has one sample, but batch norm requires two."
        raise ValueError(f"batch_size (={batch_size}): {rule} Choose another batch size.")


def batches_for_norms(network: nn.Module, train: Loader, batch_size: int) -> Loader:
    """The training set in batches of this size, or larger ones if the last would have one sample that the network's
    batch norm does not accept.
    """
    if len(train) % batch_size == 1 and not takes_one_sample(network, train):
        while len(train) % batch_size == 1:
            batch_size += 1
    return train.with_batch_size(batch_size)


def takes_one_sample(network: nn.Module, train: Loader) -> bool:
    """Whether the network's batch norm accepts a batch of one sample in training mode. The network is not changed."""
    if not batch_norms(network):
        return True
    try:
        with unchanged(network), without_dropout([network]):
            network.train()(next(iter(train.batches(torch.arange(1))))[0])
    except ValueError as error:
        return not too_few_samples(error)
    except Exception:  # the training reports it
        return True
    return True
