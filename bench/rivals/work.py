"""What all rivals get: a row's data, its network with a seed's initial values, its rates; and what they say when they
are done.

A rival is run as ``python -m bench.rivals.NAME '{"recipe": …, "rows": […], "seeds": […], "scale": …}'`` and prints one
line of JSON: seconds of each row and the last valid losses of its seeds. Imports are not timed; the first row's network
is trained for an epoch beforehand, so that all of torch is loaded.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

from ablate.data.dataset import Keypoints, Part
from ablate.data.load import load_parts
from ablate.engine.construction import initialise, make_tricks
from ablate.layers.dropout import NoisyDropout
from ablate.recipe import Recipe, Settings
from ablate.schedules import Schedule

Sample = tuple[Tensor, Tensor]
Training = Callable[["Work", int], float]
"""Train a seed of a row to its end; returns the valid loss after the last epoch."""


@dataclass
class Work:
    """One row of a recipe as a user would have it who writes the training by hand."""

    settings: Settings
    folder: Path
    train: Dataset[Sample]
    valid: Dataset[Sample]
    input_shape: tuple[int, ...]
    outputs: int
    device: str = "cpu"

    @classmethod
    def of(cls, settings: Settings, folder: Path, device: str = "cpu") -> Work:
        parts = load_parts(settings.data, folder)
        train: Dataset[Sample] = tensors(parts.train)
        for trick in settings.tricks:
            if trick.name == "shift":
                train = Shifted(train, trick.options.pixels)  # type: ignore[attr-defined]
            elif trick.name == "flip":
                assert parts.spec.keypoints is not None
                train = Flipped(train, parts.spec.keypoints)
            elif trick.name != "dropout":
                raise ValueError(f"trick (={trick.name}) is not written out for the rivals.")
        return cls(settings, folder, train, tensors(parts.valid), parts.spec.input_shape, parts.spec.outputs, device)

    @property
    def steps(self) -> int:
        return -(-len(self.train) // self.settings.batch_size)  # type: ignore[arg-type]

    @property
    def loss(self) -> nn.Module:
        return nn.CrossEntropyLoss() if self.settings.loss.name == "cross_entropy" else nn.MSELoss()

    def network(self, seed: int) -> nn.Module:
        """Plain torch layers with the values that our own training of this seed begins with."""
        settings = self.settings
        network: nn.Module = settings.model.options.build(self.input_shape, self.outputs)  # type: ignore[attr-defined]
        initialise(network, settings, seed, self.folder)
        if settings.trick("dropout") is not None:
            spec = load_parts(settings.data, self.folder).spec
            tricks, _ = make_tricks(settings, spec, self.folder)
            for trick in tricks:
                if type(trick).__name__ == "Dropout":
                    network, _ = trick.on_model(network)
            for parent in list(network.modules()):
                for name, layer in list(parent.named_children()):
                    if isinstance(layer, NoisyDropout):
                        setattr(parent, name, nn.Dropout(layer.p))
        return network

    def optimizer(self, parameters: object) -> torch.optim.Optimizer:
        """torch's SGD as the row has it, with the rates of the first epoch."""
        named = self.settings.optimizer.options
        decay: float = getattr(named, "weight_decay", 0.0)
        return torch.optim.SGD(parameters, **self.rates(1), nesterov=named.nesterov, weight_decay=decay)  # type: ignore[arg-type, attr-defined]

    def rates(self, epoch: int) -> dict[str, float]:
        """``lr`` and ``momentum`` of an epoch, counted from 1."""
        named, epochs = self.settings.optimizer.options, self.settings.epochs
        values = {name: getattr(named, name) for name in ("lr", "momentum")}
        return {
            name: value.at_step((epoch - 1) * self.steps, epochs, self.steps) if isinstance(value, Schedule) else value
            for name, value in values.items()
        }

    @property
    def scheduled(self) -> bool:
        return self.rates(1) != self.rates(self.settings.epochs)


class Shifted(Dataset[Sample]):
    """Pictures moved by a few pixels, sample by sample, as torchvision's RandomCrop with padding does it."""

    def __init__(self, source: Dataset[Sample], pixels: int) -> None:
        self.source, self.pixels = source, pixels

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        x, y = self.source[index]
        height, width = x.shape[-2:]
        top, left = torch.randint(0, 2 * self.pixels + 1, (2,)).tolist()
        padded = F.pad(x[None], (self.pixels,) * 4, mode="replicate")[0]
        return padded[:, top : top + height, left : left + width], y


class Flipped(Dataset[Sample]):
    """Pictures mirrored with a chance of one half, left and right points swapped, sample by sample."""

    def __init__(self, source: Dataset[Sample], marks: Keypoints) -> None:
        self.source = source
        order = list(range(len(marks.names)))
        for a, b in marks.pairs:
            order[a], order[b] = b, a
        self.columns = torch.tensor([2 * point + axis for point in order for axis in (0, 1)])

    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Sample:
        x, y = self.source[index]
        if torch.rand(()) < 0.5:
            y = y[self.columns]
            y[0::2] *= -1
            x = x.flip(-1)
        return x, y


def tensors(part: Part) -> TensorDataset:
    assert part.inputs is not None
    assert part.targets is not None
    inputs = part.inputs.float() / 255 if part.inputs.dtype == torch.uint8 else part.inputs
    return TensorDataset(inputs, part.targets)


@dataclass
class Ask:
    """What a rival is told to train. ``groups``: sets of rows that are to be timed each by itself."""

    recipe: str
    rows: list[str]
    seeds: list[int]
    scale: float
    device: str = "cpu"
    jobs_per_gpu: int = 1
    sets: list[str] = field(default_factory=list)
    groups: list[list[str]] = field(default_factory=list)

    def load(self, rows: list[str] | None = None) -> Recipe:
        return Recipe.load(self.recipe, only=rows or self.rows, seeds=self.seeds, scale=self.scale, sets=self.sets)


def asked() -> Ask:
    """What stands on the command line, as JSON."""
    return Ask(**json.loads(sys.argv[1]))


def compete(training: Training) -> None:
    """Train what was asked for, one run after another, and say what came of it."""
    ask = asked()
    recipe = ask.load()
    works = {variant.name: Work.of(variant.settings, recipe.folder, ask.device) for variant in recipe.variants}
    first = copy.copy(next(iter(works.values())))
    first.settings = first.settings.replace(epochs=1)
    training(first, 0)
    seconds, losses = {}, {}
    for name, work in works.items():
        began = time.perf_counter()
        losses[name] = [training(work, seed) for seed in ask.seeds]
        seconds[name] = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "losses": losses, "threads": torch.get_num_threads()}))
