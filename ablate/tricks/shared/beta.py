"""Samples of a Beta distribution, from a stream of uniform and normal numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.rng.noise import Noise

TRIES = 8
"""Each try is accepted with a probability of at least 0.95, so all fail once in 10¹⁰ draws. The mode is then used."""


def symmetric_beta(noise: Noise, alpha: float, n: int) -> Tensor:
    """λ from Beta(α, α), float32 (..., n), for α > 0. Always takes the same number of draws from the stream.

    λ = X/(X + Y) with X and Y from Gamma(α), in logarithms, because both underflow for small α.
    """
    return torch.sigmoid(_log_gamma(noise, alpha, n) - _log_gamma(noise, alpha, n))


def _log_gamma(noise: Noise, alpha: float, n: int) -> Tensor:
    """The logarithm of Gamma(α) samples, after Marsaglia and Tsang 2000, A Simple Method for Generating Gamma
    Variables.

    Section 6 of the paper, for α < 1, is used for all α.
    """
    d = alpha + 1 - 1 / 3
    c = (9 * d) ** -0.5
    normal, uniform, boost = noise.normal(TRIES, n), noise.uniform(TRIES, n), noise.uniform(n)
    tiny = torch.finfo(uniform.dtype).tiny
    v = (1 + c * normal) ** 3
    log_v = v.clamp(min=tiny).log()
    accepted = (v > 0) & (uniform.clamp(min=tiny).log() < normal**2 / 2 + d * (1 - v + log_v))
    first = accepted & (accepted.cumsum(dim=-2) == 1)
    # if none is accepted: log v = 0, the mode
    return torch.where(first, log_v, 0.0).sum(dim=-2) + boost.clamp(min=tiny).log() / alpha
