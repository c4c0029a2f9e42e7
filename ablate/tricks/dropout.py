"""Insert dropout after pools and hidden layers of any sequential network, or change the dropout that a network has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.schedules import Schedule, Scheduled
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import nn

DropRate = Annotated[Scheduled[float], Range(ge=0, lt=1)]
Place = tuple["nn.Sequential", str, str]
"""A Sequential, the child after which dropout is inserted, and the name of the new layer."""


@register(
    "trick",
    "dropout",
    card=Card(
        "Drops units at random during training, after pooling and hidden layers.",
        source="Srivastava et al. 2014, Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
        helps="For large fully connected layers that overfit; has little effect after convolutions.",
        costs="Slower convergence; the training loss is computed with dropped units, so compare train_loss_clean.",
        interacts=(
            "If batch norm follows, large probabilities, such as 0.5, shift its statistics. Applied in addition "
            "to the network's own dropout, which 'existing' changes."
        ),
    ),
)
class Dropout(Trick):
    """Inserts a `NoisyDropout` after each pool (``pool1_dropout``) and after each hidden linear layer's activation
    (``hidden1_dropout``).

    Layers are inserted in every ``nn.Sequential`` of the network; other layers keep their names and values. A number
    applies to all layers of its kind; a list has one probability per layer, in order. Global (adaptive) pools and the
    output layer get no dropout.

    ``existing`` sets the probability of the network's own dropout layers (``nn.Dropout``, ``nn.Dropout2d`` …), and of
    the dropout in ``nn.MultiheadAttention`` and recurrent layers unless it is 0.
    """

    stacked = True
    shorthand = "hidden"
    order = 60
    examples = ({}, {"conv": [0.3], "hidden": {"linear": [0.2, 0.6]}})

    conv: DropRate | tuple[DropRate, ...] = Field(
        default=0.0, description="dropout probability after pooling layers: one number, or a list with one per layer"
    )
    hidden: DropRate | tuple[DropRate, ...] = Field(
        default=0.5,
        description=(
            "dropout probability after hidden activations: one number, or a list with one per layer; 0 if only conv "
            "or existing is given"
        ),
    )
    existing: DropRate | None = Field(
        default=None, description="new probability of the network's own dropout; 0 disables it; null: unchanged"
    )

    @model_validator(mode="before")
    @classmethod
    def only_what_is_named(cls, fields: Any) -> Any:
        """Sets ``hidden`` to 0 if only others are given."""
        return (
            {"hidden": 0.0, **fields} if isinstance(fields, dict) and fields.keys() & {"conv", "existing"} else fields
        )

    def on_model(self, model: nn.Module) -> tuple[nn.Module, Sequence[str]]:
        """Raises ValueError if the length of a list is not the number of layers, `NoEffect` if there is no such layer
        or no probability changes.
        """
        changed = [] if self.existing is None else self._change_existing(model)
        places = {"conv": places_after_pools(model), "hidden": places_after_activations(model)}
        rates = {kind: self._rates(kind, [name for _, _, name in found]) for kind, found in places.items()}
        paths = {module: path for path, module in model.named_modules()}
        for kind, found in places.items():
            for i, (parent, child, name) in enumerate(found):
                if rates[kind][i] != 0:
                    insert(parent, child, name, self._layer(kind, i))
                    changed.append(f"{paths[parent]}.{name}".removeprefix("."))
        if not changed:
            layers = sum(len(found) for found in places.values())
            why = "the network has no pooling layer or hidden activation in an nn.Sequential"
            if self.existing is not None:
                why = f"dropout.existing (={self.existing}) is the probability that all dropout layers already have"
            elif layers:
                why = "all probabilities are 0"
            raise NoEffect(f"dropout has no effect: {why}.")
        return model, changed

    def _change_existing(self, model: nn.Module) -> list[str]:
        """Set the probability of the network's own dropout. Returns the names of the layers that change."""
        own = {path: (layer, name) for path, layer in model.named_modules() if (name := own_rate(layer))}
        if not own:
            raise NoEffect(
                "dropout has no effect: the network has no dropout layers of its own. If its code calls F.dropout, use "
                "an nn.Dropout layer instead."
            )
        if not isinstance(self.existing, Schedule):
            changed = [path for path, (layer, name) in own.items() if getattr(layer, name) != self.existing]
            for layer, name in own.values():
                setattr(layer, name, self.existing)
            return changed
        for path, (layer, _) in own.items():
            if not hasattr(layer, "rate"):
                raise ValueError(
                    f"dropout.existing (={self.existing.dump()}) must be a number, because the probability of layer "
                    f"{path} (={type(layer).__name__}) cannot have a schedule."
                )
            layer.rate = lambda: float(self.now.existing)
        return list(own)

    def _rates(self, kind: str, layers: list[str]) -> list[float | Schedule]:
        value = getattr(self, kind)
        if not isinstance(value, tuple):
            return [value] * len(layers)
        if len(value) != len(layers):
            what = {"conv": "pooling layer", "hidden": "hidden activation"}[kind]
            shown = [rate.dump() if isinstance(rate, Schedule) else rate for rate in value]
            raise ValueError(
                f"dropout.{kind} (={shown}) must be a number, or a list of length {len(layers)} with one number "
                f"per {what}."
            )
        return list(value)

    def _layer(self, kind: Literal["conv", "hidden"] | str, i: int) -> nn.Module:
        from ablate.layers.dropout import NoisyDropout

        layer = NoisyDropout(self._present(kind, i)())
        layer.rate = self._present(kind, i)
        return layer

    def _present(self, kind: str, i: int) -> Callable[[], float]:
        def present() -> float:
            value = getattr(self.now, kind)
            return float(value[i] if isinstance(value, tuple) else value)

        return present


