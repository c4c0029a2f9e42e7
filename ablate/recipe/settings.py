"""All training settings of one variant, frozen, and the differences between those of two variants."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ablate.recipe.intervals import Checkpoint, Evaluate
from ablate.recipe.targets import search_also
from ablate.registry import Entry, Named, inside, lookup
from ablate.registry.fields import EpochCount, StepCount
from ablate.schedules import Schedule

Base = TypeVar("Base", bound=Named)


@dataclass(frozen=True)
class Choice:
    """An entry of the registry, or the user's own code as a ``target``, with its settings.

    ``options`` are the entry's validated settings, or a target's arguments as plain values, checked only in the job.
    Those of an optimizer may also be schedules.
    """

    kind: str
    name: str | None
    target: str | None
    options: Named | Mapping[str, Any]

    @property
    def label(self) -> str:
        """The name for display: the entry's name, or the target's attribute. Empty if absent."""
        return self.name or (self.target or "").rpartition(":")[2]

    @property
    def absent(self) -> bool:
        """Whether there is no choice, because the variant's trainer does not use this section."""
        return self.name is None and self.target is None

    @property
    def all(self) -> tuple[Choice, ...]:
        """This choice, and those within its settings."""
        return tuple(value for _, value in inside(self) if isinstance(value, Choice))

    @property
    def entry(self) -> Entry | None:
        """The registry's entry, None for a target."""
        return lookup(self.kind, self.name) if self.name is not None else None

    def built_in(self, base: type[Base]) -> Base:
        """The entry's settings, which have the methods of its kind's ``base``. Raises TypeError for a target."""
        if not isinstance(self.options, base):
            raise TypeError(f"{self.kind} (={self.label}) must be a built-in {self.kind}.")
        return self.options

    def resolve(self, folder: Path | None) -> Any:
        """Import the target's attribute, with the recipe's ``folder`` appended to the module path.

        Runs the user's code, so call it only in jobs. Raises ValueError if the module or the attribute does not exist.
        """
        module_name, _, attribute = str(self.target).partition(":")
        search_also(folder)
        try:
            value: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and module_name.startswith(error.name):
                where = "is neither installed nor in the recipe's folder"
                raise ValueError(f"{self.kind}.target (={self.target}): Module '{module_name}' {where}.") from None
            raise
        for part in attribute.split("."):
            if not hasattr(value, part):
                where = f"Module '{module_name}' has no attribute '{part}'"
                raise ValueError(f"{self.kind}.target (={self.target}): {where}.")
            value = getattr(value, part)
        return value

    def dump(self) -> dict[str, Any]:
        """``{name: …, **settings}`` or ``{target: …, **arguments}`` as plain JSON values, defaults included; empty if
        absent.
        """
        if self.absent:
            return {}
        options = self.options.dump() if isinstance(self.options, Named) else _plain(self.options)
        return {"name": self.name, **options} if self.name is not None else {"target": self.target, **options}


class Reported(Named):
    """A metric that the user's own training reports: only its name and its direction are known."""

    better: Literal["lower", "higher"] | None = None


