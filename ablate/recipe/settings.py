"""The full tree of training settings of one variant, frozen."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ablate.registry import Entry, Named, lookup
from ablate.registry.fields import EpochCount


@dataclass(frozen=True)
class Choice:
    """One thing that a recipe names: an entry of the registry, or the user's own by ``target``.

    ``options`` holds the entry's validated settings; for a target it is the mapping of plain values that the recipe gives, checked in the job only.
    """

    kind: str
    name: str | None
    target: str | None
    options: Named | Mapping[str, Any]

    @property
    def label(self) -> str:
        """What to call it in text: its name, or the target's attribute."""
        return self.name or str(self.target).rpartition(":")[2]

    @property
    def entry(self) -> Entry | None:
        """The registry's entry, None for a target."""
        return lookup(self.kind, self.name) if self.name is not None else None

    @property
    def named(self) -> Named:
        """The entry's settings, which carry the methods of its kind. Raises TypeError for a target."""
        if not isinstance(self.options, Named):
            raise TypeError(f"{self.kind} (={self.target}) is a target: import it with resolve().")
        return self.options

    def resolve(self, folder: Path | None) -> Any:
        """Import the target's attribute, with the recipe's ``folder`` appended to the module path. Jobs only: this runs user code.

        Raises ValueError with one line when the module or the attribute is not there.
        """
        module_name, _, attribute = str(self.target).partition(":")
        if folder is not None and str(folder) not in sys.path:
            sys.path.append(str(folder))
        try:
            value: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and module_name.startswith(error.name):
                raise ValueError(
                    f"{self.kind}.target (={self.target}) names a module that is neither installed nor beside the recipe."
                ) from None
            raise
        for part in attribute.split("."):
            if not hasattr(value, part):
                raise ValueError(f"{self.kind}.target (={self.target}) has no attribute '{part}' in {module_name}.")
            value = getattr(value, part)
        return value

    def dump(self) -> dict[str, Any]:
        """``{name: …, **settings}`` or ``{target: …, **arguments}`` in plain JSON values, every default written out."""
        options = self.options.dump() if isinstance(self.options, Named) else dict(self.options)
        return {"name": self.name, **options} if self.name is not None else {"target": self.target, **options}


class Monitor(BaseModel):
    """Which number says that one epoch is better than another (for ``select: best``, early stopping and the best weights)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"


class Checkpoint(BaseModel):
    """How often a training's state is kept to go on from. A time also waits for 2 % of the time so far, so that keeping never costs more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: str = Field(default="30s", description="a time (30s, 5min, 1h) or a number of epochs (1 epoch, 10 epochs)")

    PARTS: ClassVar = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h)|([1-9]\d*) ?epochs?")

    @field_validator("every")
    @classmethod
    def _in_a_unit(cls, value: str) -> str:
        if cls.PARTS.fullmatch(value) is None:
            raise ValueError("must be a time or a number of epochs, such as 30s, 5min, 1h or 1 epoch.")
        return value

    @property
    def seconds(self) -> float | None:
        """The shortest time between two checkpoints, None where epochs are counted."""
        number, unit, _ = self.PARTS.fullmatch(self.every).groups()  # type: ignore[union-attr]
        return float(number) * {"s": 1, "min": 60, "h": 3600}[unit] if number else None

    @property
    def epochs(self) -> int | None:
        """Epochs from one checkpoint to the next, None where time is measured."""
        count = self.PARTS.fullmatch(self.every)[3]  # type: ignore[index]
        return int(count) if count else None


class Training(BaseModel):
    """The settings that are plain values; the things that a recipe names stand beside them in `Settings`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), validate_default=True
    )

    batch_size: int = Field(default=64, ge=1, description="samples per step; the last, smaller batch is kept")
    epochs: EpochCount = Field(default=10, description="times through the training part")
    shuffle: bool = Field(default=True, description="a new order every epoch, fixed per seed")
    select: Literal["last", "best"] = Field(default="last", description="which epoch the row reports")
    monitor: Monitor = Field(default=Monitor(), description="what 'best' means")
    clean_train_loss: Literal["ends", "every"] = Field(
        default="ends",
        description="measure the train loss in evaluation mode at the reported and last epoch, or at every epoch (costs 13-18 %)",
    )
    precision: Literal["tf32", "float32", "bf16", "float64"] = Field(
        default="tf32",
        description="tf32: float32 with TensorFloat-32 products where the GPU has them; the same as float32 on CPU",
    )
    loader: Literal["auto", "resident", "streamed"] = Field(
        default="auto", description="data on the device, or streamed in batches; auto: what fits"
    )
    workers: int = Field(default=0, ge=0, description="processes that load streamed data")
    stack: Literal["auto", "off"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="how many seeds of a variant train together as one stack; auto: as many as pay on the device at hand; off: one by one",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile networks whose seeds train alone; begins slowly, pays on a GPU and in long trainings",
    )
    checkpoint: Checkpoint = Field(default=Checkpoint(), description="how often the state is kept to go on from")


class Settings(Training):
    """Everything that decides what one variant's training computes, seeds apart.

    Fields listed in ``INCIDENTAL`` change how fast or how safely it is computed, or what is told of it, never what: they are no part of a fingerprint.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    data: Choice
    model: Choice
    init: Choice
    loss: Choice
    optimizer: Choice
    metrics: tuple[Choice, ...] = ()
    watch: tuple[Choice, ...] = ()
    tricks: tuple[Choice, ...] = ()
    joined: tuple[str, ...] = Field(
        default=(), description="the rows whose predictions together are this row's, which trains nothing itself"
    )
    sources: Mapping[str, Settings] = Field(
        default={}, description="the settings of all rows that this one is built upon, by name; not dumped"
    )

    CHOICES: ClassVar = ("data", "model", "init", "loss", "optimizer")
    LISTS: ClassVar = {"metrics": "metric", "watch": "watch", "tricks": "trick"}
    DECIDING: ClassVar = ("metrics", "tricks")
    """Those of the lists that are part of a fingerprint."""
    INCIDENTAL: ClassVar = frozenset(
        {"loader", "workers", "clean_train_loss", "checkpoint", "stack", "compile", "watch"}
    )

    def dump(self) -> dict[str, Any]:
        """The whole tree in plain JSON values."""
        tree: dict[str, Any] = {key: getattr(self, key).dump() for key in self.CHOICES}
        for key in self.LISTS:
            tree[key] = [choice.dump() for choice in getattr(self, key)]
        plain = self.model_dump(mode="json", exclude={*self.CHOICES, *self.LISTS, "joined", "sources"})
        if self.joined:
            plain["joined"] = list(self.joined)
        return tree | plain

    def replace(self, **fields: Any) -> Settings:
        """A copy with some top-level fields replaced."""
        return self.model_copy(update=fields)

    @property
    def source_rows(self) -> tuple[str, ...]:
        """The rows that must have been trained before this one: those that it joins, or that a trick takes weights from."""
        named = (row for choice in self.tricks for row in getattr(choice.options, "source_rows", ()))
        return tuple(dict.fromkeys((*self.joined, *named)))

    def trick(self, name: str) -> Choice | None:
        """The trick of that name, or None."""
        return next((choice for choice in self.tricks if choice.name == name), None)
