"""The compute cost of a network, by which seeds are stacked: without torch if the settings tell it."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.dataset import Spec
from ablate.models.convnet import Convnet
from ablate.models.mlp import Mlp
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import nn

SMALL = 2**23
"""The most parameters of a network whose compute cost is counted with values: on torch's meta device, linear layers and
batch norm would import torch's compiler, which takes a second.
"""


def work_of_settings(settings: Settings, input_shape: tuple[int, ...]) -> float | None:
    """Millions of multiplications in one seed's forward pass over a batch, without torch.

    Only for the built-in mlp and plain convnet; None for others.
    """
    model = settings.model.options
    if isinstance(model, Mlp | Convnet) and model.parameters is not None:
        return None
    if isinstance(model, Convnet) and (model.pool == "strided" or model.spp):
        return None
    if isinstance(model, Mlp):
        widths, convolutions = (prod(input_shape), *model.hidden), 0
    elif isinstance(model, Convnet):
        sides, channels, convolutions = input_shape[1:], (input_shape[0], *model.channels), 0
        for i, (kernel, pool) in enumerate(zip(model.each("kernels"), model.each("pools"), strict=True)):
            if model.padding == "none":
                sides = tuple(side - kernel + 1 for side in sides)
            convolutions += prod(sides) * channels[i] * channels[i + 1] * kernel ** len(sides)
            sides = tuple(side // max(pool, 1) for side in sides)
        widths = (channels[-1] * prod(sides), *model.hidden)
    else:
        return None
    return settings.batch_size * (convolutions + sum(a * b for a, b in pairwise(widths))) / 1e6


def work_of_network(network: nn.Module, spec: Spec, batch_size: int) -> float | None:
    """The same for any network, counted in a forward pass of two samples; None if that fails.

    ``network`` is not changed, and may be on torch's meta device, where a large one takes the pass.
    """
    from torch.func import functional_call

    from ablate.engine.allocations import Multiplications

    if spec.input_form is not None:
        return None
    shape = (2, *spec.input_shape)
    tensors = dict((*network.named_parameters(), *network.named_buffers()))
    device = "cpu" if sum(tensor.numel() for tensor in tensors.values()) <= SMALL else "meta"
    values = {}
    for name, tensor in tensors.items():  # `zeros_like` of a meta tensor would import torch's compiler
        known = not tensor.is_meta or device == "meta"
        values[name] = tensor.detach().to(device, copy=True) if known else torch.zeros(tensor.shape, dtype=tensor.dtype)
    kind = next((one.dtype for one in tensors.values() if one.is_floating_point()), torch.float32)
    for inputs in (torch.zeros(shape, device=device, dtype=kind), torch.zeros(shape, device=device, dtype=torch.long)):
        try:
            with torch.no_grad(), Multiplications() as counter:
                functional_call(network.eval(), values, (inputs,))
        except Exception:
            continue
        return float(counter.count) / len(inputs) * batch_size / 1e6
    return None


def size_of(network: nn.Module, settings: Settings, spec: Spec) -> tuple[float | None, int]:
    """A network's compute cost, None if unknown, and its number of parameters."""
    work = work_of_settings(settings, spec.input_shape)
    if work is None:
        work = work_of_network(network, spec, settings.batch_size)
    return work, sum(parameter.numel() for parameter in network.parameters())


def known_size(settings: Settings, spec: Spec, folder: Path) -> tuple[float | None, int | None]:
    """The same from building the network on the meta device; None if unknown."""
    try:
        return size_of(_sketched(settings, spec, folder), settings, spec)
    except Exception:  # the job reports the error
        return work_of_settings(settings, spec.input_shape), None


def known_parameters(settings: Settings, spec: Spec, folder: Path) -> int | None:
    """The number of parameters alone."""
    with suppress(Exception):
        return sum(parameter.numel() for parameter in _sketched(settings, spec, folder).parameters())
    return None


def _sketched(settings: Settings, spec: Spec, folder: Path) -> nn.Module:
    """The network without values."""
    from ablate.engine.construction import build_network, make_tricks

    tricks, _ = make_tricks(settings, spec, folder)
    with torch.device("meta"):
        return build_network(settings, spec, folder, tricks, None)[0]
