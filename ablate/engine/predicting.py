"""Predictions of trained networks for their own data or new inputs, in the original unit of the targets; and the mean
prediction of several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.dataset import Part, Parts, Spec
from ablate.data.load import known_spec, load_parts
from ablate.data.loaders import loader_for
from ablate.engine.assembly import assemble
from ablate.engine.construction import build_network, make_tricks
from ablate.engine.contract import Assignment
from ablate.engine.device import autocast, dtype_of, place, prepare
from ablate.engine.pieces import Pieces, wide_batch
from ablate.engine.stacked_tricks import changed_data
from ablate.recipe.folds import Folds
from ablate.recipe.node import show
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.trees import described, tree_map
from ablate.tricks.from_weights import read_weights
from ablate.tricks.shared.mean_prediction import MeanPrediction
from ablate.tricks.trick import Trick, WeightsFile, overrides

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Trained:
    """One trained run: settings, seed, fold and weights; for a variant with ``joined``, ``members`` by name instead."""

    settings: Settings
    seed: int
    folder: Path
    weights: WeightsFile | None = None
    members: Mapping[str, Trained] | None = None
    fold: int | None = None
    folds: Folds | None = None
    device: str = "cpu"

    def parts(self) -> Parts:
        """Its data, before any trick."""
        double = self.settings.precision == "float64"
        return load_parts(
            self.settings.data, self.folder, self.folds, self.fold, double=double, form=self.settings.batch
        )


def network_of(run: Trained, spec: Spec) -> nn.Module:
    """The network with its weights, in evaluation mode, on the CPU."""
    tricks, _ = make_tricks(run.settings, spec, run.folder, (run.seed,))
    network, _ = build_network(run.settings, spec, run.folder, tricks, None)
    assert run.weights is not None
    network.to(dtype_of(run.settings.precision)).load_state_dict(read_weights(run.weights))
    return network.eval()


def predict(run: Trained, inputs: Part, data: Parts | None = None) -> tuple[Tensor, Spec]:
    """Predictions (n, …) on the CPU in the original unit of the targets, and the spec of the outputs.

    The variant's tricks are applied to the inputs (`on_data`), with statistics of the training set. ``data`` are the
    run's own, if loaded. Raises ValueError for inputs of another shape, and if ``joined`` lacks an output.
    """
    if run.members is not None:
        return _joined(run, inputs)
    spec = known_spec(run.settings.data)
    tricks_of = run.settings.tricks
    measures = any(one.name is None or overrides(one.built_in(Trick), "on_data") for one in tricks_of)
    if data is None and (spec is None or measures):
        data = run.parts()
    spec = data.spec if data is not None else spec
    assert spec is not None
    check_like(inputs, spec)
    shape = tuple(inputs.inputs.shape[1:]) if isinstance(inputs.inputs, torch.Tensor) else spec.input_shape
    if shape != spec.input_shape:
        raise ValueError(
            f"inputs must have the shape {show(spec.input_shape)} of the training data, but have shape "
            f"{show(shape)}. Save them with that shape, as images or in an .npz file."
        )
    if data is not None:
        tricks, _ = make_tricks(run.settings, spec, run.folder, (run.seed,), run.device)
        own = changed_data(tricks, replace(data, test=with_targets(inputs, data.train)), (run.seed,))
        assert own.test is not None
        inputs, spec = own.test, own.spec
    prediction = _outputs(run, network_of(run, spec), inputs, spec)
    scaling = spec.target_scaling
    return (prediction if scaling is None else scaling.original(prediction)), replace(spec, target_scaling=None)


def check_like(inputs: Part, spec: Spec) -> None:
    """Raise ValueError (one line) if inputs are one tensor, but those of the training data are a nest."""
    if isinstance(inputs.inputs, torch.Tensor) and spec.input_form is not None:
        raise ValueError(
            f"inputs must be {described(spec.input_form)}, as in the training data, but they are one tensor. Predict a "
            "split of the recipe's data."
        )


def with_targets(inputs: Part, like: Part) -> Part:
    """Inputs with targets of 0 like those of the training set, which tricks may expect."""
    if inputs.inputs is None or like.targets is None:
        return inputs
    targets = tree_map(lambda one: torch.zeros(len(inputs), *one.shape[1:], dtype=one.dtype), like.targets)
    return replace(inputs, targets=targets)


def _outputs(run: Trained, network: nn.Module, part: Part, spec: Spec) -> Tensor:
    """The network's outputs for all samples."""
    settings = run.settings
    if part.inputs is not None and part.targets is None:
        part = replace(part, targets=torch.zeros(len(part), 1))
    prepare(run.device, settings.precision)
    network = place(network, run.device, settings.precision)
    loader = loader_for(
        part,
        batch_size=wide_batch(settings.batch_size, spec),
        mode=settings.loader,
        device=run.device,
        dtype=dtype_of(settings.precision),
        workers=0,
    )
    pieces = Pieces(settings.batch_size, run.device)
    with torch.no_grad(), autocast(run.device, settings.precision):
        outputs = [pieces.predict(network, batch) for batch, _ in loader.batches(None)]
    if not isinstance(outputs[0], torch.Tensor):
        raise ValueError(
            f"predictions must be one tensor, but the network returns {described(outputs[0])}. Set batch.output."
        )
    return torch.cat(outputs).to(dtype_of(settings.precision)).cpu()


