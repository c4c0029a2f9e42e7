"""Adapts a network's initialization to samples of the training set, where the recipe's init depends on data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.data.dataset import Parts
from ablate.data.loaders import Loader
from ablate.inits.init import Init
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.rng.noise import Noise
from ablate.trees import described

if TYPE_CHECKING:
    from torch import nn


INIT_SAMPLES = 256
"""Number of samples that an initialization sees."""


def adapt_to_data(network: nn.Module, settings: Settings, seed: int, train: Loader, data: Parts) -> None:
    """If the recipe's init depends on data, adapt it to samples of the training set. Raises ValueError."""
    init = settings.init.options
    if not isinstance(init, Init) or not init.wants_data():
        return
    if data.spec.input_form is not None:
        raise ValueError(
            f"init (={settings.init.name}) requires inputs that are one tensor, but they are "
            f"{described(data.spec.input_form)}. Use another init."
        )
    rows = Noise((seed,), "init").permutation(len(train))[:INIT_SAMPLES]
    pairs = list(train.batches(rows))
    inputs, targets = (torch.cat(column).cpu() for column in zip(*pairs, strict=True))
    if inputs.is_floating_point():
        inputs = inputs.float()
    init.adapt(network, inputs, targets if data.train.targets is None else data.train.targets, data.spec)
