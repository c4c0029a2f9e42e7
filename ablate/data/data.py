"""The base class of named datasets, and their common split."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from ablate.data.dataset import Part, Parts, Spec
from ablate.data.rounding import narrowed, unrounded
from ablate.data.split import Fold, drawn, fold_of, split
from ablate.registry import Named
from ablate.registry.fields import Range
from ablate.registry.lazy import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Data(Named):
    """Base of all datasets.

    The split depends only on the data, ``split_seed`` and the fields below, never on a run's seed.
    """

    missing_hint: ClassVar[str] = "Paths are relative to the recipe's folder."
    """The last sentence of the error for a path that does not exist: how to fix it."""

    group_names: ClassVar[tuple[str, ...] | None] = None
    """Allowed values of ``group``. (): the data have no groups; None: known only after reading the file."""

    needs_file: ClassVar[bool] = False
    """Whether ``path`` must be a file."""

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.2, description="fraction of the samples (or groups) for validation"
    )
    test: Annotated[float, Range(ge=0, lt=1)] = Field(default=0.0, description="fraction held out as a test set")
    split_seed: int = Field(default=42, ge=0, lt=2**32, description="seed of the split")
    group: str | None = Field(
        default=None, description="grouping column, such as person: samples of one group stay in one split"
    )
    limit: int | None = Field(
        default=None,
        ge=2,
        description=(
            "maximum number of samples, drawn at random (split_seed) before the split; a larger limit keeps "
            "these samples and adds others"
        ),
    )

    reconstruct: bool = Field(default=False, description="use the flattened inputs as targets, for autoencoders")

    _fold: Fold | None = PrivateAttr(default=None)
    _double: bool = PrivateAttr(default=False)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.valid + self.test >= 1:
            raise ValueError(f"valid (={self.valid:g}) + data.test (={self.test:g}) must be less than 1.")
        return self

    def of_fold(self, fold: Fold) -> Self:
        """The same data with one fold of the samples outside the test set as validation set, whatever ``valid`` is."""
        copy = self.model_copy()
        copy._fold = fold
        return copy

    def of_precision(self, *, double: bool) -> Self:
        """The same data with floats in float64 instead of float32."""
        copy = self.model_copy()
        copy._double = double
        return copy

    @property
    def float_type(self) -> Literal["float32", "float64"]:
        """NumPy's name of the type in which floats are loaded."""
        return "float64" if self._double else "float32"

    def floats(self, values: NDArray[Any]) -> NDArray[Any]:
        """Numbers (n, …) of a file in the type in which they are kept: float64 only if it is needed."""
        return unrounded(values) if self._double else narrowed(values)

    def check(self) -> None:
        """Raise ValueError (one line) for errors that can be found without reading data; called when a recipe is
        planned.
        """
        if self.group is None or self.group_names is None or self.group in self.group_names:
            return
        if not self.group_names:
            raise ValueError(f"data.group (={self.group}): this dataset has no groups. Remove 'group'.")
        raise ValueError(f"data.group (={self.group}) must be '{self.group_names[0]}'. Correct it, or remove 'group'.")

    @abstractmethod
    def load(self) -> Parts:
        """Read and split the data. Raises ValueError (one line)."""

    def spec(self) -> Spec | None:
        """The facts that are known without reading data, or None."""
        return None

    def misread(self, contents: str) -> bool:
        """Whether an earlier version trained on other numbers, because it misread the files: its runs are outdated.

        Reads them once for each content hash, without torch; does not raise.
        """
        return False

    def parts(self, samples: Part, spec: Spec, **notes: object) -> Parts:
        """Split ``samples`` (all, in memory) by this class's fields; adds the number of samples per split to ``notes``.

        Raises ValueError if ``group`` is set but the samples have no groups, or if a split would be empty.
        """
        if self.group is not None and samples.groups is None:
            raise ValueError(f"data.group (={self.group}): this dataset has no groups. Remove 'group'.")
        if self.limit is not None and self.limit < len(samples):
            # files are often sorted by class, so their first samples would be of one class
            samples = samples.take(drawn(len(samples), self.limit, self.split_seed))
        groups = samples.groups if self.group is not None else None
        train, valid, test = split(len(samples), valid=self.valid, test=self.test, seed=self.split_seed, groups=groups)
        if self._fold is not None:
            # the test set is that of the plain split: it is not part of any fold
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
        """``path`` if it is a file. Otherwise raises ValueError that ends with `missing_hint`."""
        if not path.exists():
            raise ValueError(f"data.path (={shown(path)}) does not exist. {self.missing_hint}")
        if path.is_dir():
            raise ValueError(f"data.path (={shown(path)}) is a folder. Use the path of a file in it.")
        return path


def shown(path: Path) -> str:
    """A path as shown in errors: relative if it is below the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
