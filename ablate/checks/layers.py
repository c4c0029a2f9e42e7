"""Checks of what happens inside the network: units that are dead or saturated, and the receptive field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.trees import tensors

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe


@register(
    "check",
    "activations",
    card=Card(
        "Looks for layers whose ReLUs are dead, or whose tanh or sigmoid units are saturated.",
        source="SageMaker Debugger, rules DeadRelu and TanhSaturation; Lu et al. 2019, Dying ReLU and Initialization",
        helps="To find biases, weights or inputs that are so large that units have no gradient.",
        interacts="Modules and functional calls are included, except inside recurrent layers.",
    ),
)
class Activations(Check):
    """Dead: 0 for all 64 samples at all positions. Saturated: |tanh| > 0.99, or a sigmoid below 0.01 or above 0.99. The
    network's own output does not count.
    """

    quick = True

    share: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.75, description="largest share of dead units, or of saturated values, in a layer"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.activations import seen_activations

        layers = seen_activations(probe)
        for kind, problem, fix in (
            ("relu", "Most ReLUs of a layer are 0 for all samples.", "Use smaller or positive biases"),
            ("tanh", "Most tanh units of a layer are saturated.", "Use smaller initial weights (xavier_normal)"),
            ("sigmoid", "Most sigmoid units of a layer are saturated.", "Use smaller initial weights (xavier_normal)"),
        ):
            bad = [(i, one.share) for i, one in enumerate(layers) if one.kind == kind and one.share > self.share]
            if bad:
                i, share = max(bad, key=lambda pair: pair[1])
                yield Finding(
                    "warning",
                    problem,
                    f"{share:.0%} in activation {i + 1} of {len(layers)} (layers affected: {len(bad)})",
                    f"at most {self.share:.0%}",
                    f"{fix}, normalize the inputs, or add a norm before the activation.",
                )


@register(
    "check",
    "receptive_field",
    card=Card(
        "Compares the receptive field with the size of the images, for networks with global pooling.",
        source="Araujo, Norris and Sim 2019, Computing Receptive Fields of Convolutional Neural Networks; Luo et al. "
        "2016, Understanding the Effective Receptive Field",
        helps="To find a network in which each unit depends on a small part of the image only.",
        interacts="Only for one class per image and networks with global pooling: a fully connected layer over all "
        "positions covers the whole image.",
    ),
)
class ReceptiveField(Check):
    """The pixels that the middle unit of the last feature map depends on, by gradients: also of custom networks."""

    quick = True

    share: Annotated[float, Range(gt=0)] = Field(
        default=0.5, description="smallest receptive field, as a share of the side of the image"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.checks.shared.activations import pooled_field

        inputs = next(tensors(probe.batch.inputs), None)
        if inputs is None or inputs.dim() != 4 or probe.spec.task != "classification" or probe.spec.places:
            return
        sides = pooled_field(probe)
        if sides is None:
            return
        field, size = sides
        if any(own < self.share * side for own, side in zip(field, size, strict=True)):
            yield Finding(
                "warning",
                "The receptive field is small for images that are classified as a whole.",
                f"{field[0]}×{field[1]} of {size[0]}×{size[1]} pixels",
                f"at least {self.share:.0%} of each side",
                "Add layers, strides, pooling or dilation, or flatten the feature map instead of averaging it.",
            )
