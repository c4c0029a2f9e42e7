"""Datasets for the engine: their splits, and the facts that networks, tricks and metrics need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from ablate.registry.constants import constant_like
from ablate.registry.lazy import torch
from ablate.trees import Tree, length, tree_map

if TYPE_CHECKING:
    from torch.utils.data import Dataset

Task = Literal["classification", "regression", "other"]


class Axis(NamedTuple):
    """Keypoints along x or y: a stored value v is at the pixel v·``scale`` + ``centre`` of an image whose pixels begin
    at ``first`` and have ``side`` in total.
    """

    centre: float
    scale: float
    side: int
    first: float

    @property
    def middle(self) -> float:
        """The middle of the image."""
        return self.first + self.side / 2


@dataclass(frozen=True)
class Keypoints:
    """Targets that are keypoints in an image: (x, y) pairs, flattened to (2·P,), each (pixel − ``centre``)/``scale``.

    ``pairs`` are the left and right keypoints (indices 0 … P−1) that swap when the image is flipped; None: unknown.
    ``frame`` is the image size in the pixels of the keypoints: 96 for the keypoint study, whatever size the network
    gets. ``first`` is the left and upper edge of the image: 0, or −0.5 if the middle of the first pixel is 0. A single
    number counts for both axes, two are those of x and y.
    """

    pairs: tuple[tuple[int, int], ...] | None
    names: tuple[str, ...]
    centre: float | tuple[float, float] = 48.0
    scale: float | tuple[float, float] = 48.0
    frame: int | tuple[int, int] = 96
    first: float = 0.0

    @property
    def axes(self) -> tuple[Axis, Axis]:
        """x and y."""
        centre, scale = both(self.centre), both(self.scale)
        frame = self.frame if isinstance(self.frame, tuple) else (self.frame, self.frame)
        return Axis(centre[0], scale[0], frame[0], self.first), Axis(centre[1], scale[1], frame[1], self.first)

    def pixels(self, points: torch.Tensor) -> torch.Tensor:
        """Stored keypoints (..., 2·P) in pixels; a new tensor."""
        x, y = self.axes
        return torch.stack(
            [points[..., 0::2] * x.scale + x.centre, points[..., 1::2] * y.scale + y.centre], dim=-1
        ).flatten(-2)


def check_channels_first(shape: tuple[int, ...], what: str) -> None:
    """Raise ValueError (one line) if samples look like images (H, W, C); ``what`` reads them as (C, H, W)."""
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or min(shape[:2]) <= 4:
        return
    if shape[0] == shape[1] or (shape[2] > 1 and min(shape[:2]) >= 32):
        raise ValueError(
            f"{what} requires images (C, H, W), but samples of shape {shape} look like (H, W, C). Move the channels to "
            "the front, such as by np.moveaxis(images, -1, 1)."
        )


def both(value: float | tuple[float, float]) -> tuple[float, float]:
    """A number for x and y."""
    return value if isinstance(value, tuple) else (value, value)


@dataclass(frozen=True)
class TargetScaling:
    """Targets stored as (value − ``shift``)/``scale``, with one number per output or one for all."""

    shift: tuple[float, ...]
    scale: tuple[float, ...]

    def scaled(self, values: torch.Tensor) -> torch.Tensor:
        """Values (..., outputs) in the original unit, normalized for the network; a new tensor."""
        return (values - constant_like(self.shift, values)) / constant_like(self.scale, values)

    def original(self, values: torch.Tensor) -> torch.Tensor:
        """Stored targets or predictions (..., outputs) in the original unit; a new tensor."""
        return values * constant_like(self.scale, values) + constant_like(self.shift, values)


@dataclass(frozen=True)
class Spec:
    """The facts of a dataset that do not depend on the values of its samples.

    ``input_shape`` is the shape of one sample, such as (1, 96, 96); ``outputs`` is the number of outputs of the
    network; ``classes`` are the names of the classes, if any. ``target_scaling`` converts targets to the original unit,
    in which metrics are computed; None: no scaling.

    ``places`` is the shape of the targets of one sample, such as (H, W) for masks or (T,) for the positions of a text;
    (): one class, or a row of numbers, per sample. Class targets are (n, *places), predictions (n, outputs, *places).
    ``vocabulary`` lists the tokens of integer inputs (n, T), counted from 0; (): inputs are not tokens.
    ``input_form`` and ``target_form`` are nests of the shapes of a sample; None: it is one tensor. ``input_shape`` is
    empty then.
    ``no_positions``: it is known that no target is a position in an image. ``input_names`` are those of the columns of
    a table.
    """

    input_shape: tuple[int, ...]
    outputs: int
    task: Task
    classes: tuple[str, ...] = ()
    keypoints: Keypoints | None = None
    target_names: tuple[str, ...] = ()
    target_scaling: TargetScaling | None = None
    places: tuple[int, ...] = ()
    vocabulary: tuple[str, ...] = ()
    no_positions: bool = False
    input_names: tuple[str, ...] = ()
    input_form: Tree | None = None
    target_form: Tree | None = None

    @property
    def form(self) -> Tree:
        """The shape of a sample's input, or a nest of shapes."""
        return torch.Size(self.input_shape) if self.input_form is None else self.input_form