def _joined(run: Trained, inputs: Part) -> tuple[Tensor, Spec]:
    """The members' predictions combined by the names of their outputs, averaged if several predict the same output."""
    spec = run.parts().spec
    names = output_names(spec)
    total = torch.zeros(len(inputs), len(names), dtype=dtype_of(run.settings.precision))
    count = torch.zeros(len(names))
    for row, member in (run.members or {}).items():
        prediction, own = predict(member, inputs)
        for i, name in enumerate(output_names(own)):
            if name not in names:
                raise ValueError(f"joined (={row}) predicts '{name}', which is not in the data of this variant.")
            total[:, names.index(name)] += prediction[:, i]
            count[names.index(name)] += 1
    if (missing := [name for name, n in zip(names, count.tolist(), strict=True) if not n]) != []:
        members, lacking = ", ".join(run.members or ()), ", ".join(missing[:4])
        raise ValueError(f"joined (={members}) does not predict {lacking}. Add a variant that does.")
    return total / count, spec


def output_names(spec: Spec) -> tuple[str, ...]:
    """The names of the outputs: those of the targets or classes, or numbers."""
    for names in (spec.target_names, spec.classes):
        if len(names) == spec.outputs:
            return names
    return tuple(str(i) for i in range(spec.outputs))


def seed_ensemble(assignment: Assignment, data: Parts, weights: Mapping[int, Mapping[str, Tensor]]) -> dict[str, float]:
    """``valid_loss`` and the metrics of the mean prediction of all seeds on the validation set.

    ``weights``: seed → weights. Whether the seeds were trained in parallel makes no difference.
    """
    settings = assignment.settings.replace(watch=())
    if settings.loss.name == "from_model":
        raise ValueError("loss (=from_model) is unknown for the mean prediction of several seeds. Use another loss.")
    mean: MeanPrediction | None = None
    for seed in assignment.seeds:
        one = assemble(replace(assignment, settings=settings, seeds=(seed,)), data)
        mean = mean or MeanPrediction(one.spec)
        one.replicas.load(weights[seed])
        one.replicas.eval()
        predictions, targets = [], []
        with torch.no_grad(), autocast(one.device, settings.precision):
            for batch, (inputs, target) in enumerate(one.valid.batches(None)):
                predictions.append(one.predict(inputs, batch))
                targets.append(target)
        mean.add(torch.cat(predictions).to(dtype_of(settings.precision)))
    assert mean is not None
    prediction, target = mean.mean(), torch.cat(targets)
    with torch.no_grad():
        found = {"valid_loss": one.whole_loss(one.loss(prediction, target))}
        found |= {name: torch.as_tensor(measure(prediction, target)) for name, measure in one.metrics.items()}
    return {name: float(value) for name, value in found.items()}
