"""Checks of the parameters: whether each gets a gradient and is changed by the optimizer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range

if TYPE_CHECKING:
    from torch import Tensor

    from ablate.checks.shared.probe import Probe

NAMED = 3
"""Number of parameters that a finding lists."""


def listed(names: list[str]) -> str:
    """``a.weight, a.bias and 3 more``."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


@register(
    "check",
    "gradients",
    card=Card(
        "Checks whether every parameter gets a gradient other than 0 from 64 samples.",
        source="Schoop, Huang and Hartmann 2021, UMLAUT; SageMaker Debugger, rule UnchangedTensor",
        helps="To find layers that the forward pass does not use, detach() and .item(), and a frozen network.",
        interacts="Frozen parameters (requires_grad=False) are left out. Embeddings have gradients only for tokens "
        "that occur.",
    ),
)
class GetsGradients(Check):
    """An error if no parameter gets a gradient, a warning if some do not. Exactly 0 counts as none."""

    quick = True

    def look(self, probe: Probe) -> Iterator[Finding]:
        gradients = probe.gradients
        none = [name for name, found in gradients.items() if is_none(found)]
        if len(none) == len(gradients):
            yield Finding(
                "error",
                "No parameter gets a gradient, so nothing is trained.",
                f"{len(none)} of {len(gradients)} parameters have a gradient of 0 or none"
                if gradients
                else f"all {len(probe.assembly.replicas.parameters)} parameters are frozen",
                "a gradient for every parameter",
                "Check requires_grad, the trick freeze, and detach() in the network, and whether all units are dead.",
            )
        elif none:
            yield Finding(
                "warning",
                "Some parameters get no gradient, so they are not trained.",
                f"{listed(none)} ({len(none)} of {len(gradients)})",
                "a gradient for every parameter",
                "Use these layers in the forward pass, remove detach(), or remove the layers.",
            )


def is_none(gradient: Tensor | None) -> bool:
    """Whether there is no gradient, or one of exactly 0."""
    return gradient is None or not bool(gradient.any())


@register(
    "check",
    "optimizer_parameters",
    card=Card(
        "Checks whether the optimizer updates every parameter that gets a gradient.",
        source="torch.optim.Optimizer: parameters that it was not given are not updated",
        helps="To find a custom optimizer that leaves out a layer, and a network that replaces a layer too late.",
    ),
)
class OptimizerParameters(Check):
    """An error if the optimizer changes none of the network's parameters, a warning if it lacks some. Frozen parameters
    are left out.
    """

    quick = True

    def look(self, probe: Probe) -> Iterator[Finding]:
        own = {id(one) for group in probe.assembly.optimizer.param_groups for one in group["params"]}
        gradients = probe.gradients
        lacking = [name for name, one in probe.trained.items() if id(one) not in own and not is_none(gradients[name])]
        if lacking:
            yield Finding(
                "error" if len(lacking) == len(gradients) else "warning",
                "The optimizer does not update some parameters that get gradients.",
                f"{listed(lacking)} ({len(lacking)} of {len(gradients)})",
                "all parameters that are not frozen",
                "Pass all parameters to the optimizer, or freeze these on purpose with the trick freeze.",
            )


@register(
    "check",
    "gradient_flow",
    card=Card(
        "Compares the gradients of the first and the last layer, relative to their weights.",
        source="Zhang et al. 2021, AutoTrainer: vanishing below 1e-3, exploding above 70",
        helps="To find gradients that vanish or explode on their way through a deep network.",
        interacts="Norms, skip connections and ReLU with he_normal keep gradients in range.",
    ),
)
class GradientFlow(Check):
    """mean |gradient| / mean |weight| of the first layer with weights, divided by that of the last one. Vanishing also
    requires that of the first layer to be small.
    """

    quick = True

    vanishing: Annotated[float, Range(gt=0)] = Field(default=1e-3, description="smallest ratio of first to last layer")
    small: Annotated[float, Range(gt=0)] = Field(
        default=1e-4, description="vanishing: largest mean |gradient| of the first layer"
    )
    exploding: Annotated[float, Range(gt=0)] = Field(default=70.0, description="largest ratio of first to last layer")

    def look(self, probe: Probe) -> Iterator[Finding]:
        sizes: list[tuple[str, float, float]] = []
        for name, parameter in probe.trained.items():
            gradient, weight = probe.gradients[name], float(parameter.detach().abs().mean())
            if parameter.dim() >= 2 and gradient is not None and weight > 0:
                size = float(gradient.abs().mean())
                sizes.append((name, size, size / weight))
        if len(sizes) < 2 or not sizes[-1][2] or not sizes[0][2]:
            return
        (first, size, relative), (last, _, reference) = sizes[0], sizes[-1]
        ratio = relative / reference
        if ratio < self.vanishing and size < self.small:
            problem = "Gradients vanish on their way to the first layer."
            fix = "Use relu instead of sigmoid or tanh, init he_normal or xavier_normal, norms, or skip connections."
        elif ratio > self.exploding:
            problem = "Gradients explode on their way to the first layer."
            fix = "Use smaller initial weights (init), norms, or clip_norm."
        else:
            return
        expected = f"{self.vanishing:g} to {self.exploding:g}"
        yield Finding("warning", problem, f"ratio {ratio:.2g} of {first} to {last}", expected, fix)
