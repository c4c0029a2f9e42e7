"""Field types that settings share: ranges, durations in epochs, files."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from pydantic import (
    AfterValidator,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@runtime_checkable
class HasValues(Protocol):
    """Something with several values over time, such as a schedule."""

    def extremes(self) -> Iterable[float]: ...


@dataclass(frozen=True)
class Range:
    """The range of a number or of all values of a schedule: ``Annotated[Scheduled[float], Range(ge=0, lt=1)]``.

    A schedule can reach an open lower bound (a learning rate can end at 0); a plain number cannot.
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    RULES = (("gt", "greater than"), ("ge", "at least"), ("lt", "less than"), ("le", "at most"))

    def check(self, value: Any) -> Any:
        """Return ``value`` unchanged, or raise ValueError with the rule that it breaks."""
        in_time = isinstance(value, HasValues)
        for number in value.extremes() if in_time else (value,):
            for key, words in self.RULES:
                bound = getattr(self, key)
                if in_time and key == "gt":
                    key, words = "ge", "at least"
                holds = (
                    bound is None
                    or {"gt": number > bound, "ge": number >= bound, "lt": number < bound, "le": number <= bound}[key]
                )
                if not holds:
                    reached = f" at every step, but reaches {number:g}" if in_time else ""
                    raise ValueError(f"must be {words} {bound:g}{reached}.")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        names = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
        bounds = {names[key]: getattr(self, key) for key, _ in self.RULES if getattr(self, key) is not None}
        shape = handler(schema)
        for option in shape.get("anyOf", [shape]):
            if option.get("type") in ("number", "integer"):
                option.update(bounds)
        return shape


PERCENT = r"(\d+(?:\.\d+)?) ?%"


@dataclass(frozen=True)
class Epochs:
    """A duration: a number of epochs, or a percentage of all epochs (``200`` or ``5%``).

    A number is multiplied by ``--scale`` (validation context ``scale``), rounded up, and at least 1; 0 stays 0. A
    percentage refers to the scaled number of epochs.
    """

    count: int | None = None
    share: float | None = None

    def of(self, epochs: float) -> int:
        """The duration in epochs of a training with ``epochs`` epochs; a percentage is rounded up."""
        if self.count is not None:
            return self.count
        assert self.share is not None
        return math.ceil(self.share * epochs - 1e-9)

    def exact(self, epochs: float) -> float:
        """The duration in epochs, a percentage not rounded."""
        return float(self.count) if self.count is not None else float(self.share or 0.0) * epochs

    def dump(self) -> int | str:
        """The value as in a recipe: ``200`` or ``"5%"``."""
        return self.count if self.count is not None else f"{(self.share or 0.0) * 100:.12g}%"

    @classmethod
    def parse(cls, value: Any, info: ValidationInfo | None = None) -> Self:
        """Read ``200`` or ``"5%"``; raises ValueError for anything else."""
        if isinstance(value, cls):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise ValueError("must be at least 0 epochs.")
            return cls(count=scaled(value, info))
        match = re.fullmatch(PERCENT, value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("must be a number of epochs (200) or a percentage of all epochs (5%).")
        share = float(match[1]) / 100
        if share > 1:
            raise ValueError("must be at most 100%.")
        return cls(share=share)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.dump())
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": r"^\d+(\.\d+)? ?%$"}],
            "description": "number of epochs (200) or percentage of all epochs (5%)",
        }


@dataclass(frozen=True)
class Span(Epochs):
    """A duration in a schedule; also a number of optimizer steps (``500 steps``), which ``--scale`` multiplies, too."""

    steps: int | None = None

    def dump(self) -> int | str:
        """The value as in a recipe: ``200``, ``"5%"`` or ``"500 steps"``."""
        return super().dump() if self.steps is None else f"{self.steps} steps"

    @classmethod
    def parse(cls, value: Any, info: ValidationInfo | None = None) -> Self:
        """Read ``200``, ``"5%"`` or ``"500 steps"``; raises ValueError for anything else."""
        if isinstance(value, str) and (match := re.fullmatch(r"(\d+) ?steps?", value)):
            return cls(steps=scaled(int(match[1]), info))
        if isinstance(value, str) and not re.fullmatch(PERCENT, value):
            raise ValueError("must be a number of epochs (200), of steps (500 steps) or a percentage (5%).")
        return super().parse(value, info)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        steps = {"type": "string", "pattern": r"^\d+ ?steps?$"}
        text = "number of epochs (200) or steps (500 steps), or percentage of all epochs (5%)"
        known = super().__get_pydantic_json_schema__(schema, handler)
        return {"anyOf": [*known["anyOf"], steps], "description": text}


def _not_none(value: Span) -> Span:
    if not (value.count or value.share or value.steps):
        raise ValueError("must be more than 0 epochs.")
    return value


SomeTime = Annotated[Span, AfterValidator(_not_none)]
"""A duration greater than 0, such as a period."""


def scaled(count: float, info: ValidationInfo | None) -> int:
    """``count`` epochs multiplied by ``--scale``, rounded up, at least 1 (0 stays 0)."""
    scale = (info.context or {}).get("scale", 1) if info is not None else 1
    return max(math.ceil(count * scale - 1e-9), 1) if count else 0


def _check_epochs(value: float, info: ValidationInfo) -> float:
    if value <= 0:
        raise ValueError("must be greater than 0.")
    whole = float(value).is_integer() or (info.context or {}).get("scale", 1) != 1
    return scaled(value, info) if whole else value


EpochCount = Annotated[float, AfterValidator(_check_epochs), PlainSerializer(lambda value: value)]
"""A number of epochs, an int if it is whole. ``--scale`` multiplies it and rounds up."""


def _check_steps(value: int, info: ValidationInfo) -> int:
    if value < 1:
        raise ValueError("must be at least 1.")
    return scaled(value, info)


StepCount = Annotated[int, AfterValidator(_check_steps)]
"""A number of optimizer steps, at least 1, that ``--scale`` multiplies."""


def _resolve(value: Any, info: ValidationInfo) -> Path:
    """A path relative to the context's ``folder``. The recipe checks whether the file exists."""
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be a path.")
    return Path((info.context or {}).get("folder", ".")).joinpath(os.path.expanduser(value)).absolute()


DataPath = Annotated[
    Path,
    PlainValidator(_resolve),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "type": "string",
            "description": "path of a file, relative to the recipe's folder (in --set: to the working directory)",
        }
    ),
]
"""A file or folder of data. Its contents, not its name, are part of a run's fingerprint."""