class Monitor(BaseModel):
    """The loss or metric by which epochs are compared (for ``select: best``, early stopping and the best weights)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str = "valid_loss"
    better: Literal["lower", "higher"] = "lower"


Place = str | Annotated[int, Field(ge=0)]


class BatchForm(BaseModel):
    """What of a sample the network and the loss get, and what of the network's return value is its prediction.

    A path is a key, an index or an attribute, or several of them, joined by dots.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: Place | tuple[Place, ...] | None = Field(
        default=None, description="path of the inputs in a sample; a list: several, as a dict, or as a tuple of indices"
    )
    targets: Place | tuple[Place, ...] | None = Field(default=None, description="path of the targets in a sample")
    collate: Mapping[str, Any] | None = Field(
        default=None, description="function that makes a batch of a list of samples: {target: module:function}"
    )
    per_epoch: int | None = Field(
        default=None, ge=1, description="number of batches that an epoch takes from an IterableDataset"
    )
    call: Literal["one", "unpack"] = Field(
        default="one", description="how the network is called: network(inputs), or network(*inputs) or (**inputs)"
    )
    output: Place | None = Field(default=None, description="path of the predictions in what the network returns")

    @field_validator("collate")
    @classmethod
    def _names_code(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if value is not None and not isinstance(value.get("target"), str):
            raise ValueError("must have the form {target: module:function}.")
        return value

    @property
    def collate_choice(self) -> Choice | None:
        """The function of ``collate`` with its arguments."""
        if self.collate is None:
            return None
        arguments = {name: value for name, value in self.collate.items() if name != "target"}
        return Choice("batch.collate", None, self.collate["target"], arguments)


class Training(BaseModel):
    """The settings that are plain values; `Settings` adds data, model, loss and other entries."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=(), validate_default=True
    )

    batch_size: int = Field(default=64, ge=1, description="number of samples per step; a smaller last batch is kept")
    epochs: EpochCount = Field(
        default=10, description="number of passes over the training set; 9.9: the last one is cut short"
    )
    steps: StepCount | None = Field(default=None, description="instead of epochs: number of optimizer steps")
    shuffle: bool = Field(
        default=True, description="shuffle the training set every epoch; the order depends on the seed only"
    )
    select: Literal["last", "best"] = Field(default="last", description="the epoch to report")
    monitor: Monitor = Field(default=Monitor(), description="the loss or metric that defines the best epoch")
    clean_train_loss: Literal["ends", "every"] = Field(
        default="ends",
        description="compute the training loss in evaluation mode for the reported epoch (ends), or every epoch "
        "(takes 13-18 % longer)",
    )
    precision: Literal["tf32", "float32", "bf16", "fp16", "float64"] = Field(
        default="tf32",
        description="tf32: float32 with TensorFloat-32 matrix products if the GPU has them; float32 on CPU. "
        "bf16 and fp16: mixed precision, in fp16 with loss scaling",
    )
    loader: Literal["auto", "resident", "streamed"] = Field(
        default="auto",
        description="resident: data in device memory; streamed: loaded in batches; auto: resident if it fits",
    )
    workers: int = Field(default=0, ge=0, description="number of processes that load streamed data")
    stack: Literal["auto", "off"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="number of seeds trained in parallel on one device; auto: as many as make it faster; off: 1",
    )
    compile: bool = Field(
        default=False,
        description="use torch.compile and train seeds one by one; slow to start, faster in long GPU trainings",
    )
    checkpoint: Checkpoint = Field(default=Checkpoint(), description="how often a checkpoint is saved")
    evaluate: Evaluate = Field(
        default=Evaluate(), description="when the validation loss and metrics are computed within an epoch"
    )
    batch: BatchForm = Field(
        default=BatchForm(), description="the parts of samples and predictions that are nests of tensors"
    )


class Settings(Training):
    """All settings of one variant's training, without the seed.

    The fields in ``INCIDENTAL`` affect speed, checkpoints and what is recorded, but not the result, and are not part of
    the fingerprint.

    ``epochs`` is 0 if it is unknown: with ``steps``, and if the user's own training does not say it.

    ``trainer`` trains the variant. Sections that it does not use are absent choices, and are not dumped; ``args`` are
    the arguments of the user's own training.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    trainer: Choice = Field(default_factory=lambda: trainer_choice("loop"))
    args: Mapping[str, Any] = {}
    data: Choice
    model: Choice
    init: Choice
    loss: Choice
    optimizer: Choice
    metrics: tuple[Choice, ...] = ()
    watch: tuple[Choice, ...] = ()
    tricks: tuple[Choice, ...] = ()
    sources: Mapping[str, Settings] = Field(
        default={}, description="the settings of all variants that this one requires, by name; not dumped"
    )

    CHOICES: ClassVar = ("data", "model", "init", "loss", "optimizer")
    LISTS: ClassVar = {"metrics": "metric", "watch": "watch", "tricks": "trick"}
    DECIDING: ClassVar = ("metrics", "tricks")
    """The lists that are part of the fingerprint."""
    INCIDENTAL: ClassVar = frozenset(
        {"loader", "workers", "clean_train_loss", "checkpoint", "stack", "compile", "watch"}
    )

    def length(self, steps_per_epoch: int) -> float:
        """The number of epochs, up to a whole step: an int, unless the last epoch is cut short."""
        total = self.steps or max(round(self.epochs * steps_per_epoch), 1)
        return total / steps_per_epoch if total % steps_per_epoch else total // steps_per_epoch

    @property
    def planned_epochs(self) -> int:
        """The number of epochs, the last of which may be cut short; 0 if unknown: in the user's own training, and with
        ``steps``.
        """
        return math.ceil(self.epochs)

    @property
    def joined(self) -> tuple[str, ...]:
        """The variants whose predictions this variant combines, if that is all it does."""
        return tuple(getattr(self.trainer.options, "members", ()))

    @property
    def sections(self) -> tuple[str, ...]:
        """The names of the sections of this variant that choose an entry or custom code."""
        return tuple(key for key in self.CHOICES if not getattr(self, key).absent)

    def dump(self) -> dict[str, Any]:
        """All settings as plain JSON values. The built-in loop is not mentioned."""
        tree: dict[str, Any] = {key: getattr(self, key).dump() for key in self.sections}
        known = getattr(self.trainer.options, "settings", None)
        if known is None:
            lists, plain = tuple(self.LISTS), tuple(Training.model_fields)
        else:
            tree |= {"trainer": self.trainer.dump(), "args": dict(self.args)}
            lists, plain = ("metrics",), known
        for key in lists:
            tree[key] = [choice.dump() for choice in getattr(self, key)]
        tree |= self.model_dump(mode="json", include={key for key in plain if key != "epochs" or self.epochs})
        for key in ("batch", "evaluate"):
            if getattr(self, key) == Training.model_fields[key].default:
                tree.pop(key, None)
        for key, owner in (("steps", tree), ("per_epoch", tree.get("batch", {}))):
            if owner.get(key) is None:  # so that the dumps of older recipes do not change
                owner.pop(key, None)
        if self.joined:
            tree["joined"] = list(self.joined)
        return tree

    def custom(self, *names: str) -> bool:
        """Whether any of these settings (``model``, ``tricks`` …) is custom code: has a target."""
        values = [getattr(self, name) for name in names]
        choices = [choice for value in values for choice in (value if isinstance(value, tuple) else (value,))]
        return any(one.target for choice in choices for one in choice.all)

    def replace(self, **fields: Any) -> Settings:
        """A copy with some top-level fields replaced."""
        return self.model_copy(update=fields)

    @property
    def source_rows(self) -> tuple[str, ...]:
        """The variants to train before this one: those in ``joined``, and those whose weights a trick loads."""
        named = (row for choice in self.tricks for row in getattr(choice.options, "source_rows", ()))
        return tuple(dict.fromkeys((*self.joined, *named)))

    def trick(self, name: str) -> Choice | None:
        """The trick with this name, or None."""
        return next((choice for choice in self.tricks if choice.name == name), None)


def differences(a: Settings, b: Settings) -> list[tuple[str, Any, Any]]:
    """(dotted path, value in ``a``, value in ``b``) of every setting that differs, those in ``a`` first.

    Values are plain, None if a setting is missing. A trick or metric that only one of the two has is one entry, such as
    ``tricks.flip``.
    """
    left, right = _tree(a), _tree(b)
    found: list[tuple[str, Any, Any]] = []
    for path in dict.fromkeys((*left, *right)):
        one, other = left.get(path), right.get(path)
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            for key in dict.fromkeys((*one, *other)):
                if one.get(key) != other.get(key):
                    found.append((f"{path}.{key}", one.get(key), other.get(key)))
        else:
            found.append((path, one, other))
    return found


def trainer_choice(name: str, **options: Any) -> Choice:
    """A built-in trainer with its settings."""
    return Choice("trainer", name, None, lookup("trainer", name).settings(**options))


def groups_of_target(options: Any) -> list[Mapping[str, Any]]:
    """The parameter groups of a custom optimizer: under ``groups``, mappings with ``match``. Any other value under
    this name is an argument of its own.
    """
    groups = options.get("groups") if isinstance(options, Mapping) else None
    found = isinstance(groups, list) and all(isinstance(one, Mapping) and "match" in one for one in groups)
    return groups if found and groups is not None else []


def _plain(value: Any) -> Any:
    """A target's arguments without schedules."""
    if isinstance(value, Schedule):
        return value.dump()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _tree(settings: Settings) -> dict[str, Any]:
    """The dump with tricks and metrics keyed by name or target instead of by index."""
    tree = settings.dump()
    for key in settings.LISTS:
        for choice, plain in zip(getattr(settings, key), tree.pop(key, ()), strict=True):
            tree[f"{key}.{choice.name or choice.target}"] = {
                name: value for name, value in plain.items() if name != "name"
            }
    return tree
