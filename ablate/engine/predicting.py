"""Predictions of trained networks, on a part of their data or on new inputs, in the unit of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.data.dataset import Part, Parts, Spec
from ablate.data.load import known_spec, load_parts
from ablate.data.loaders import loader_for
from ablate.engine.assembly import wide_batch
from ablate.engine.construction import build_network, make_tricks
from ablate.engine.device import autocast, dtype_of, place, prepare
from ablate.engine.stacked_tricks import changed_data
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Settings
from ablate.registry.lazy import torch
from ablate.tricks.from_weights import read_weights
from ablate.tricks.trick import overrides

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Trained:
    """One run of a variant: its settings, seed and fold, and where its weights are. A row that joins others has ``members`` instead, by name."""

    settings: Settings
    seed: int
    folder: Path
    weights: Path | None = None
    members: Mapping[str, Trained] | None = None
    fold: int | None = None
    folds: Folds | None = None
    device: str = "cpu"

    def parts(self) -> Parts:
        """Its data as the recipe has them, before any trick."""
        return load_parts(self.settings.data, self.folder, self.folds, self.fold)


def network_of(run: Trained, spec: Spec) -> nn.Module:
    """The network with its weights, in evaluation mode, on the CPU."""
    tricks, _ = make_tricks(run.settings, spec, run.folder, (run.seed,))
    network, _ = build_network(run.settings, spec, run.folder, tricks, None)
    assert run.weights is not None
    network.load_state_dict(read_weights(run.weights))
    return network.eval()


def predict(run: Trained, inputs: Part, data: Parts | None = None) -> tuple[Tensor, Spec]:
    """Predictions (n, …) on the CPU for the inputs of a part, in the targets' original unit, and the facts of the outputs.

    Inputs go through the row's tricks for data (`on_data`), with all that these measure of the training part. ``data`` are the run's own, where they are at
    hand. Raises ValueError in one line for inputs of another shape, and where members of a joined row leave an output out.
    """
    if run.members is not None:
        return _joined(run, inputs)
    spec = known_spec(run.settings.data)
    measures = any(choice.name is None or overrides(choice.named, "on_data") for choice in run.settings.tricks)  # type: ignore[arg-type]
    if data is None and (spec is None or measures):
        data = run.parts()
    spec = data.spec if data is not None else spec
    assert spec is not None
    shape = tuple(inputs.inputs.shape[1:]) if inputs.inputs is not None else spec.input_shape
    if shape != spec.input_shape:
        raise ValueError(f"inputs (={shape}) must have the shape {spec.input_shape} that the network was trained with.")
    if data is not None:
        tricks, _ = make_tricks(run.settings, spec, run.folder, (run.seed,), run.device)
        own = changed_data(tricks, replace(data, test=with_targets(inputs, data.train)), (run.seed,))
        assert own.test is not None
        inputs, spec = own.test, own.spec
    prediction = _outputs(run, network_of(run, spec), inputs, spec)
    scaling = spec.target_scaling
    return (prediction if scaling is None else scaling.original(prediction)), replace(spec, target_scaling=None)


def with_targets(inputs: Part, like: Part) -> Part:
    """A part with targets of 0 where it has none or other ones: tricks may expect some of the training part's kind."""
    if inputs.inputs is None or like.targets is None:
        return inputs
    return replace(inputs, targets=torch.zeros(len(inputs), *like.targets.shape[1:], dtype=like.targets.dtype))


def _outputs(run: Trained, network: nn.Module, part: Part, spec: Spec) -> Tensor:
    """What the network says of all samples of a part."""
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
    with torch.no_grad(), autocast(run.device, settings.precision):
        return torch.cat([network(batch) for batch, _ in loader.batches(None)]).float().cpu()


def _joined(run: Trained, inputs: Part) -> tuple[Tensor, Spec]:
    """The members' predictions put together by the names of their outputs; an output that several have is their mean."""
    spec = run.parts().spec
    names = output_names(spec)
    total = torch.zeros(len(inputs), len(names))
    count = torch.zeros(len(names))
    for row, member in (run.members or {}).items():
        prediction, own = predict(member, inputs)
        for i, name in enumerate(output_names(own)):
            if name not in names:
                raise ValueError(f"joined (={row}) predicts '{name}', which the data of this row has not.")
            total[:, names.index(name)] += prediction[:, i]
            count[names.index(name)] += 1
    if (missing := [name for name, n in zip(names, count.tolist(), strict=True) if not n]) != []:
        raise ValueError(
            f"joined (={', '.join(run.members or ())}) leaves out {', '.join(missing[:4])}. Join a row that predicts it."
        )
    return total / count, spec


def output_names(spec: Spec) -> tuple[str, ...]:
    """What the outputs are called: the targets, the classes, or numbers."""
    for names in (spec.target_names, spec.classes):
        if len(names) == spec.outputs:
            return names
    return tuple(str(i) for i in range(spec.outputs))
