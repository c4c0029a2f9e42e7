"""The contract of a data set that recipes name, and the split that all of them share."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, PrivateAttr, model_validator

from ablate.data.dataset import Part, Parts, Spec
from ablate.data.folds import Fold, fold_of
from ablate.data.split import drawn, split
from ablate.registry import Named
from ablate.registry.fields import Range
from ablate.registry.lazy import torch


class Data(Named):
    """Base of all data sets. The split depends on the data, ``split_seed`` and these fields only, never on a run's seed."""

    missing_hint: ClassVar[str] = "Paths are relative to the recipe's folder."
    """The way out that the error for a path that does not exist ends with."""

    group_names: ClassVar[tuple[str, ...] | None] = None
    """What ``group`` may be: (): the data have no groups; None: whatever the file has, which only reading it tells."""

    needs_file: ClassVar[bool] = False
    """Whether ``path`` cannot be a folder."""

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.2, description="share of the samples (or groups) kept for validation"
    )
    test: Annotated[float, Range(ge=0, lt=1)] = Field(default=0.0, description="share kept apart and scored once")
    split_seed: int = Field(default=42, ge=0, lt=2**32, description="seed of the split")
    group: str | None = Field(
        default=None, description="column whose values never stand on both sides of the split, such as person"
    )
    limit: int | None = Field(
        default=None,
        ge=2,
        description="only so many samples, drawn with split_seed before the split; more of them keep those of fewer",
    )

    reconstruct: bool = Field(
        default=False, description="the targets are the inputs, flattened: what an autoencoder is trained on"
    )

    _fold: Fold | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid (={self.valid:g}) + test (={self.test:g}) leave nothing to train. Lower them.")
        return self

    def of_fold(self, fold: Fold) -> Self:
        """The same data, whose validation part is a fold of what is not tested, whatever ``valid`` says."""
        copy = self.model_copy()
        copy._fold = fold
        return copy

    def check(self) -> None:
        """Raise ValueError in one line for what can be told to be wrong without reading anything; asked when a recipe is planned."""
        if self.group is None or self.group_names is None or self.group in self.group_names:
            return
        if not self.group_names:
            raise ValueError(f"data.group (={self.group}) is not in this data. Drop 'group', or use data that has it.")
        raise ValueError(f"data.group (={self.group}) must be '{self.group_names[0]}'. Correct it, or drop 'group'.")

    @abstractmethod
    def load(self) -> Parts:
        """Read, split. Raises ValueError with one line (field, value, rule, way out)."""

    def spec(self) -> Spec | None:
        """The facts that are known without reading anything, or None."""
        return None

    def parts(self, samples: Part, spec: Spec, **notes: object) -> Parts:
        """Split ``samples`` (everything, in memory) by this class's fields; ``notes`` are joined by the counts of each part.

        Raises ValueError where ``group`` is set but the samples have no groups, and where a part would be empty.
        """
        if self.group is not None and samples.groups is None:
            raise ValueError(f"data.group (={self.group}) is not in this data. Drop 'group', or use data that has it.")
        if self.limit is not None and self.limit < len(samples):
            # files are often sorted by class: their first rows would be of one
            samples = samples.take(drawn(len(samples), self.limit, self.split_seed))
        groups = samples.groups if self.group is not None else None
        train, valid, test = split(len(samples), valid=self.valid, test=self.test, seed=self.split_seed, groups=groups)
        if self._fold is not None:
            # the test part is that of the plain split: it stays out of every fold
            rest = torch.cat([train, valid])
            assert samples.targets is not None
            places = fold_of(
                self._fold, self.split_seed, samples.targets[rest], None if groups is None else groups[rest]
            )
            train, valid = (rest[place] for place in places)
            notes["fold"] = self._fold.number
        counts = {"train": len(train), "valid": len(valid)} | ({"test": len(test)} if len(test) else {})
        return Parts(
            samples.take(train),
            samples.take(valid),
            spec,
            samples.take(test) if len(test) else None,
            notes={"samples": len(samples), **counts, **notes},
        )

    def existing(self, path: Path) -> Path:
        """``path`` if there is a file, otherwise ValueError with `missing_hint` as the way out."""
        if not path.exists():
            raise ValueError(f"data.path (={shown(path)}) does not exist. {self.missing_hint}")
        if path.is_dir():
            raise ValueError(f"data.path (={shown(path)}) is a folder. Name the file in it.")
        return path


def shown(path: Path) -> str:
    """A path as errors show it: relative where it lies below the working folder."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
