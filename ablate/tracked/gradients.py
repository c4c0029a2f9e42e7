"""Tracked metrics of gradients, steps and weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PrivateAttr

from ablate.layers.batch_norm import too_few_samples
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.tracked.watch import Numbers, Watch, by_layer, norms, vector_norm
from ablate.tricks.shared.replicas import lead, weights
from ablate.tricks.trick import Context, Gradients

if TYPE_CHECKING:
    from torch import Tensor


class EpochMeans:
    """Sums by name, each (R,), of the recorded steps: the first of an epoch and every ``every``-th after it."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.begin()

    def begin(self) -> None:
        """Reset at the start of an epoch."""
        self._step, self._asked = 0, False
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def due(self) -> bool:
        """Whether to record this step: once per step at most, because some optimizers compute several gradients."""
        due = not self._asked and self._step % self.every == 0
        self._asked = True
        return due

    def stepped(self) -> None:
        """Count a step."""
        self._step, self._asked = self._step + 1, False

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add a step's values."""
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self) -> dict[str, Tensor]:
        """The means, each over the steps that have a value of that name."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


@register(
    "watch",
    "gradient_norm",
    card=Card(
        "Records the norm of the gradient, overall and per layer.",
        source="Glorot and Bengio 2010, section 4.2; Pascanu, Mikolov and Bengio 2013",
        helps=(
            "To detect vanishing gradients (first layers far below the last) and exploding gradients (before the "
            "loss is NaN), and to choose the limit of clip_norm."
        ),
        costs="A pass over the gradients in each recorded step.",
        interacts=(
            "Recorded before clip_norm and clip_value. With accumulate it is the gradient of all batches of a step, "
            "with sam that of the second pass."
        ),
    ),
)
class GradientNorm(Watch):
    """√(Σ g²) over all weights, or those of one layer, averaged over the steps of an epoch.

    Includes penalties that tricks add to the loss.
    """

    shorthand = "every"
    names = ("gradient_norm",)

    every: int = Field(
        default=1, ge=1, description="interval between recorded steps, starting with the first of an epoch"
    )
    per_layer: bool = Field(default=True, description="also record each layer, as gradient_norm/<layer>")

    _means: EpochMeans = PrivateAttr()

    def bind(self, context: Context, samples: int) -> None:
        super().bind(context, samples)
        self._means = EpochMeans(self.every)

    def begin(self, epoch: int) -> None:
        self._means.begin()

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        if not self._means.due():
            return
        known = {name: p.grad for name, p in parameters.items() if p.grad is not None}
        if not known:
            return
        layers = {layer: norms([known[name] for name in own], self.count) for layer, own in by_layer(known).items()}
        values = {"gradient_norm": vector_norm(torch.stack(list(layers.values()), dim=1))}
        if self.per_layer:
            values |= {f"gradient_norm/{layer}": value for layer, value in layers.items()}
        self._means.add(values)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._means.stepped()

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._means.read()


@register(
    "watch",
    "update_ratio",
    card=Card(
        "Records the size of updates relative to the weights, per layer.",
        source="Karpathy, CS231n, Neural Networks Part 3: ratio of weights to updates",
        helps=(
            "To check the learning rate: about 1e-3 is usual. If the ratio is much larger, the learning rate is too "
            "high; if it is much smaller, it is too low, or the layer does not learn."
        ),
        costs="A copy of the weights and a pass over them in each recorded step.",
        interacts="Includes everything that changes the weights: the optimizer's step and tricks such as max_norm.",
    ),
)
class UpdateRatio(Watch):
    """‖w(after) − w(before)‖/‖w(before)‖ of each layer, averaged over the steps of an epoch, and its mean over the
    layers.

    Uses unfrozen weights with two or more axes, without biases and norms, which may start at zero.
    """

    shorthand = "every"
    names = ("update_ratio",)

    every: int = Field(
        default=1, ge=1, description="interval between recorded steps, starting with the first of an epoch"
    )
    per_layer: bool = Field(default=True, description="also record each layer, as update_ratio/<layer>")

    _means: EpochMeans = PrivateAttr()
    _before: dict[str, Tensor] = PrivateAttr(default_factory=dict)

    def bind(self, context: Context, samples: int) -> None:
        super().bind(context, samples)
        self._means, self._before = EpochMeans(self.every), {}

    def begin(self, epoch: int) -> None:
        self._means.begin()

    def on_gradients(self, parameters: Mapping[str, Tensor]) -> None:
        if not self._means.due():
            return
        least = 2 + lead(self.context)
        moving = {name: p for name, p in parameters.items() if p.requires_grad and p.dim() >= least}
        self._before = {name: p.detach().clone() for name, p in moving.items()}

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._means.stepped()
        if not self._before:
            return
        ratios = {}
        for layer, own in by_layer(self._before).items():
            before = [self._before[name] for name in own]
            moved = [parameters[name].detach() - old for name, old in zip(own, before, strict=True)]
            ratios[layer] = norms(moved, self.count) / norms(before, self.count)
        values = {"update_ratio": torch.stack(list(ratios.values())).mean(dim=0)}
        if self.per_layer:
            values |= {f"update_ratio/{layer}": value for layer, value in ratios.items()}
        self._means.add(values)
        self._before = {}

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        return self._means.read()


@register(
    "watch",
    "noise_scale",
    card=Card(
        "Records the batch size at which gradient noise equals the gradient's norm.",
        source="McCandlish et al. 2018, An Empirical Model of Large-Batch Training, appendix A.1",
        helps=(
            "To choose the batch size: much smaller batches waste steps, much larger ones waste samples. It "
            "increases as the loss decreases."
        ),
        costs="A second pass over the batch, in two halves, in each recorded step.",
        interacts=(
            "With accumulate it uses all samples of the step. With batch norm, a sample's gradient depends on its "
            "half, so the value is approximate."
        ),
    ),
)
class NoiseScale(Watch):
    """B_simple = tr(Σ)/|G|², in samples: Σ is the covariance of one sample's gradient, G the mean gradient.

    g₁ and g₂ are the gradients of the two halves of a step's samples, b each. |G|² is estimated by g₁·g₂ and tr(Σ) by
    b|g₁ − g₂|²/2, both without bias. This is the paper's estimate from the batch sizes b and 2b. Each is averaged over
    the recorded steps, with ``memory``, before they are divided. There is no value if noise hides the gradient (|G|² ≤
    0). Steps whose halves are too small for batch norm are not recorded.
    """

    shorthand = "every"
    names = ("noise_scale",)

    every: int = Field(
        default=10, ge=1, description="interval between recorded steps, starting with the first of an epoch"
    )
    memory: Annotated[float, Range(ge=0, lt=1)] = Field(default=0.95, description="decay rate of both running averages")

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
        try:
            halves = [self._gradient_of(gradients, slice(start, start + half), parameters) for start in (0, half)]
        except ValueError as error:
            # half of a small last batch is one sample
            if not too_few_samples(error):
                raise
            return
        finally:
            for name, gradient in whole.items():
                parameters[name].grad = gradient
        first, second = halves
        if not first:
            return
        # g₁·g₂ and |g₁ − g₂|², from the norms of the sum and the difference
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


@register(
    "watch",
    "near_zero",
    card=Card(
        "Records the fraction of weights that are nearly zero.",
        source=(
            "Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks: pruning by a "
            "threshold"
        ),
        helps="To estimate how many weights can be pruned: l1 produces many near-zero weights, weight decay few.",
        costs="One pass over the weights after each epoch.",
        interacts=(
            "Unused weights decrease to zero with any weight decay. Not meaningful for weights followed by batch "
            "norm, which are scale-invariant."
        ),
    ),
)
class NearZero(Watch):
    """The fraction of weights with |w| < ``below`` at the end of an epoch, over all unfrozen weights with two or more
    axes.
    """

    shorthand = "below"
    names = ("near_zero",)

    below: Annotated[float, Range(gt=0)] = Field(default=0.001, description="threshold of the absolute value")

    _parameters: Mapping[str, Tensor] = PrivateAttr(default_factory=dict)

    def on_weights(self, parameters: Mapping[str, Tensor]) -> None:
        self._parameters = parameters

    def on_epoch(self, epoch: int, numbers: Numbers) -> dict[str, Tensor]:
        found = list(weights(self._parameters, self.context))
        if not found:
            return {}
        small = [(tensor.detach().abs() < self.below).reshape(self.count, -1).sum(dim=1) for tensor in found]
        total = sum(tensor.numel() for tensor in found) // self.count
        return {"near_zero": torch.stack(small).sum(dim=0).double() / total}
