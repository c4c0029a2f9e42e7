"""Parameters of one network or of a stack of seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.tricks.trick import Context


def lead(context: Context) -> int:
    """Number of leading seed axes of a parameter: 1 in a stack of several seeds, else 0."""
    return int(len(context.seeds) > 1)


def weights(parameters: Mapping[str, Tensor], context: Context, *, biases_and_norms: bool = False) -> Iterator[Tensor]:
    """The trainable parameters with two or more axes per network (convolutions, linear layers, embeddings), or all of
    them.
    """
    least = 2 + lead(context)
    for parameter in parameters.values():
        if parameter.requires_grad and (biases_and_norms or parameter.dim() >= least):
            yield parameter


def gradients(parameters: Mapping[str, Tensor]) -> list[Tensor]:
    """The existing gradients."""
    return [parameter.grad for parameter in parameters.values() if parameter.grad is not None]


def norm(tensors: Sequence[Tensor], context: Context) -> Tensor:
    """The Euclidean norm of several tensors together: 0-d, in a stack (R,), one per seed."""
    axes = lead(context)
    # a scalar weight has no axis to flatten
    each = [torch.linalg.vector_norm(tensor.unsqueeze(-1).flatten(axes), dim=-1) for tensor in tensors]
    together: Tensor = torch.linalg.vector_norm(torch.stack(each), dim=0)
    return together


def spread(value: Tensor, tensor: Tensor) -> Tensor:
    """Reshape a number, or (R,) in a stack, so that it broadcasts with a parameter."""
    return value.view(value.shape + (1,) * (tensor.dim() - value.dim()))
