"""What tricks that move pictures share: finding the axes, and moving chosen samples of a batch or of a whole stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.data.dataset import Spec
    from ablate.tricks.noise import Noise


def check_pictures(trick: str, spec: Spec) -> None:
    """Raise ValueError in one line unless samples are pictures (C, H, W)."""
    if len(spec.input_shape) != 3:
        raise ValueError(
            f"trick (={trick}) needs pictures (C, H, W); the data's samples have shape {spec.input_shape}. Drop it, or use data of pictures."
        )


def choose(noise: Noise, samples: int, share: float) -> Tensor:
    """Positions of ``round(share · samples)`` samples, different ones, in a batch of (N, …) or a stack of (R, N, …) whose first two axes are made one."""
    order = noise.permutation(samples)[..., : round(share * samples)]
    if order.dim() == 1:
        return order
    replicas = torch.arange(len(order), device=order.device)[:, None]
    return (order + replicas * samples).flatten()
