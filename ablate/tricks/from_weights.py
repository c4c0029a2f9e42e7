"""Start from trained weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PrivateAttr, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.notes.note import Note
from ablate.notes.old_sentences import read_note
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect, Trick, WeightsFile

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

FILES = (".pt", ".pth")
"""File name extensions of weights; any other source is the name of a variant."""

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Keys that contain a network's tensors in checkpoints of other programs."""

Patterns = str | tuple[str, ...]
"""One or several shell patterns for names such as ``conv1.weight``."""

SHOWN = 8
"""Number of names that a note lists."""


class _RowOrFile:
    """Converts text with such an extension to a path, relative to the folder of the recipe."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.resolve, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1}

    @staticmethod
    def resolve(value: Any, info: ValidationInfo) -> Path | str:
        if isinstance(value, Path):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError("must be the name of a variant, or the path of a file (.pt, .pth).")
        if not value.endswith(FILES):
            return value
        return Path((info.context or {}).get("folder", ".")).joinpath(os.path.expanduser(value)).absolute()


@register(
    "trick",
    "from_weights",
    card=Card(
        "Starts from the weights of another variant or a file.",
        source=(
            "Yosinski et al. 2014, How transferable are features in deep neural networks?; Nouri 2014 (specialists "
            "from net6)"
        ),
        helps="When samples are few and a network was trained on many samples of a similar task.",
        costs=(
            "The training of the source. Its training samples must not be in this variant's validation set; the job "
            "checks this."
        ),
        interacts=(
            "Often combined with freeze, or with small learning rates for the loaded layers (optimizer.groups). A "
            "large initial learning rate destroys what was learned. Replaces the weights of init."
        ),
    ),
)
class FromWeights(Trick):
    """Initializes every tensor of the network from the tensor in ``source`` with the same name and shape; all others
    are initialized by ``init``.

    A source variant is trained first; each seed (and fold) starts from the weights that the variant reports for the
    same seed (and fold). A file contains a PyTorch ``state_dict``, which all seeds start from. Running statistics of
    norms are loaded too; the optimizer starts fresh.
    """

    stacked = True
    shorthand = "source"
    order = 0
    examples = ({"source": "weights.pt"}, {"source": "weights.pt", "layers": ["hidden1.*"], "but": "*.bias"})

    source: Annotated[Path | str, _RowOrFile()] = Field(
        description="a variant of this recipe, or a file of weights (.pt, .pth)"
    )
    layers: Patterns = Field(default="*", description="names of the tensors to load, as shell patterns: conv*")
    but: Patterns = Field(default=(), description="exceptions: names of tensors not to load, such as output.*")

    _notes: list[Note] = PrivateAttr(default_factory=list)

    @property
    def source_rows(self) -> tuple[str, ...]:
        """The variants that must be trained first."""
        return () if isinstance(self.source, Path) else (self.source,)

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: TorchOptimizer) -> None:
        """Runs before the first epoch.

        Raises `NoEffect` if nothing matches, ValueError if the weights cannot be read.
        """
        if epoch:
            return
        states = [self._state(seed) for seed in self.context.seeds]
        lead = int(len(states) > 1)
        taken = matching({name: tensor.shape[lead:] for name, tensor in weights.items()}, states, self.layers, self.but)
        if not any(weights[name].is_floating_point() for name in taken):
            raise NoEffect(
                f"from_weights has no effect: none of the {len(states[0])} tensors of {shown(self.source)} "
                "matches a tensor of the network in name and shape."
            )
        with torch.no_grad():
            for name in taken:
                values = [state[name] for state in states]
                weights[name].copy_(torch.stack(values) if lead else values[0])
        left = [name for name in weights if name not in taken]
        found = {"source": shown(self.source), "taken": len(taken), "total": len(weights)}
        found |= {"left": left[:SHOWN], "more": max(len(left) - SHOWN, 0)}
        self._notes = [Note("initial_weights", values=found)]

    def notes(self) -> Sequence[Note]:
        return self._notes

    def state(self) -> dict[str, Any]:
        return {"notes": [note.dump() for note in self._notes]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._notes = list(map(read_note, state["notes"]))

    def _state(self, seed: int) -> dict[str, Tensor]:
        if isinstance(self.source, Path):
            return read_weights(self.source)
        try:
            return read_weights(self.context.weights[self.source, seed])
        except KeyError:
            raise ValueError(
                f"from_weights.source (={self.source}) must be a file (.pt, .pth), or a variant whose weights are "
                "stored."
            ) from None


def matching(
    shapes: Mapping[str, Sequence[int]], states: Sequence[Mapping[str, Tensor]], layers: Patterns, but: Patterns
) -> list[str]:
    """The names that all states have in these shapes, of those that match ``layers`` but not ``but``."""
    return [
        name
        for name, shape in shapes.items()
        if matches(name, layers)
        and not matches(name, but)
        and all(name in state and state[name].shape == tuple(shape) for state in states)
    ]


def matches(name: str, patterns: Patterns) -> bool:
    """Whether one of the patterns matches the name."""
    return any(fnmatchcase(name, pattern) for pattern in ((patterns,) if isinstance(patterns, str) else patterns))


def read_weights(path: WeightsFile) -> dict[str, Tensor]:
    """A network's tensors by name.

    Does not run code from the file. Raises ValueError (one line) if the file has other content.
    """
    try:
        with path.open("rb") as file:
            value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise ValueError(
            f"weights (={path}) cannot be read: {text}. Save them with torch.save(network.state_dict(), path)."
        ) from None
    for key in WRAPPED:
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    tensors = {name: t for name, t in value.items() if isinstance(t, torch.Tensor)} if isinstance(value, dict) else {}
    if not tensors:
        raise ValueError(
            f"weights (={path}) must be a dict of tensors by name. Save them with "
            "torch.save(network.state_dict(), path)."
        )
    return tensors


def shown(source: Path | str) -> str:
    """The name of a file, or of the variant."""
    return source.name if isinstance(source, Path) else source
