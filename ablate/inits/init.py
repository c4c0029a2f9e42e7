"""The contract of an initialisation: initial values depend on (seed, parameter name, shape) only, and on the training part where one asks for it."""

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
    """Base of all initialisations."""

    @abstractmethod
    def apply(self, model: nn.Module, seed: int) -> list[str]:
        """Set the initial values of a network on the CPU, in place; returns the names of the parameters that were set, in the network's order.

        Doing it twice gives the same values. A parameter that is not in the list keeps what its constructor gave it.
        """

    def check(self, model: nn.Module, spec: Spec) -> None:
        """Raise ValueError in one line where the network, which may be on torch's meta device, lacks what it sets; asked when a recipe is planned."""

    def wants_data(self) -> bool:
        """Whether `adapt` is to be called."""
        return False

    def adapt(self, model: nn.Module, inputs: Tensor, targets: Tensor, spec: Spec) -> None:
        """Change the values that `apply` has set, in place, after surgery: on the CPU in float32.

        ``inputs`` are a batch (N, …) of the training part, drawn by the seed; ``targets`` all of its targets (n, …), where streamed those of the batch.
        """


class WeightInit(Init):
    """Base of those that draw the weights of linear and convolution layers; every other layer is reset as torch does it (norms: ones and zeros)."""

    bias: Literal["zeros"] = Field(default="zeros", description="initial biases beside the weights")

    embeddings: bool = Field(
        default=False, description="draw embeddings by this rule too; false: standard normal, as torch does it"
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
    """Call every layer's own ``reset_parameters`` with torch's global generator keyed by the layer's name; returns the parameters that this set.

    The global generator is as before afterwards. Layers come before what holds them, so that a network's own rule has the last word.
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
    """Torch's global CPU generator seeded with ``number``, and as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(number)
        yield


def path(layer: str, parameter: str) -> str:
    """A parameter's name in the network; the network itself has the name ''."""
    return f"{layer}.{parameter}" if layer else parameter