def own_rate(layer: nn.Module) -> str | None:
    """The attribute with the dropout probability of a network's own layer; None if a trick inserted it, or it drops
    nothing.
    """
    from ablate.layers.dropout import NoisyDropout

    if type(layer) is NoisyDropout:
        return "p" if layer.rate is None else None
    if is_from(layer, "dropout"):
        return "p"
    several = isinstance(layer, torch.nn.MultiheadAttention | torch.nn.RNNBase)
    return "dropout" if several and layer.dropout else None


def insert(parent: nn.Sequential, after: str, name: str, layer: nn.Module) -> None:
    """Insert a layer after a child of a Sequential, in place; the names of the children do not change."""
    children = list(parent._modules.items())  # named_children skips a layer that is used twice
    if name in parent._modules:
        raise ValueError(f"layer (={name}) already exists in the network. Remove the trick, or rename the layer.")
    parent._modules.clear()
    for child, module in children:
        parent.add_module(child, module)
        if child == after:
            parent.add_module(name, layer)


def places_after_pools(model: nn.Module) -> list[Place]:
    """After every max and average pool of the network's Sequentials."""
    return [
        (parent, name, f"{name}_dropout")
        for parent in sequentials(model)
        for name, layer in parent._modules.items()
        if is_from(layer, "pooling") and hasattr(layer, "kernel_size") and "Unpool" not in type(layer).__name__
    ]


def places_after_activations(model: nn.Module) -> list[Place]:
    """After every activation that follows a linear layer (or its norm) in a Sequential, except that of the network's
    last layer.
    """
    places = []
    weighty = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) or is_from(layer, "conv")]
    for parent in sequentials(model):
        linear: str | None = None
        for name, layer in parent._modules.items():
            if isinstance(layer, torch.nn.Linear):
                linear = None if layer is weighty[-1] else name
            elif linear is not None and is_from(layer, "activation"):
                places.append((parent, name, f"{linear}_dropout"))
                linear = None
            elif not is_from(layer, "batchnorm", "normalization"):
                linear = None
    return places


def sequentials(model: nn.Module) -> list[nn.Sequential]:
    """All Sequentials of a network, including itself, outer ones first."""
    return [module for module in model.modules() if isinstance(module, torch.nn.Sequential)]


def is_from(layer: nn.Module | None, *homes: str) -> bool:
    """Whether a layer's class, or one of its base classes, is from one of these modules of torch.nn."""
    names = {f"torch.nn.modules.{home}" for home in homes}
    return any(kind.__module__ in names for kind in type(layer).__mro__)
