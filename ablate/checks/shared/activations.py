"""What flows through a network in one pass: the outputs of activations, and the last feature map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ablate.engine.dry_run import without_dropout
from ablate.losses.from_model import prediction_of
from ablate.tracked.activations import alive_units
from ablate.trees import tensors, tree_map

if TYPE_CHECKING:
    from ablate.checks.shared.probe import Probe

Kind = Literal["relu", "tanh", "sigmoid"]

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("relu", "relu_"), "relu"),
    **dict.fromkeys(("tanh", "tanh_"), "tanh"),
    **dict.fromkeys(("sigmoid", "sigmoid_"), "sigmoid"),
}

EDGE = 0.01
"""Distance from its limits at which a tanh or sigmoid is saturated."""


@dataclass(frozen=True)
class Activation:
    """The share of an activation's units that are dead, or of its values that are saturated."""

    kind: Kind
    share: float
    output: int


class Recorder(TorchFunctionMode):
    """Records the outputs of activations, called as modules or functions."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Activation] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        kind = KINDS.get(getattr(function, "__name__", ""))
        if kind is not None and isinstance(result, Tensor) and result.dim() >= 2:
            self.found.append(Activation(kind, share_of(kind, result.detach()), result.data_ptr()))
        return result


def share_of(kind: Kind, output: Tensor) -> float:
    """The share of dead units, or of saturated values."""
    if kind == "relu":
        return 1 - float(alive_units(output).double().mean())
    low, high = (-1 + EDGE, 1 - EDGE) if kind == "tanh" else (EDGE, 1 - EDGE)
    return float(((output < low) | (output > high)).double().mean())


def seen_activations(probe: Probe) -> list[Activation]:
    """The activations of a pass in training mode, without that which is the prediction."""
    recorder = Recorder()
    with probe.restored(), torch.no_grad(), without_dropout([probe.network]):
        probe.network.train()
        made = probe.assembly
        with recorder:
            output = made.replicas.forward(made.given(probe.batch.inputs, probe.batch.targets))
    own = {one.data_ptr() for one in tensors(prediction_of(output))}
    return [one for one in recorder.found if one.output not in own]


def pooled_field(probe: Probe) -> tuple[Sequence[int], Sequence[int]] | None:
    """The height and width of the receptive field of the last feature map, and of the images; None if its positions
    are not averaged before the prediction.
    """
    maps: list[Tensor] = []

    def record(_: nn.Module, __: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1 and output.requires_grad:
            maps.append(output)

    network, made = probe.network, probe.assembly
    inputs = tree_map(lambda one: one[:8].clone().requires_grad_(one.is_floating_point()), probe.batch.inputs)
    leaves = [layer for layer in network.modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(record) for layer in leaves]
    image = next(tensors(inputs))
    try:
        with probe.restored():
            network.eval()
            targets = tree_map(lambda one: one[:8], probe.batch.targets)
            output = next(tensors(prediction_of(made.replicas.forward(made.given(inputs, targets)))))
            if not maps or output.dim() != 2:
                return None
            weights = torch.autograd.grad(output[:, 0].sum(), maps[-1], retain_graph=True, allow_unused=True)[0]
            if weights is None or not is_even(weights):
                return None
            middle = [side // 2 for side in maps[-1].shape[2:]]
            seen = torch.autograd.grad(maps[-1][:, :, middle[0], middle[1]].sum(), image, allow_unused=True)[0]
    finally:
        for handle in handles:
            handle.remove()
    if seen is None or not bool(seen.any()):
        return None
    used = seen.abs().sum(dim=(0, 1)) > 0
    return [extent(used.any(dim=1)), extent(used.any(dim=0))], list(image.shape[2:])


def is_even(weights: Tensor) -> bool:
    """Whether a prediction depends on all positions (N, C, H, W) of each channel alike."""
    spread = (weights - weights.mean(dim=(2, 3), keepdim=True)).abs().max()
    return float(spread) <= 1e-6 + 1e-3 * float(weights.abs().max())


def extent(used: Tensor) -> int:
    """The distance from the first to the last true value, both included."""
    places = used.nonzero().flatten()
    return int(places[-1] - places[0]) + 1
