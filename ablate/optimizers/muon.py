"""Muon: every step of a hidden weight is an orthogonal matrix."""

from __future__ import annotations

from collections.abc import Mapping
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
        "Orthogonal steps for hidden weights; AdamW for everything else.",
        source="Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; torch.optim.Muon",
        helps="Hidden layers with wide matrices: fewer epochs to the same loss than AdamW.",
        costs="Five small matrix products a weight and step; two rates to choose. One number of memory per hidden weight, two for the rest.",
        interacts="A gradient's size does not matter to it, so clipping hardly does. The step's size is lr alone: it needs a falling schedule to settle.",
    ),
)
class Muon(InParts):
    """m ← μm + (1−μ)g; p ← (1 − lr·wd)·p − lr·s·O(m): O sets all singular values near 1, s fits the step to the shape (`ablate.optimizers.steps.muon`).

    Weights of two axes or more are seen as (out, the rest), so convolutions are flattened. AdamW takes all others (biases, norms), embeddings and the output
    layer, which is the network's last weight of two axes or more; ``lr`` of a group in ``groups`` is the rate of whatever it matches.
    """

    instead: ClassVar[Mapping[str, Mapping[str, str]]] = {"adamw": {"lr": "adamw_lr"}}

    lr: Rate = Field(
        default=0.02, description="learning rate of the hidden weights: the size of a step's singular values"
    )
    momentum: Share = Field(default=0.95, description="memory of the gradient's mean")
    nesterov: bool = Field(default=True, description="look ahead along the mean")
    scale: Literal["original", "match_adamw"] = Field(
        default="original",
        description="original: √max(1, out/rest); match_adamw: 0.2·√max(out, rest), with which a rate tuned for AdamW fits",
    )
    steps: Annotated[int, Range(ge=1, le=20)] = Field(default=5, description="iterations towards orthogonality")
    adamw_lr: Rate = Field(default=3e-4, description="learning rate of what AdamW takes")
    adamw: tuple[str, ...] = Field(
        default=("*emb*",),
        description="shell patterns over the names of weights that AdamW takes as well; case does not count",
    )
    output: Literal["adamw", "muon"] = Field(default="adamw", description="who takes the last weight, the output layer")
    beta1: Share = Field(default=0.9, description="AdamW's memory of the gradient's mean")
    beta2: Share = Field(default=0.95, description="AdamW's memory of the squared gradient's mean")
    eps: Annotated[float, Range(gt=0)] = Field(default=1e-8, description="AdamW's, against division by 0")
    weight_decay: Decay = Field(default=0.01, description="decoupled, for both: lr times this share off the weight")

    def part(self, shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, str]:
        """Raises ValueError where nothing is left for Muon itself."""
        weights = [name for name, shape in shapes.items() if len(shape) >= 2]
        hidden = weights[:-1] if self.output == "adamw" else weights
        patterns = [pattern.lower() for pattern in self.adamw]
        chosen = {name for name in hidden if not any(fnmatchcase(name.lower(), pattern) for pattern in patterns)}
        if not chosen:
            raise ValueError(
                f"optimizer (=muon) finds no hidden weight to work on among {len(shapes)} parameters: AdamW would take all of them. "
                "Use adamw, or set output: muon."
            )
        return {name: "muon" if name in chosen else "adamw" for name in shapes}

    def group_values(self, now: Mapping[str, Any]) -> dict[str, Any]:
        plain = {key: now[key] for key in ("lr", "momentum", "eps", "weight_decay")}
        return {**plain, "betas": (now["beta1"], now["beta2"])}

    def build(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self._built(groups, stacked=False)

    def build_stacked(self, groups: list[dict[str, Any]]) -> TorchOptimizer:
        return self._built(groups, stacked=True)

    def _built(self, groups: list[dict[str, Any]], *, stacked: bool) -> TorchOptimizer:
        from ablate.optimizers.steps.muon import Muon as Combined

        return Combined(
            groups,
            nesterov=self.nesterov,
            steps=self.steps,
            match_adamw=self.scale == "match_adamw",
            stacked=stacked,
            fused=fused(groups),
        )
