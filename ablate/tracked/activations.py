"""Tracked metrics of activations and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch
from ablate.tricks.shared.mean_prediction import log_probabilities
from ablate.tricks.shared.replicas import lead

if TYPE_CHECKING:
    from torch import Tensor, nn


@register(
    "watch",
    "activation_variance",
    card=Card(
        "Records the variance of the outputs of each layer.",
        source=(
            "Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, "
            "figure 6"
        ),
        helps=(
            "To check the initialization: the variance should be similar in all layers. If it decreases from layer "
            "to layer, signals vanish; if it increases, they explode."
        ),
        costs="A forward pass over some training samples after each epoch, one seed at a time.",
        interacts=(
            "Only layers that are modules are recorded. A network that calls relu as a function has only layers of "
            "kind 'weights'."
        ),
    ),
)
class ActivationVariance(Watch):
    """The (population) variance of a layer's output over samples and units together, in evaluation mode; and its mean
    over the layers.
    """

    shorthand = "samples"
    names = ("activation_variance",)

    samples: int = Field(
        default=256, ge=1, description="number of training samples, evenly spaced; the same in every epoch"
    )
    of: Literal["activations", "weights"] = Field(
        default="activations", description="outputs of activation functions, or of layers with weights before them"
    )

    _variances: dict[int, dict[str, Tensor]] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._variances = {}

    def layers(self, network: nn.Module) -> dict[str, nn.Module]:
        if self.of == "activations":
            return {name: layer for name, layer in network.named_modules() if is_activation(layer)}
        return {
            name: layer
            for name, layer in network.named_modules()
            if any(parameter.dim() >= 2 for parameter in layer.parameters(recurse=False))
        }

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        self._variances[seed] = {
            layer: torch.cat([output.flatten().double() for output in calls]).var(correction=0)
            for layer, calls in outputs.items()
            if calls
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        seeds = [self._variances[i] for i in range(self.count)] if self._variances else []
        if not seeds or not seeds[0]:
            return {}
        each = {f"activation_variance/{layer}": torch.stack([own[layer] for own in seeds]) for layer in seeds[0]}
        return {"activation_variance": torch.stack(list(each.values())).mean(dim=0), **each}


def is_activation(layer: nn.Module) -> bool:
    """Whether a layer is one of torch's activation functions."""
    kind = type(layer)
    return kind.__module__ == torch.nn.modules.activation.__name__ and kind is not torch.nn.MultiheadAttention


@register(
    "watch",
    "dead_relus",
    card=Card(
        "Records the fraction of ReLU units that are zero for every sample.",
        source="Maas, Hannun and Ng 2013, Rectifier Nonlinearities; Lu et al. 2019, Dying ReLU and Initialization",
        helps=(
            "To detect a learning rate that is too high, or a poor initialization: dead units get no gradient and "
            "stay dead."
        ),
        costs="A forward pass over some training samples after each epoch, one seed at a time.",
        interacts="Only nn.ReLU modules are recorded, not function calls. Batch norm reduces the number.",
    ),
)
class DeadRelus(Watch):
    """The fraction of a layer's units (for convolutions, channels: zero at all positions) that are 0 for all samples,
    in evaluation mode.

    ``dead_relus`` is the fraction over the network, ``dead_relus/<layer>`` that of one layer.
    """

    shorthand = "samples"
    names = ("dead_relus",)

    samples: int = Field(
        default=256, ge=1, description="number of training samples, evenly spaced; the same in every epoch"
    )
    per_layer: bool = Field(default=True, description="also record each layer, as dead_relus/<layer>")

    _alive: dict[int, dict[str, Tensor]] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._alive = {}

    def layers(self, network: nn.Module) -> dict[str, nn.Module]:
        return {name: layer for name, layer in network.named_modules() if isinstance(layer, torch.nn.ReLU)}

    def on_layers(self, seed: int, outputs: Mapping[str, list[Tensor]]) -> None:
        self._alive[seed] = {
            layer: torch.cat([alive_units(output) for output in calls]) for layer, calls in outputs.items() if calls
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        seeds = [self._alive[i] for i in range(self.count)] if self._alive else []
        if not seeds or not seeds[0]:
            return {}
        shares = {"dead_relus": torch.stack([dead_share(torch.cat(list(layers.values()))) for layers in seeds])}
        if self.per_layer:
            for layer in seeds[0]:
                shares[f"dead_relus/{layer}"] = torch.stack([dead_share(layers[layer]) for layers in seeds])
        return shares


def alive_units(output: Tensor) -> Tensor:
    """Whether each unit of an output (n, units, …) is above zero for any sample at any position: (units,)."""
    return (output > 0).flatten(2).any(dim=2).any(dim=0) if output.dim() > 2 else (output > 0).any(dim=0)


def dead_share(alive: Tensor) -> Tensor:
    """The fraction of units that are not alive, 0-d float64."""
    return 1 - alive.to(torch.float64).mean()


@register(
    "watch",
    "confidence",
    card=Card(
        "Records a classifier's mean top probability and entropy.",
        source="Guo et al. 2017, On Calibration of Modern Neural Networks; Pereyra et al. 2017 (entropy of the output)",
        helps=(
            "To detect overconfidence: the mean top probability then exceeds the accuracy, as is common after long "
            "training."
        ),
        costs="Almost none: it uses the existing predictions for the validation set.",
        interacts="Requires class indices as targets. label_smoothing, mixup and weight decay reduce confidence.",
    ),
)
class Confidence(Watch):
    """Over the validation set, with p = softmax(outputs): ``confidence`` = mean of max p, ``entropy`` = mean of −Σ
    p·log p, in nats (at most log classes).

    A single output is expanded to two classes, with p = sigmoid(output). ``confidence_spread`` is the (population)
    standard deviation of max p over the samples.
    """

    names = ("confidence", "confidence_spread", "entropy")

    _values: dict[str, Tensor] = PrivateAttr(default_factory=dict)

    def begin(self, epoch: int) -> None:
        self._values = {}

    def on_valid(self, prediction: Tensor, target: Tensor) -> None:
        if self.context.spec.task != "classification" or prediction.dim() < 2 + lead(self.context):
            return
        axis = 1 + lead(self.context)
        log_p = log_probabilities(prediction.double(), axis)
        p = log_p.exp()
        top = p.amax(dim=axis).reshape(self.count, -1)
        # p·log p → 0 as p → 0, but 0 times −∞ is NaN
        entropy = -torch.where(p > 0, p * log_p, 0.0).sum(dim=axis).reshape(self.count, -1)
        self._values = {
            "confidence": top.mean(dim=1),
            "confidence_spread": top.std(dim=1, correction=0),
            "entropy": entropy.mean(dim=1),
        }

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._values
