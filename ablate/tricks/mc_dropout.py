"""Dropout that stays on in evaluation: a cheap ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.rng.noise import Noise
from ablate.tricks.shared.mean_prediction import MeanPrediction
from ablate.tricks.shared.replicas import lead
from ablate.tricks.trick import Context, NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ablate.layers.noisy_dropout import NoisyDropout


@register(
    "trick",
    "mc_dropout",
    card=Card(
        "Keeps dropout on in evaluation and averages several passes.",
        source="Gal and Ghahramani 2016, Dropout as a Bayesian Approximation",
        helps="A cheap ensemble: often better calibrated, sometimes a little more accurate than one pass without dropout.",
        costs="Every evaluation takes as many times as long as there are passes; training is the same.",
        interacts="Needs dropout, of the recipe or of the network's own; drop_path and rrelu stay as in evaluation. Saved weights are the plain network's.",
    ),
    version=2,
)
class McDropout(Trick):
    """Predictions in evaluation are the mean over ``passes`` forward passes with dropout on, and all else (batch norm …) as in evaluation.

    Of class scores, probabilities are averaged: the prediction is log (1/k Σ softmax(scores)), of one score per sample the logit of the mean. Of numbers, the
    numbers are. Losses and metrics are those of the mean prediction. The masks belong to the seed and are the same in every epoch.
    """

    stacked = True
    shows_at_once = False
    shorthand = "passes"
    # behind all surgery that puts dropout in
    order = 70

    passes: int = Field(default=20, ge=2, description="forward passes that are averaged")

    _noise: dict[str, Noise] = PrivateAttr(default_factory=dict)

    def bind(self, context: Context) -> None:
        super().bind(context)
        self._noise = {}

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Names the layers that stay on. Raises `NoEffect` where there are none."""
        layers = dropout_layers(model)
        if not layers:
            raise NoEffect("mc_dropout changes nothing: the network has no dropout. Add dropout below it.")
        return model, list(layers)

    def on_predict(self, network: nn.Module, predict: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        layers = dropout_layers(network)
        before = {name: (layer.noise, layer.training) for name, layer in layers.items()}
        try:
            for name, layer in layers.items():
                if name not in self._noise:
                    self._noise[name] = Noise(self.context.seeds, f"mc_dropout/{name}", self.context.device)
                self._noise[name].begin(batch)
                layer.noise, layer.training = self._noise[name], True
            mean = MeanPrediction(self.context.spec, 1 + lead(self.context))
            for _ in range(self.passes):
                mean.add(predict(inputs))
            return mean.mean()
        finally:
            for name, layer in layers.items():
                layer.noise, layer.training = before[name]


def dropout_layers(network: nn.Module) -> dict[str, NoisyDropout]:
    """The dropout layers of a network by name: not what is made of their class, such as stochastic depth and randomized ReLUs."""
    from ablate.layers.noisy_dropout import NoisyDropout, noisy_layers

    return {name: layer for name, layer in noisy_layers(network).items() if type(layer) is NoisyDropout}
