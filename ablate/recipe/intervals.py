"""How often a training is saved and evaluated."""

from __future__ import annotations

import re
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Checkpoint(BaseModel):
    """How often a checkpoint is saved. With a time, at most 2 % of the training time is spent on saving."""

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
        """The shortest time between two checkpoints, None if the interval is a number of epochs."""
        number, unit, _ = self.PARTS.fullmatch(self.every).groups()  # type: ignore[union-attr]
        return float(number) * {"s": 1, "min": 60, "h": 3600}[unit] if number else None

    @property
    def epochs(self) -> int | None:
        """Number of epochs between two checkpoints, None if the interval is a time."""
        count = self.PARTS.fullmatch(self.every)[3]  # type: ignore[index]
        return int(count) if count else None


class Evaluate(BaseModel):
    """When a training is evaluated, in addition to the end of every epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every: str | None = Field(default=None, description="a number of optimizer steps within an epoch (200 steps)")

    PARTS: ClassVar = re.compile(r"([1-9]\d*) ?steps?")

    @field_validator("every", mode="before")
    @classmethod
    def _in_steps(cls, value: object) -> object:
        if value is not None and (not isinstance(value, str) or cls.PARTS.fullmatch(value) is None):
            example = value if type(value) is int and value > 0 else 200
            raise ValueError(f"must be a number of steps, such as {example} steps.")
        return value

    @property
    def steps(self) -> int | None:
        """The number of steps between two evaluations in an epoch, None for none."""
        return int(self.PARTS.fullmatch(self.every)[1]) if self.every is not None else None  # type: ignore[index]
