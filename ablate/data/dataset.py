"""What a data set hands to the engine: its parts, and the facts that networks, tricks and metrics ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from ablate.registry.constants import constant_like

if TYPE_CHECKING:
    import torch
    from torch.utils.data import Dataset

Task = Literal["classification", "regression", "other"]


@dataclass(frozen=True)
class Landmarks:
    """Targets that are points in a picture: (x, y) pairs, flattened to (2·P,), each (pixel − ``centre``)/``scale``.

    ``pairs`` are the left/right points (indices 0 … P−1) that change places when the picture is mirrored; ``frame`` is the picture's side in the pixels
    that the points are measured in (96 for the keypoint study, whatever size the network sees).
    """

    pairs: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    centre: float = 48.0
    scale: float = 48.0
    frame: int = 96


@dataclass(frozen=True)
class TargetScaling:
    """Targets that are stored as (value − ``shift``)/``scale``, one number of each for every output, or one for all."""

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    def scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Values (..., outputs) in the original unit as the network sees them, a new tensor."""
        return (values - constant_like(self.shift, values)) / constant_like(self.scale, values)

    def original(self, values: torch.Tensor) -> torch.Tensor:
        """Stored targets or predictions (..., outputs) in the original unit, a new tensor."""
        return values * constant_like(self.scale, values) + constant_like(self.shift, values)


@dataclass(frozen=True)
class Spec:
    """The facts of a data set that do not need its contents.

    ``input_shape`` is one sample's, such as (1, 96, 96); ``outputs`` is the width of the network's last layer; ``classes`` names the classes, if any.
    ``target_scaling`` says how targets differ from their original unit, in which metrics are measured; None: not at all.

    ``places`` is what a sample has one class each for, such as the (H, W) pixels of a mask or the (T,) positions of a text; (): the sample has one.
    Targets are then (n, *places) and predictions (n, outputs, *places). ``vocabulary`` has the tokens that whole-number inputs (n, T) count, from 0;
    (): inputs are measurements.
    """

    input_shape: tuple[int, ...]
    outputs: int
    task: Task
    classes: tuple[str, ...] = ()
    landmarks: Landmarks | None = None
    target_names: tuple[str, ...] = ()
    target_scaling: TargetScaling | None = None
    places: tuple[int, ...] = ()
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """One part (train, valid or test): either tensors in memory or any torch ``Dataset`` of (input, target).

    ``inputs`` (n, …) may be uint8: batches of it become floats in [0, 1] on the device. ``targets`` (n, …) are float (NaN: missing) or int64 class numbers.
    ``rows`` are the samples' positions in the source, before the split; ``groups`` their group numbers, if the source has any.
    """

    inputs: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    dataset: Dataset[tuple[torch.Tensor, torch.Tensor]] | None = None
    rows: torch.Tensor | None = None
    groups: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs) if self.inputs is not None else len(self.dataset)  # type: ignore[arg-type]

    def take(self, index: torch.Tensor) -> Part:
        """The samples at ``index`` (int64, any order) as a new part; tensors in memory only."""
        assert self.inputs is not None
        assert self.targets is not None
        return Part(
            self.inputs[index],
            self.targets[index],
            rows=None if self.rows is None else self.rows[index],
            groups=None if self.groups is None else self.groups[index],
        )


@dataclass(frozen=True)
class Parts:
    """A data set, split. ``notes`` are facts for provenance, such as how many samples each part has."""

    train: Part
    valid: Part
    spec: Spec
    test: Part | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    def with_train(self, train: Part) -> Parts:
        """The same with another training part."""
        return replace(self, train=train)


@dataclass
class Batch:
    """What tricks and the loss see of a step: ``inputs`` (N, …) float on the device, ``targets`` (N, …); ``true_targets`` stay as the data has them.

    In a stack of R seeds every tensor has a leading R axis; hooks are written for ``(..., N, …)`` so that both work.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    true_targets: torch.Tensor
    spec: Spec
