"""Dropout whose random numbers belong to a seed.

One network at a time: `NoisyDropout.bind` gives each layer its stream (``dropout/<layer name>``), and every forward pass in training draws a mask from it.

A stack of R seeds under ``torch.func.vmap``, where nothing may be drawn: the masks are drawn outside, replica by replica, and enter as inputs::

    shapes = mask_shapes(network, inputs)                  # once for each batch size; inputs of one network
    masks = draw_masks(network, shapes, dtype)             # each step: {layer: ((R, *shape), …)}, a mask for each call of the layer

    def forward(parameters, inputs, masks):
        with handed_in(network, masks):
            return functional_call(network, parameters, (inputs,))

    vmap(forward)(parameters, inputs, masks)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ablate.rng.noise import Noise

Shapes = Mapping[str, Sequence[tuple[int, ...]]]
"""Of the masks of one network: layer name → a shape for each call in a forward pass."""


class NoisyDropout(nn.Module):
    """Zeroes each unit with probability ``p`` and divides the others by 1 − p; in evaluation mode it does nothing.

    ``p`` is the *drop* rate, in [0, 1). ``rate``, where set, is asked for the present one at every pass, so that a trick may change it in time.
    ``channelwise`` drops whole channels of (N, C, …). ``masks``, where set, are used instead of drawing, one for each call; they hold 0 and 1/(1 − p).
    Without a bound stream (outside a training) it draws from torch's global generator.
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
        """Take a stream of random numbers."""
        self.noise = noise

    def present(self) -> float:
        """The drop rate of this moment."""
        return self.p if self.rate is None else self.rate()

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of the mask for inputs of one network: (N, …), channelwise (N, C, 1, …)."""
        return (*x.shape[:2], *(1 for _ in x.shape[2:])) if self.channelwise else tuple(x.shape)

    def draw(self, shape: Sequence[int], dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
        """A mask of zeros and 1/(1 − p), of ``shape``, or (R, *shape) where the stream is a stack's."""
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
    """The masks that a forward pass with these inputs needs; it runs once without dropout and leaves the network as it was.

    In evaluation mode, or, with parameters and buffers to use in place of the network's (``values``, which may be written to), in the mode that it is in.
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
    """A mask for every call of every noisy layer, from the layers' own streams; in a stack each is (R, *shape)."""
    return {
        name: tuple(layer.draw(shape, dtype) for shape in shapes[name]) for name, layer in noisy_layers(model).items()
    }


@contextmanager
def handed_in(model: nn.Module, masks: Mapping[str, Iterable[Tensor]]) -> Iterator[None]:
    """Inside, noisy layers use these masks, in order, and draw nothing."""
    layers = noisy_layers(model)
    for name, layer in layers.items():
        layer.masks = iter(masks[name])
    try:
        yield
    finally:
        for layer in layers.values():
            layer.masks = None
