"""Monte Carlo dropout: dropout stays on in evaluation, as a cheap ensemble."""

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

    from ablate.layers.dropout import NoisyDropout


@register(
    "trick",
    "mc_dropout",
    card=Card(
        "Keeps dropout on in evaluation and averages several passes.",
        source="Gal and Ghahramani 2016, Dropout as a Bayesian Approximation",
        helps="As a cheap ensemble: often better calibrated, sometimes more accurate than one pass without dropout.",
        costs="Evaluation takes 'passes' times as long; training time does not change.",
        interacts=(
            "Requires dropout, from the recipe or in the network itself. drop_path and rrelu stay off in evaluation. "
            "The saved weights are those of the plain network."
        ),
    ),
    version=2,
)
class McDropout(Trick):
    """Predictions in evaluation are the mean over ``passes`` forward passes with dropout on; all other layers, such as
    batch norm, are in evaluation mode.

    For classification, probabilities are averaged: the prediction is log (1/k Σ softmax(scores)), or for one score per
    sample the logit of the mean. For regression, predictions are averaged. Losses and metrics are computed from the
    mean prediction. The masks depend on the seed and are the same in every epoch.
    """

    stacked = True
    shows_at_once = False
    shorthand = "passes"
    # after all tricks that insert dropout
    order = 70
    examples = ({}, {"passes": 3})
    example_needs = "dropout"

    passes: int = Field(default=20, ge=2, description="number of forward passes to average")

    _noise: dict[str, Noise] = PrivateAttr(default_factory=dict)

    def bind(self, context: Context) -> None:
        super().bind(context)
        self._noise = {}

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Returns the layers that stay on. Raises `NoEffect` if there are none."""
        layers = dropout_layers(model)
        if not layers:
            raise NoEffect("mc_dropout has no effect: the network has no dropout. Add dropout.")
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
    """The dropout layers of a network by name, without layers of derived classes, such as stochastic depth and
    randomized ReLUs.
    """
    from ablate.layers.dropout import NoisyDropout, noisy_layers

    return {name: layer for name, layer in noisy_layers(network).items() if type(layer) is NoisyDropout}
