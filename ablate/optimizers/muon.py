"""Muon: orthogonalized updates for hidden weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ablate.optimizers.build import fused
from ablate.optimizers.optimizer import Decay, Rate, Share
from ablate.optimizers.parts import InParts
from ablate.registry import Card, register
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


@register(
    "optimizer",
    "muon",
    card=Card(
        "Orthogonalized updates for hidden weights; AdamW for all other parameters.",
        source="Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; torch.optim.Muon",
        helps="For hidden layers with wide matrices: needs fewer epochs than AdamW for the same loss.",
        costs=(
            "Five small matrix products per weight and step; two learning rates to tune. Stores one value per hidden "
            "weight, two per other parameter."
        ),
        interacts=(
            "Invariant to the scale of gradients, so clipping has little effect. lr alone determines the size of a "
            "step, so it needs a decreasing schedule."
        ),
    ),
)
class Muon(InParts):
    """m ← μm + (1−μ)g; p ← (1 − lr·wd)·p − lr·s·O(m): O sets all singular values near 1, s scales the step to the shape
    (`ablate.optimizers.steps.muon`).

    Weights with two or more axes are reshaped to (out, the rest), so convolutions are flattened. AdamW updates all
    others (biases, norms), embeddings and the output layer, which is the network's last weight with two or more axes.
    ``lr`` of a group in ``groups`` is the learning rate of all parameters that it matches.
    """

    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {"adamw": {"lr": "adamw_lr"}}

    lr: Rate = Field(
        default=0.02, description="learning rate of the hidden weights: the size of a step's singular values"
    )
    momentum: Share = Field(default=0.95, description="decay rate of the running average of the gradient")
    nesterov: bool = Field(default=True, description="use Nesterov momentum")
    scale: Literal["original", "match_adamw"] = Field(
        default="original",
        description=(
            "original: √max(1, out/rest); match_adamw: 0.2·√max(out, rest), for which a learning rate tuned for "
            "AdamW is suitable"
        ),
    )
    steps: Annotated[int, Range(ge=1, le=20)] = Field(default=5, description="number of Newton-Schulz iterations")
    adamw_lr: Rate = Field(default=3e-4, description="learning rate of AdamW's parameters")
    adamw: tuple[str, ...] = Field(
        default=("*emb*",),
        description="shell patterns of the names of further parameters for AdamW; case-insensitive",
    )
    output: Literal["adamw", "muon"] = Field(
        default="adamw", description="optimizer for the last weight, the output layer"
    )
    beta1: Share = Field(default=0.9, description="AdamW: decay rate of the running average of the gradient")
    beta2: Share = Field(default=0.95, description="AdamW: decay rate of the running average of the squared gradient")
    eps: Annotated[float, Range(gt=0)] = Field(
        default=1e-8, description="AdamW: term added to the denominator for numerical stability"
    )
    weight_decay: Decay = Field(
        default=0.01,
        description="decoupled weight decay, for both optimizers: each step subtracts lr · weight_decay · w",
    )

    def part(self, shapes: Mapping[str, tuple[int, ...]], own: Collection[str]) -> Mapping[str, str]:
        """Raises ValueError if no parameters are left for Muon."""
        weights = [name for name, shape in shapes.items() if len(shape) >= 2]
        hidden = weights[:-1] if self.output == "adamw" else weights
        patterns = [pattern.lower() for pattern in self.adamw]
        others = {name for name in hidden if any(fnmatchcase(name.lower(), pattern) for pattern in patterns)}
        chosen = {name for name in hidden if name in own} - others
        if not chosen:
            raise ValueError(
                f"optimizer (=muon) requires hidden weight matrices, but all {len(own)} parameters would use "
                "AdamW. Use adamw, or set output: muon."
            )
        return {name: "muon" if name in chosen else "adamw" for name in own}

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        plain = {key: now[key] for key in ("lr", "momentum", "eps", "weight_decay")}
        return {**plain, "betas": (now["beta1"], now["beta2"])}

    def build_stacked(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self.build(groups, stacked=True)

    def build(self, groups: list[dict[str, Any]], *, stacked: bool = False) -> TorchOptimizer:
        from ablate.optimizers.steps.muon import Muon as Combined

        return Combined(
            groups,
            nesterov=self.nesterov,
            steps=self.steps,
            match_adamw=self.scale == "match_adamw",
            stacked=stacked,
            fused=fused(groups),
        )
