"""Dropout layers whose masks come from the random streams of their seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ablate.rng.noise import Noise


Shapes = Mapping[str, Sequence[tuple[int, ...]]]
"""Mask shapes of one network: layer name → one shape per call in a forward pass."""


class NoisyDropout(nn.Module):
    """Zeroes each unit with probability ``p`` and divides the others by 1 − p; no effect in evaluation mode.

    ``p`` is the drop probability, in [0, 1). ``rate``, if set, is called in every pass for the current probability, so
    that a trick can schedule it. ``channelwise`` drops whole channels of (N, C, …). ``masks``, if set, are used instead
    of random ones, one per call; their values are 0 and 1/(1 − p). Without a stream (outside training), it uses torch's
    global generator.
    """

    def __init__(self, p: float = 0.5, *, channelwise: bool = False) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p (={p}) must be at least 0 and less than 1.")
        self.p, self.channelwise = p, channelwise
        self.rate: Callable[[], float] | None = None
        self.noise: Noise | None = None
        self.masks: Iterator[Tensor] | None = None

    def bind(self, noise: Noise) -> None:
        """Use a stream of random numbers."""
        self.noise = noise

    def present(self) -> float:
        """The current drop probability."""
        return self.p if self.rate is None else self.rate()

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of the mask for inputs of one network: (N, …), channelwise (N, C, 1, …)."""
        return (*x.shape[:2], *(1 for _ in x.shape[2:])) if self.channelwise else tuple(x.shape)

    def draw(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """A mask of zeros and 1/(1 − p), of ``shape``; (R, *shape) for the stream of a stack."""
        p = self.present()
        numbers = self.noise.uniform(*shape) if self.noise is not None else torch.rand(*shape, device=device)
        return (numbers >= p).to(dtype).div_(1 - p)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mask = next(self.masks) if self.masks is not None else self.draw(self.mask_shape(x), x.dtype, x.device)
        return x * mask

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", channelwise=True" if self.channelwise else "")


def noisy_layers(model: nn.Module) -> dict[str, NoisyDropout]:
    """All noisy layers of a network by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, NoisyDropout)}


def mask_shapes(model: nn.Module, *inputs: Tensor, values: Mapping[str, Tensor] | None = None) -> Shapes:
    """The shapes of the masks for a forward pass with these inputs.

    Runs the network once without dropout; does not change it.

    Runs in evaluation mode. With ``values`` (parameters and buffers to use instead of the network's, may be
    overwritten), it runs in the current mode.
    """
    layers = noisy_layers(model)
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in layers}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def record(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            assert isinstance(layer, NoisyDropout)
            shapes[name].append(layer.mask_shape(arguments[0]))

        return record

    handles = [layer.register_forward_pre_hook(recorder(name)) for name, layer in layers.items()]
    modes = {layer: layer.training for layer in model.modules()}
    try:
        with torch.no_grad(), handed_in(model, {name: repeat(torch.ones(())) for name in layers}):
            if values is None:
                model.eval()(*inputs)
            else:
                torch.func.functional_call(model, dict(values), inputs)
    finally:
        for handle in handles:
            handle.remove()
        for layer, training in modes.items():
            layer.training = training
    return shapes


def draw_masks(model: nn.Module, shapes: Shapes, dtype: torch.dtype) -> dict[str, tuple[Tensor, ...]]:
    """One mask per call of every noisy layer, from the layers' streams; in a stack each is (R, *shape)."""
    return {
        name: tuple(layer.draw(shape, dtype) for shape in shapes[name]) for name, layer in noisy_layers(model).items()
    }


@contextmanager
def handed_in(model: nn.Module, masks: Mapping[str, Iterable[Tensor]]) -> Iterator[None]:
    """In this context, noisy layers use these masks, in order, and draw no random numbers."""
    layers = noisy_layers(model)
    for name, layer in layers.items():
        layer.masks = iter(masks[name])
    try:
        yield
    finally:
        for layer in layers.values():
            layer.masks = None


class NoisyRReLU(NoisyDropout):
    """x if x ≥ 0, else a·x; a is uniform in [lower, upper) per unit in training, and their mean in evaluation (Xu et
    al. 2015).

    Slopes are drawn like the masks of `NoisyDropout`: from the seed's stream, and outside vmap in a stack.
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        super().__init__(0.0)
        self.lower, self.upper = lower, upper

    def draw(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """Slopes of ``shape``; (R, *shape) for the stream of a stack."""
        numbers = self.noise.uniform(*shape) if self.noise is not None else torch.rand(*shape, device=device)
        return numbers.to(dtype).mul_(self.upper - self.lower).add_(self.lower)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.leaky_relu(x, (self.lower + self.upper) / 2)
        slope = next(self.masks) if self.masks is not None else self.draw(self.mask_shape(x), x.dtype, x.device)
        return torch.where(x >= 0, x, x * slope)

    def extra_repr(self) -> str:
        return f"lower={self.lower:g}, upper={self.upper:g}"


NAME = "drop_path"
"""Name of the layer in the module whose output it drops."""


class DropPath(NoisyDropout):
    """Zeroes whole samples of (N, …) with probability ``p`` and divides the others by 1 − p; no effect in evaluation
    mode.

    Random numbers are keyed by the seed, as in `NoisyDropout`.
    """

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """(N, 1, …): one number per sample."""
        return (x.shape[0], *(1 for _ in x.shape[1:]))


def end_in(module: nn.Module, layer: DropPath) -> None:
    """Apply ``layer`` to a module's output, in place; names of other layers do not change.

    A Sequential gets it as its last layer; any other module as a child that a forward hook calls. Raises ValueError if
    there already is one.
    """
    if type(module) is nn.Sequential:
        check_free(module, NAME)
        module.add_module(NAME, layer)
    else:
        follow(module, NAME, layer)


def follow(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Add a child to a module, and apply it to the module's outputs. Raises ValueError if there is one of this name."""
    check_free(module, name)
    module.add_module(name, layer)
    module.register_forward_hook(partial(_apply_child, name))


def check_free(module: nn.Module, name: str) -> None:
    """Raise ValueError if a module has a child, or another attribute, of this name."""
    if hasattr(module, name):
        raise ValueError(f"layer (={name}) already exists in the network. Remove the trick, or rename the layer.")


def _apply_child(name: str, module: nn.Module, _: Any, output: Tensor) -> Tensor:
    changed: Tensor = module._modules[name](output)  # type: ignore[misc]
    return changed


def replace_dropout(model: nn.Module) -> list[str]:
    """Replace a network's ``nn.Dropout``, ``nn.Dropout1d``, ``2d``, ``3d`` (channelwise) and ``nn.RReLU`` by noisy
    layers, in place.

    Probabilities, modes, names and shared layers are kept. Returns the names of the replaced layers.
    """
    kinds = {nn.Dropout: False, nn.Dropout1d: True, nn.Dropout2d: True, nn.Dropout3d: True}
    new: dict[nn.Module, NoisyDropout] = {}
    names = []
    for path, parent in list(model.named_modules()):
        for name, old in list(parent._modules.items()):  # named_children skips a layer that is used twice
            if old is not None and (type(old) in kinds or type(old) is nn.RReLU):
                if old not in new:
                    if isinstance(old, nn.RReLU):
                        new[old] = NoisyRReLU(old.lower, old.upper)
                    else:
                        new[old] = NoisyDropout(old.p, channelwise=kinds[type(old)])
                    new[old].train(old.training)
                parent._modules[name] = new[old]
                names.append(f"{path}.{name}" if path else name)
    return names
