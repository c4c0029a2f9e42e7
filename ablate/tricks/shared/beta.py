"""Numbers from a Beta distribution, out of a stream of uniform and normal ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.rng.noise import Noise

TRIES = 8
"""Each is accepted with a chance of at least 0.95, so that all fail once in 10¹⁰ draws, which then take the most likely value."""


def symmetric_beta(noise: Noise, alpha: float, n: int) -> Tensor:
    """λ from Beta(α, α), float32 (..., n). α > 0; a fixed number of draws from the stream, whatever comes out.

    λ = X/(X + Y) of two Gamma(α) draws, in logarithms: for a small α both are too small for a float.
    """
    return torch.sigmoid(_log_gamma(noise, alpha, n) - _log_gamma(noise, alpha, n))


def _log_gamma(noise: Noise, alpha: float, n: int) -> Tensor:
    """The logarithm of Gamma(α) draws: Marsaglia and Tsang 2000, A Simple Method for Generating Gamma Variables; their section 6 for α < 1, used for all α."""
    d = alpha + 1 - 1 / 3
    c = (9 * d) ** -0.5
    normal, uniform, boost = noise.normal(TRIES, n), noise.uniform(TRIES, n), noise.uniform(n)
    tiny = torch.finfo(uniform.dtype).tiny
    v = (1 + c * normal) ** 3
    log_v = v.clamp(min=tiny).log()
    accepted = (v > 0) & (uniform.clamp(min=tiny).log() < normal**2 / 2 + d * (1 - v + log_v))
    first = accepted & (accepted.cumsum(dim=-2) == 1)
    # none accepted: log v = 0, the mode
    return torch.where(first, log_v, 0.0).sum(dim=-2) + boost.clamp(min=tiny).log() / alpha
