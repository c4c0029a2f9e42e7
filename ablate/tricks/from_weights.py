"""Start from trained weights."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PrivateAttr, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.notes.note import Note
from ablate.notes.old_sentences import read_note
from ablate.printable import shortened, visible
from ablate.registry import Card, register
from ablate.registry.lazy import torch
from ablate.tricks.trick import NoEffect, Trick, WeightsFile

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer

FILES = (".pt", ".pth", ".ckpt", ".safetensors")
"""File name extensions of weights; any other source is the name of a variant."""

WRAPPED = ("state_dict", "model_state_dict", "model", "module", "network", "net", "params")
AVERAGED = ("state_dict_ema", "model_ema", "ema", "params_ema")
"""Keys that contain a network's tensors in checkpoints of other programs; averages are used if there are no others."""

Patterns = str | tuple[str, ...]
"""One or several shell patterns for names such as ``conv1.weight``."""

SHOWN = 8
"""Number of names that a note lists."""

NEAR = 3
"""Number of names of a file that an error lists."""


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
            raise ValueError(f"must be the name of a variant, or the path of a file ({', '.join(FILES)}).")
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
    same seed (and fold). A file contains a PyTorch ``state_dict``, which all seeds start from, also in a checkpoint of
    another program, and with a prefix such as ``model.`` before all names. Running statistics of norms are loaded too;
    the optimizer starts fresh.
    """

    stacked = True
    shorthand = "source"
    order = 0
    examples = ({"source": "weights.pt"}, {"source": "weights.pt", "layers": ["hidden1.*"], "but": "*.bias"})

    source: Annotated[Path | str, _RowOrFile()] = Field(
        description="a variant of this recipe, or a file of weights (.pt, .pth, .ckpt, .safetensors)"
    )
    layers: Patterns = Field(default="*", description="names of the tensors to load, as shell patterns: conv*")
    but: Patterns = Field(default=(), description="exceptions: names of tensors not to load, such as output.*")

    key: str | None = Field(
        default=None, description="the key of the weights in the file, such as ema; null: found by its name"
    )

    _notes: list[Note] = PrivateAttr(default_factory=list)

    @model_validator(mode="after")
    def key_of_a_file(self) -> Self:
        """Raises ValueError if there is a key, but no file."""
        if self.key is not None and not isinstance(self.source, Path):
            raise ValueError(f"key (={self.key}) requires a file ({', '.join(FILES)}). Remove it.")
        return self

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
        shapes = {name: tensor.shape[lead:] for name, tensor in weights.items()}
        if isinstance(self.source, Path):
            states = [without_prefix(states[0], shapes)] * len(states)
        taken = matching(shapes, states, self.layers, self.but)
        if not any(weights[name].is_floating_point() for name in taken):
            wanted = [name for name in shapes if matches(name, self.layers) and not matches(name, self.but)]
            raise NoEffect(
                f"from_weights has no effect: none of the {len(states[0])} tensors of {shown(self.source)} "
                f"matches a tensor of the network in name and shape. {nearest(states[0], shapes, wanted)}"
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
            return read_weights(self.source, self.key)
        try:
            return read_weights(self.context.weights[self.source, seed])
        except KeyError:
            raise ValueError(
                f"from_weights.source (={self.source}) must be a file ({', '.join(FILES)}), or a variant whose weights "
                "are stored."
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


def without_prefix(state: dict[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors below the prefix, such as ``model.``, that lets most of them match; usually all, without any."""
    found: Counter[str] = Counter({"": 0})
    for name, tensor in state.items():
        parts = name.split(".")
        for i in range(len(parts)):
            if shapes.get(".".join(parts[i:])) == tensor.shape:
                found["".join(f"{part}." for part in parts[:i])] += 1
    prefix = max(found, key=lambda prefix: (found[prefix], -len(prefix)))
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def nearest(state: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], wanted: Sequence[str]) -> str:
    """Sentences about the names of a file that are most like those of the network."""
    if not wanted:
        return f"No tensor of the network matches from_weights.layers. It has {listed(shapes)}."
    name = wanted[0]
    near = get_close_matches(name, state, n=NEAR, cutoff=0.3) or list(state)[:NEAR]
    return f"The network has {listed({name: shapes[name]})}; the file has {listed({n: state[n].shape for n in near})}."


def listed(shapes: Mapping[str, Sequence[int]]) -> str:
    """Some names with their shapes."""
    return visible(", ".join(f"{shortened(name)} {tuple(shape)}" for name, shape in islice(shapes.items(), NEAR)))


def read_weights(path: WeightsFile, key: str | None = None) -> dict[str, Tensor]:
    """A network's tensors by name, below a key of the file or the first that `WRAPPED` and `AVERAGED` list.

    Does not run code from the file. Raises ValueError (one line) if the file has other content.
    """
    value: Any
    try:
        with path.open("rb") as file:
            if str(path).endswith(".safetensors"):
                value = read_safetensors(file.read())
            else:
                value = torch.load(file, map_location="cpu", weights_only=True)
    except ModuleNotFoundError:
        raise ValueError(
            f"weights (={path}) require safetensors. Install it with: pip install 'ablate-runner[safetensors]'"
        ) from None
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise ValueError(
            f"weights (={path}) cannot be read: {text}. Save them with torch.save(network.state_dict(), path)."
        ) from None
    if key is not None:
        if not isinstance(value, dict) or not isinstance(value.get(key), dict):
            keys = [name for name in value if isinstance(value[name], dict)] if isinstance(value, dict) else []
            raise ValueError(f"from_weights.key (={key}) must be a key of weights in {path}. Available: {names(keys)}.")
        value = value[key]
    while isinstance(value, dict) and (inner := [k for k in (*WRAPPED, *AVERAGED) if isinstance(value.get(k), dict)]):
        value = value[inner[0]]
    tensors = {name: t for name, t in value.items() if isinstance(t, torch.Tensor)} if isinstance(value, dict) else {}
    if not tensors:
        has = f", but have the keys {names(value)}" if isinstance(value, dict) else ""
        raise ValueError(
            f"weights (={path}) must be a dict of tensors by name{has}. Save them with "
            "torch.save(network.state_dict(), path), or set from_weights.key."
        )
    return tensors


def names(keys: Iterable[object]) -> str:
    """The first keys of a file."""
    return visible(", ".join(map(shortened, islice(keys, SHOWN)))) or "none"


def read_safetensors(content: bytes) -> dict[str, Tensor]:
    """The tensors of a file of that format."""
    from safetensors.torch import load

    return load(content)


def shown(source: Path | str) -> str:
    """The name of a file, or of the variant."""
    return source.name if isinstance(source, Path) else source
