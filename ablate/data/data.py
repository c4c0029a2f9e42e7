"""The contract of a data set that recipes name, and the split that all of them share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import Field

from ablate.data.dataset import Parts, Spec
from ablate.registry import Named
from ablate.registry.fields import Range


class Data(Named):
    """Base of all data sets. The split depends on the data, ``split_seed`` and these fields only, never on a run's seed."""

    valid: Annotated[float, Range(gt=0, lt=1)] = Field(
        default=0.2, description="share of the samples (or groups) kept for validation"
    )
    test: Annotated[float, Range(ge=0, lt=1)] = Field(default=0.0, description="share kept apart and scored once")
    split_seed: int = Field(default=42, ge=0, description="seed of the split")
    group: str | None = Field(
        default=None, description="column whose values never stand on both sides of the split, such as person"
    )

    @abstractmethod
    def load(self) -> Parts:
        """Read, split. Raises ValueError with one line (field, value, rule, way out)."""

    def spec(self) -> Spec | None:
        """The facts that are known without reading anything, or None."""
        return None