@dataclass(frozen=True)
class Part:
    """One split (train, valid or test): tensors in memory, or any torch ``Dataset`` of (input, target). Inputs and
    targets of custom data may be nests.

    ``inputs`` (n, …) may be uint8; batches then have floats in [0, 1] on the device. ``targets`` (n, …) are floats
    (NaN: missing) or int64 class indices. ``rows`` are the samples' positions in the source, before the split;
    ``groups`` are their group indices, if the source has any.
    """

    inputs: Tree | None = None
    targets: Tree | None = None
    dataset: Dataset[tuple[torch.Tensor, torch.Tensor]] | None = None
    rows: torch.Tensor | None = None
    groups: torch.Tensor | None = None

    def __len__(self) -> int:
        return length(self.inputs) if self.inputs is not None else len(self.dataset)  # type: ignore[arg-type]

    @property
    def tensors(self) -> tuple[Tree, Tree]:
        """The inputs and targets of a split in memory."""
        assert self.inputs is not None
        assert self.targets is not None
        return self.inputs, self.targets

    def take(self, index: torch.Tensor) -> Part:
        """The samples at ``index`` (int64, any order) as a new split; for tensors in memory."""
        inputs, targets = self.tensors
        return Part(
            tree_map(lambda values: values[index], inputs),
            tree_map(lambda values: values[index], targets),
            rows=None if self.rows is None else self.rows[index],
            groups=None if self.groups is None else self.groups[index],
        )


@dataclass(frozen=True)
class Parts:
    """A dataset, split. ``notes`` are recorded with a run, such as the number of samples per split."""

    train: Part
    valid: Part
    spec: Spec
    test: Part | None = None
    notes: Mapping[str, object] = field(default_factory=dict)

    def copied(self) -> Parts:
        """The same data, with tensors that may be written to."""
        test = None if self.test is None else copied(self.test)
        return replace(self, train=copied(self.train), valid=copied(self.valid), test=test)

    def with_train(self, train: Part) -> Parts:
        """The same data with another training set."""
        return replace(self, train=train)


@dataclass
class Batch:
    """A batch of a step: ``inputs`` (N, …) float on the device, ``targets`` (N, …); ``true_targets`` are never changed
    by tricks.

    ``unsmoothed`` are the targets before label smoothing, if any. ``weight`` is the mean weight of a sample (0-d), if a
    trick weights the samples: the batch counts so much more in the mean over several batches. ``positions`` are those
    of the samples in the training set, int64 (N,), if a trick needs them; ``epoch`` counts from 1.

    Inputs and targets of custom data may be nests of such tensors (`ablate.trees`).

    In a stack of R seeds, every tensor has a leading R axis; hooks are written for ``(..., N, …)`` to support both.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    true_targets: torch.Tensor
    spec: Spec
    unsmoothed: torch.Tensor | None = None
    weight: torch.Tensor | None = None
    positions: torch.Tensor | None = None
    epoch: int = 1


Lent = TypeVar("Lent", Part, Batch)

KEPT = ("spec", "dataset", "epoch")
"""Fields of splits and batches that hold no tensors."""


def copied(lent: Lent) -> Lent:
    """A split or batch with tensors of its own."""
    return mapped(torch.clone, lent)


def mapped(function: Callable[[torch.Tensor], torch.Tensor], one: Lent, *others: Lent) -> Lent:
    """A split or batch whose tensors are those of a function, of the tensors of several at the same place."""
    names = [field.name for field in fields(one) if field.name not in KEPT]
    made = {name: tree_map(function, *(getattr(each, name) for each in (one, *others))) for name in names}
    return replace(one, **made)
