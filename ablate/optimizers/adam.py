"""Adam and its variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ablate.optimizers.build import alike_on_cpu, fused
from ablate.optimizers.optimizer import Decay, Optimizer, Rate, Share
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class Moments(Optimizer):
    """Base of Adam and its variants: running averages of the gradient and its square."""

    lr: Rate = Field(default=3e-4, description="learning rate")
    beta1: Share = Field(default=0.9, description="decay rate of the running average of the gradient")
    beta2: Share = Field(default=0.999, description="decay rate of the running average of the squared gradient")
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-8, description="term added to the denominator for numerical stability"
    )
    weight_decay: Decay = Field(default=0.0, description="weight decay coefficient (L2 penalty)")

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        betas = (now["beta1"], now["beta2"])
        return {"lr": now["lr"], "betas": betas, "eps": now["eps"], "weight_decay": now["weight_decay"]}


@register(
    "optimizer",
    "adam",
    card=Card(
        "Per-parameter learning rates from running averages; converges fast with little tuning.",
        source="Kingma and Ba 2014, Adam; torch.optim.Adam",
        helps="As a default, with a learning rate of 3e-4, for unknown problems.",
        costs="Stores two values per parameter. Tuned SGD often reaches a slightly lower loss.",
        interacts=(
            "weight_decay is an L2 penalty in the gradient, which the normalization reduces for weights with large "
            "gradients; adamw decouples them."
        ),
    ),
)
class Adam(Moments):
    """m ← β₁m + (1−β₁)g, s ← β₂s + (1−β₂)g², p ← p − lr·m̂/(√ŝ + ε), with bias correction (hats)."""

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        if alike_on_cpu(groups):
            from ablate.optimizers.steps.fused import FusedAdam

            return FusedAdam(groups)
        return torch.optim.Adam(groups, fused=fused(groups))


@register(
    "optimizer",
    "adamw",
    card=Card(
        "Adam with decoupled weight decay.",
        source="Loshchilov and Hutter 2017, Decoupled Weight Decay Regularization; torch.optim.AdamW",
        helps=(
            "When using Adam with weight decay: the best value hardly depends on the learning rate schedule. Default "
            "for transformers."
        ),
        costs="Stores two values per parameter. One more hyperparameter.",
        interacts=(
            "Each step shrinks weights by lr·weight_decay, so the decay follows the learning rate schedule. Exclude "
            "norms and biases (groups)."
        ),
    ),
)
class AdamW(Moments):
    """p ← (1 − lr·wd)·p, then Adam's step on the plain gradient (algorithm 2 of the paper, with torch's lr instead of
    η·α).
    """

    weight_decay: Decay = Field(
        default=0.01, description="decoupled weight decay: each step subtracts lr · weight_decay · w"
    )

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        if alike_on_cpu(groups):
            from ablate.optimizers.steps.fused import FusedAdamW

            return FusedAdamW(groups)
        return torch.optim.AdamW(groups, fused=fused(groups))


@register(
    "optimizer",
    "adamax",
    card=Card(
        "Adam that divides by the maximum of recent gradients, not the mean.",
        source="Kingma and Ba 2014, Adam, section 7.1; torch.optim.Adamax",
        helps="For sparse gradients and embeddings, whose rare large gradients Adam averages out.",
        costs="Stores two values per parameter. One large gradient reduces the steps for about 1/(1 - beta2) steps.",
        interacts="weight_decay is an L2 penalty in the gradient, as in adam.",
    ),
)
class Adamax(Moments):
    """m ← β₁m + (1−β₁)g, u ← max(β₂u, |g| + ε), p ← p − lr/(1−β₁ᵗ)·m/u."""

    lr: Rate = Field(default=2e-3, description="learning rate")

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return torch.optim.Adamax(groups)


@register(
    "optimizer",
    "nadam",
    card=Card(
        "Adam with Nesterov momentum.",
        source="Dozat 2016, Incorporating Nesterov Momentum into Adam; torch.optim.NAdam",
        helps="When momentum matters: slightly faster than Adam.",
        costs="Stores two values per parameter. A step takes longer than Adam's, because there is no fused kernel.",
        interacts=(
            "It has its own momentum schedule, which multiplies a schedule of beta1. See 'decay' for the form of "
            "weight decay."
        ),
    ),
)
class NAdam(Moments):
    """Adam with m̂ = μₜ₊₁m/(1 − Πμ) + (1−μₜ)g/(1 − Πμ), where μₜ = β₁(1 − 0.96^(t·ψ)/2) and ψ is ``momentum_decay``."""

    lr: Rate = Field(default=2e-3, description="learning rate")
    momentum_decay: Annotated[float, Range(ge=0)] = Field(
        default=0.004, description="how fast the momentum increases from half of beta1 to beta1"
    )
    decay: Literal["l2", "decoupled"] = Field(
        default="l2", description="l2: weight decay in the gradient; decoupled: as in adamw"
    )

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().group_values(now), "momentum_decay": now["momentum_decay"]}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        # measured on one CPU thread: foreach takes 0.4 to 0.7 times as long as the loop
        optimizer = torch.optim.NAdam(groups, decoupled_weight_decay=self.decay == "decoupled", foreach=True)
        optimizer.register_load_state_dict_post_hook(_keep_products)
        return optimizer


def _keep_products(optimizer: TorchOptimizer) -> None:
    """When torch loads a state, it changes the dtype (rounding) and the device (a wait in every step) of the product of
    momenta: undo this.
    """
    for state in optimizer.state.values():
        if "mu_product" in state:
            state["mu_product"] = state["mu_product"].to("cpu", torch.get_default_dtype())


@register(
    "optimizer",
    "radam",
    card=Card(
        "Rectified Adam: adapts learning rates once their variance can be estimated.",
        source="Liu et al. 2019, On the Variance of the Adaptive Learning Rate and Beyond; torch.optim.RAdam",
        helps="Instead of warmup: the first steps are SGD with momentum, and large learning rates are less harmful.",
        costs="Stores two values per parameter. Slow in the first steps.",
        interacts="A warmup in addition warms up twice. See 'decay' for the form of weight decay.",
    ),
)
class RAdam(Moments):
    """Adam's step times r, the square root of (ρₜ−4)(ρₜ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρₜ), once ρₜ > 5; before, p ← p − lr·m̂
    (algorithm 2 of the paper).
    """

    lr: Rate = Field(default=1e-3, description="learning rate")
    decay: Literal["l2", "decoupled"] = Field(
        default="l2", description="l2: weight decay in the gradient; decoupled: as in adamw"
    )

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        # measured on one CPU thread: foreach takes 0.2 to 0.6 times as long as the loop
        return torch.optim.RAdam(groups, decoupled_weight_decay=self.decay == "decoupled", foreach=True)
