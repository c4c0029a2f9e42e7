"""Begin with weights that another training has found."""

from __future__ import annotations

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
from ablate.tricks.trick import NoEffect, Trick

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

FILES = (".pt", ".pth")
"""What the names of files of weights end in; anything else is a row."""

WRAPPED = ("state_dict", "model_state_dict", "model")
"""Keys below which other programs' checkpoints keep a network's tensors."""

Patterns = str | tuple[str, ...]
"""One shell pattern over names such as ``conv1.weight``, or several."""

SHOWN = 8
"""Names that a note lists before it only counts."""


class _RowOrFile:
    """Text that ends as files of weights do becomes a path, resolved against the folder that it was written in."""

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
            raise ValueError("must be the name of a row, or the path of a file (.pt, .pth).")
        if not value.endswith(FILES):
            return value
        return Path((info.context or {}).get("folder", ".")).joinpath(Path(value).expanduser()).absolute()


@register(
    "trick",
    "from_weights",
    card=Card(
        "Starts from the weights of another row, or of a file.",
        source="Yosinski et al. 2014, How transferable are features in deep neural networks?; Nouri 2014 (specialists from net6)",
        helps="Few samples, and a network that has learned something like it from many.",
        costs="The other training. What it saw in its training part must not stand in this one's validation part: the job looks.",
        interacts="With freeze, or small rates below (optimizer.groups); a schedule's high first rates undo what was learned. Replaces what init drew.",
    ),
)
class FromWeights(Trick):
    """Every tensor of the network whose name and shape are those of one in ``source`` begins with its values; all others as the row's ``init`` has them.

    A row is trained first, and each seed (and fold) begins with the weights that this row reports for the same seed (and fold). A file, of a PyTorch
    ``state_dict``, is the same beginning for all seeds. Norms' running statistics go along; the optimizer begins anew.
    """

    stacked = True
    shorthand = "source"
    order = 0

    source: Annotated[Path | str, _RowOrFile()] = Field(
        description="a row of this recipe, or a file of weights (.pt, .pth)"
    )
    layers: Patterns = Field(default="*", description="names of the tensors to take over, as shell patterns: conv*")
    but: Patterns = Field(default=(), description="names that stay as init has them, such as output.*")

    _notes: list[Note] = PrivateAttr(default_factory=list)

    @property
    def source_rows(self) -> tuple[str, ...]:
        """The rows that must be trained before."""
        return () if isinstance(self.source, Path) else (self.source,)

    def between_epochs(self, epoch: int, weights: Mapping[str, Tensor], optimizer: TorchOptimizer) -> None:
        """Before the first epoch. Raises `NoEffect` where nothing matches, ValueError where the weights cannot be read."""
        if epoch:
            return
        states = [self._state(seed) for seed in self.context.seeds]
        lead = int(len(states) > 1)
        taken = matching({name: tensor.shape[lead:] for name, tensor in weights.items()}, states, self.layers, self.but)
        if not any(weights[name].is_floating_point() for name in taken):
            raise NoEffect(
                f"from_weights changes nothing: none of the {len(states[0])} tensors of {shown(self.source)} has the name and the shape of one here."
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
                f"from_weights.source (={self.source}) is no file (.pt, .pth), and no row whose weights are at hand."
            ) from None


def matching(
    shapes: Mapping[str, Sequence[int]], states: Sequence[Mapping[str, Tensor]], layers: Patterns, but: Patterns
) -> list[str]:
    """The names that all states have in these shapes, of those that ``layers`` match and ``but`` does not."""
    return [
        name
        for name, shape in shapes.items()
        if matches(name, layers)
        and not matches(name, but)
        and all(name in state and state[name].shape == tuple(shape) for state in states)
    ]


def matches(name: str, patterns: Patterns) -> bool:
    """Whether one of the patterns is of this name."""
    return any(fnmatchcase(name, pattern) for pattern in ((patterns,) if isinstance(patterns, str) else patterns))


def read_weights(path: Path) -> dict[str, Tensor]:
    """A network's tensors by name. Raises ValueError in one line for a file that holds anything else; runs no code from it."""
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
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
            f"weights (={path}) hold no tensors by name. Save them with torch.save(network.state_dict(), path)."
        )
    return tensors


def shown(source: Path | str) -> str:
    """A file's name, or the row's."""
    return source.name if isinstance(source, Path) else source
