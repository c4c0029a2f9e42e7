"""Checks of single samples: each is computed by itself, and evaluation repeats exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ablate.checks.check import Check, Finding
from ablate.registry import Card, register
from ablate.registry.fields import Range
from ablate.registry.lazy import torch
from ablate.trees import tensors, tree_map

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe
    from ablate.trees import Tree


def equal(one: Tree, other: Tree) -> bool:
    """Whether two nests have equal tensors; NaN equals NaN."""
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(a.shape == b.shape and bool(torch.equal(a.nan_to_num(), b.nan_to_num())) for a, b in pairs)


@register(
    "check",
    "independent_samples",
    card=Card(
        "Checks that a sample's prediction does not depend on other samples of its batch.",
        source="Karpathy 2019, A Recipe for Training Neural Networks: use backprop to chart dependencies",
        helps="To find a view or transpose that mixes the batch axis with others.",
        interacts="A norm without running statistics mixes samples on purpose.",
    ),
)
class IndependentSamples(Check):
    """Replaces half of the samples of a batch by others and compares the predictions of the other half, relative to the
    size of the predictions.
    """

    quick = True

    tolerance: Annotated[float, Range(gt=0)] = Field(
        default=1e-3, description="largest change of a prediction, relative to the largest prediction"
    )

    def look(self, probe: Probe) -> Iterator[Finding]:
        batch = probe.samples(16)
        first = next(tensors(batch.inputs), None)
        if first is None or len(first) < 4:
            return
        half = len(first) // 2
        changed = tree_map(lambda one: torch.cat([one[:half], one[:half].flip(0)]), batch.inputs)
        with probe.restored(), torch.no_grad():
            made = probe.assembly
            made.network.train(False)
            one, again, other = (
                made.replicas.predict(made.given(given, batch.targets))
                for given in (batch.inputs, batch.inputs, changed)
            )
        if not equal(one, again):
            return
        far = 0.0
        for a, b in zip(tensors(prediction(one)), tensors(prediction(other)), strict=True):
            if a.dim() == 0 or len(a) != len(first):
                return
            scale = float(a.detach().abs().max()) or 1.0
            far = max(far, float((a[:half] - b[:half]).abs().nan_to_num().max()) / scale)
        if far > self.tolerance:
            yield Finding(
                "warning",
                "A sample's prediction depends on the other samples of its batch.",
                f"a change by {far:.2g} times the largest prediction",
                f"at most {self.tolerance:g}",
                "Look for view, reshape, permute or softmax over the batch axis (0) in the network, and for norms "
                "without running statistics.",
            )


def prediction(output: Tree) -> Tree:
    """The prediction in what the network returns."""
    from ablate.losses.from_model import prediction_of

    return prediction_of(output)


@register(
    "check",
    "evaluation_repeats",
    card=Card(
        "Evaluates twice: the predictions and the validation samples must be the same.",
        source="Ben Braiek and Khomh 2023, TheDeepChecker (switch between training and evaluation mode)",
        helps="To find dropout that stays on in evaluation mode, and augmentation of validation samples.",
        interacts="Augmentation that is applied once, when the data are read, cannot be detected.",
    ),
)
class EvaluationRepeats(Check):
    """Any difference between two predictions for the same samples, or between two readings of the same samples."""

    quick = True

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.engine.rehearsal import spread

        valid = probe.assembly.valid
        batch = probe.samples(16, "valid")
        with probe.restored(), torch.no_grad():
            made = probe.assembly
            made.network.train(False)
            one, other = (made.replicas.predict(made.given(batch.inputs, batch.targets)) for _ in range(2))
            if not equal(one, other):
                a, b = next(tensors(prediction(one))), next(tensors(prediction(other)))
                yield Finding(
                    "warning",
                    "Two evaluations of the same samples differ.",
                    f"by up to {float((a - b).abs().max()):.2g}",
                    "no difference",
                    "Use nn.Dropout, or F.dropout(…, training=self.training), and no other noise in evaluation mode.",
                )
            loader, readings = valid.with_batch_size(8), []
            for epoch in (1, 2):
                loader.begin((0,), epoch)
                readings.append(next(iter(loader.batches(spread(loader, 8))))[0])
            if not equal(*readings):
                yield Finding(
                    "warning",
                    "Validation samples differ when they are read a second time.",
                    "inputs that change from epoch to epoch",
                    "no difference",
                    "Do not augment the validation set: give it a dataset of its own, without random transforms.",
                )


@register(
    "check",
    "norm_batch_size",
    card=Card(
        "Checks from how many samples batch norm computes its statistics.",
        source="Wu and He 2018, Group Normalization, figure 1: errors grow for fewer than 16 samples per batch",
        helps="To find a batch size that is too small for batch norm.",
        interacts="group_norm and layer_norm do not depend on the batch size.",
    ),
)
class NormBatchSize(Check):
    """The batch size of a network with batch norm, if it has layers that normalize over the batch."""

    quick = True
    needs_weights = False

    least: int = Field(default=4, ge=2, description="smallest batch size")

    def look(self, probe: Probe) -> Iterator[Finding]:
        from ablate.layers.batch_norm import batch_norms

        size = probe.settings.batch_size
        if size >= self.least or not any(True for _ in batch_norms(probe.network)):
            return
        yield Finding(
            "warning",
            "Batch norm computes its statistics from very few samples.",
            f"batch_size {size}",
            f"at least {self.least}",
            "Use a larger batch_size, or group_norm or layer_norm instead of batch_norm.",
        )
