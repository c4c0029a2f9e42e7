"""Parameters of one network or of a stack of seeds: which axes belong to a seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.tricks.trick import Context


def lead(context: Context) -> int:
    """Axes of a parameter before one network's own: 1 in a stack of several seeds, else 0."""
    return int(len(context.seeds) > 1)


def weights(parameters: Mapping[str, Tensor], context: Context, *, biases_and_norms: bool = False) -> Iterator[Tensor]:
    """The parameters with two axes or more in one network (of convolutions, linear layers, embeddings), or all of them; frozen ones are left out."""
    least = 2 + lead(context)
    for parameter in parameters.values():
        if parameter.requires_grad and (biases_and_norms or parameter.dim() >= least):
            yield parameter


def gradients(parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The gradients that there are."""
    return [parameter.grad for parameter in parameters.values() if parameter.grad is not None]


def norm(tensors: Sequence[Tensor], context: Context) -> Tensor:
    """The Euclidean norm of several tensors together: 0-d, in a stack (R,), a norm for each seed."""
    axes = lead(context)
    # a weight without axes has none to flatten
    each = [torch.linalg.vector_norm(tensor.unsqueeze(-1).flatten(axes), dim=-1) for tensor in tensors]
    together: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
    return together


def spread(value: Tensor, tensor: Tensor) -> Tensor:
    """A number for one network, or (R,) for a stack's, in a shape that broadcasts with a parameter."""
    return value.view(value.shape + (1,) * (tensor.dim() - value.dim()))
