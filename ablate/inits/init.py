"""The base class of initializations.

Weights depend only on (seed, parameter name, shape) and, for some, on the training set.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from ablate.registry import Named
from ablate.registry.lazy import torch
from ablate.rng.noise import generator, key

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from ablate.data.dataset import Spec


class Init(Named):
    """Base of all initializations."""

    @abstractmethod
    def apply(self, model: nn.Module, seed: int) -> list[str]:
        """Initialize a network on the CPU, in place; returns the names of the initialized parameters, in the network's
        order.

        Repeated calls give the same weights. Parameters that are not in the list keep the values of their constructor.
        """

    def check(self, model: nn.Module, spec: Spec) -> None:
        """Raise ValueError (one line) if the network, possibly on torch's meta device, lacks what it needs; called when
        a recipe is planned.
        """

    def wants_data(self) -> bool:
        """Whether `adapt` must be called."""
        return False

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        """Adapt the weights from `apply` to data, in place, after the tricks' changes: on the CPU in float32.

        ``inputs`` are a batch (N, …) of the training set, chosen by the seed. ``targets`` are all of its targets (n,
        …); for streamed data, those of the batch.
        """


class WeightInit(Init):
    """Base of initializations of linear and convolution layers; all other layers are reset as in torch (norms: ones and
    zeros).
    """

    bias: Literal["zeros"] = Field(default="zeros", description="initial value of the biases")

    embeddings: bool = Field(
        default=False, description="also initialize embeddings with this rule; false: standard normal, as in torch"
    )

    @abstractmethod
    def fill(self, weight: Tensor, generator: Generator) -> None:
        """Overwrite a weight (out, in, …) in place from the generator."""

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        done = set(reset(model, seed))
        layers = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
        with torch.no_grad():
            for name, layer in model.named_modules():
                if isinstance(layer, layers):
                    self.fill(layer.weight, generator(seed, f"init/{path(name, 'weight')}"))
                    if layer.bias is not None:
                        layer.bias.zero_()
                    done |= {path(name, own) for own, _ in layer.named_parameters(recurse=False)}
                elif self.embeddings and isinstance(layer, torch.nn.Embedding):
                    self.fill(layer.weight, generator(seed, f"init/{path(name, 'weight')}"))
        return [name for name, _ in model.named_parameters() if name in done]


def reset(model: nn.Module, seed: int) -> list[str]:
    """Call every layer's ``reset_parameters`` with torch's global generator keyed by the layer's name; returns the
    parameters that were set.

    The state of the global generator is restored. A layer is reset before the module that contains it, so that a
    network's own rule takes precedence.
    """
    done: set[str] = set()
    for name, layer in reversed(list(model.named_modules())):
        rule = getattr(layer, "reset_parameters", None)
        if callable(rule):
            with keyed(key(seed, f"init/{name}")):
                cast("Callable[[], None]", rule)()
            done |= {path(name, own) for own, _ in layer.named_parameters()}
    return [name for name, _ in model.named_parameters() if name in done]


@contextmanager
def keyed(number: int) -> Iterator[None]:
    """Seeds torch's global CPU generator with ``number``, and restores its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        yield


def path(layer: str, parameter: str) -> str:
    """A parameter's name in the network; the name of the network itself is ''."""
    return f"{layer}.{parameter}" if layer else parameter
