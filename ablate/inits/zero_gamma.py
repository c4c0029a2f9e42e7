"""Initialize residual blocks as the identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ablate.inits.on_top import OnTop
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect

if TYPE_CHECKING:
    from torch import nn

    from ablate.data.dataset import Spec


@register(
    "init",
    "zero_gamma",
    card=Card(
        "Sets the scale of each residual branch's last norm to zero.",
        source="Goyal et al. 2017, Accurate, Large Minibatch SGD, section 5.1; Zhang et al. 2019, Fixup",
        helps="For deep residual networks and large learning rates: every block starts as the identity.",
        costs="In the first step, only the scale of each branch is updated.",
        interacts="Requires a network with residual branches that end in a norm.",
    ),
)
class ZeroGamma(OnTop):
    """Initializes with ``of``, then sets the weight of the last norm of every residual branch to 0.

    A branch is the child named by the attribute ``residual_branch`` of a module's class, as in
    `ablate.layers.residual_block.ResidualBlock`.
    """

    def apply(self, model: nn.Module, seed: int) -> list[str]:
        """Raises `NoEffect` if no branch ends in a norm with a scale."""
        done = super().apply(model, seed)
        with torch.no_grad():
            for norm in _known_norms(model):
                norm.weight.zero_()  # type: ignore[operator]
        return done

    def check(self, model: nn.Module, spec: Spec) -> None:
        super().check(model, spec)
        _known_norms(model)


def _known_norms(model: nn.Module) -> list[nn.Module]:
    norms = last_norms(model)
    if not norms:
        raise NoEffect("zero_gamma has no effect: the network has no residual branch with a norm. Use another init.")
    return norms


def last_norms(model: nn.Module) -> list[nn.Module]:
    """The last norm with a scale of each residual branch."""
    homes = tuple(f"torch.nn.modules.{name}" for name in ("batchnorm", "instancenorm", "normalization"))
    found = []
    for block in model.modules():
        name = getattr(type(block), "residual_branch", None)
        if name is None:
            continue
        norms = [part for part in getattr(block, name).modules() if type(part).__module__ in homes]
        if norms and getattr(norms[-1], "weight", None) is not None:
            found.append(norms[-1])
    return found
