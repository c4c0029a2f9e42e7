"""Dropout that stays on in evaluation: a cheap ensemble."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.noise import Noise
from ablate.tricks.replicas import lead
from ablate.tricks.trick import Context, NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor, nn


@register(
    "trick",
    "mc_dropout",
    card=Card(
        "Keeps dropout on in evaluation and averages several passes.",
        source="Gal and Ghahramani 2016, Dropout as a Bayesian Approximation",
        helps="A cheap ensemble: often better calibrated, sometimes a little more accurate than one pass without dropout.",
        costs="Every evaluation takes as many times as long as there are passes; training is the same.",
        interacts="Needs dropout, of the recipe or of the network's own; drop_path stays off. Saved weights are the plain network's.",
    ),
)
class McDropout(Trick):
    """Predictions in evaluation are the mean over ``passes`` forward passes with dropout on, and all else (batch norm …) as in evaluation.

    Of class scores, probabilities are averaged: the prediction is log (1/k Σ softmax(scores)), of one score per sample the logit of the mean. Of numbers, the
    numbers are. Losses and metrics are those of the mean prediction. The masks belong to the seed and are the same in every epoch.
    """

    stacked = True
    shorthand = "passes"

    passes: int = Field(default=20, ge=2, description="forward passes that are averaged")

    _noise: dict[str, Noise] = PrivateAttr(default_factory=dict)

    def bind(self, context: Context) -> None:
        super().bind(context)
        self._noise = {}

    def on_predict(self, network: nn.Module, predict: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        from ablate.layers.noisy_dropout import noisy_layers

        layers = noisy_layers(network)
        if not layers:
            raise NoEffect("mc_dropout changes nothing: the network has no dropout. Add dropout below it.")
        before = {name: (layer.noise, layer.training) for name, layer in layers.items()}
        try:
            for name, layer in layers.items():
                if name not in self._noise:
                    self._noise[name] = Noise(self.context.seeds, f"mc_dropout/{name}", self.context.device)
                self._noise[name].begin(batch)
                layer.noise, layer.training = self._noise[name], True
            return self._mean(predict, inputs)
        finally:
            for name, layer in layers.items():
                layer.noise, layer.training = before[name]

    def _mean(self, predict: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        classes = self.context.spec.task == "classification"
        axis = 1 + lead(self.context)
        total: Tensor | None = None
        single = False
        for _ in range(self.passes):
            prediction = predict(inputs)
            if classes:
                single = prediction.shape[axis] == 1
                prediction = log_probabilities(prediction.float() if prediction.itemsize < 4 else prediction, axis)
                total = prediction if total is None else torch.logaddexp(total, prediction)
            else:
                total = prediction if total is None else total + prediction
        assert total is not None
        if not classes:
            return total / self.passes
        mean = total - math.log(self.passes)
        return mean.narrow(axis, 1, 1) - mean.narrow(axis, 0, 1) if single else mean


def log_probabilities(scores: Tensor, axis: int) -> Tensor:
    """log softmax of class scores; one score stands for two classes, with scores 0 and it."""
    if scores.shape[axis] == 1:
        scores = torch.cat([torch.zeros_like(scores), scores], dim=axis)
    return torch.log_softmax(scores, dim=axis)
