"""Which batch size is worth it: the gradient's noise against its length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr

from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tracked.means import EpochMeans
from ablate.tracked.watch import Numbers, Watch, norms
from ablate.tricks.trick import Context, Gradients

if TYPE_CHECKING:
    from torch import Tensor


@register(
    "watch",
    "noise_scale",
    card=Card(
        "The batch size at which the gradient's noise equals its length.",
        source="McCandlish et al. 2018, An Empirical Model of Large-Batch Training, appendix A.1",
        helps="Batches far below it waste steps, batches far above it waste samples; it grows as the loss falls.",
        costs="A second pass over the batch, in two halves, in each step that counts.",
        interacts="With accumulate it is of all the step's samples. Batch norm makes a sample's gradient depend on its half: take it as a rough number.",
    ),
)
class NoiseScale(Watch):
    """B_simple = tr(Σ)/|G|², in samples: Σ is the covariance of one sample's gradient, G the mean gradient.

    From the gradients g₁ and g₂ of the two halves of a step's samples, b each: |G|² is estimated by g₁·g₂ and tr(Σ) by b|g₁ − g₂|²/2, both without bias.
    That is the paper's estimate from the batch sizes b and 2b. Each is averaged over the measured steps, with ``memory``, before they are divided. There is no
    number as long as noise hides the gradient (|G|² ≤ 0).
    """

    shorthand = "every"
    names = ("noise_scale",)

    every: int = Field(
        default=10, ge=1, description="steps from one that is measured to the next; the first of an epoch is"
    )
    memory: Annotated[float, Range(ge=0, lt=1)] = Field(
        default=0.95, description="share of both averages that a measured step keeps"
    )

    _steps: EpochMeans = PrivateAttr()
    _noise: Tensor | None = PrivateAttr(default=None)
    _signal: Tensor | None = PrivateAttr(default=None)

    def bind(self, context: Context, samples: int) -> None:
        super().bind(context, samples)
        self._steps, self._noise, self._signal = EpochMeans(self.every), None, None

    def begin(self, epoch: int) -> None:
        self._steps.begin()

    def on_pass(self, gradients: Gradients, parameters: Mapping[str, Tensor]) -> None:
        half = gradients.samples // 2
        if not self._steps.due() or not half:
            return
        whole = {name: parameter.grad for name, parameter in parameters.items()}
        first, second = (self._gradient_of(gradients, slice(start, start + half), parameters) for start in (0, half))
        for name, gradient in whole.items():
            parameters[name].grad = gradient
        if not first:
            return
        # g₁·g₂ and |g₁ − g₂|², from the lengths of the sum and the difference
        sums, differences = (
            norms([a + sign * b for a, b in zip(first, second, strict=True)], self.count).square() for sign in (1, -1)
        )
        signal, noise = (sums - differences) / 4, half * differences / 2
        self._signal = signal if self._signal is None else self._signal.lerp(signal, 1 - self.memory)
        self._noise = noise if self._noise is None else self._noise.lerp(noise, 1 - self.memory)

    def _gradient_of(self, gradients: Gradients, part: slice, parameters: Mapping[str, Tensor]) -> list[Tensor]:
        gradients(part)
        return [parameter.grad for parameter in parameters.values() if parameter.grad is not None]

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._steps.stepped()

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        if self._noise is None or self._signal is None:
            return {}
        return {"noise_scale": torch.where(self._signal > 0, self._noise / self._signal, torch.nan)}

    def state(self) -> dict[str, Any]:
        return {"noise": self._noise, "signal": self._signal} if self._noise is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._noise, self._signal = (state[name].to(self.context.device) for name in ("noise", "signal"))
