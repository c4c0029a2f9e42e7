"""Field types that settings share: ranges, durations in epochs, files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


@runtime_checkable
class HasValues(Protocol):
    """Something that takes several values in time, as a schedule does."""

    def extremes(self) -> Iterable[float]: ...


@dataclass(frozen=True)
class Range:
    """The values that a number, or a schedule at any time, may take: ``Annotated[Scheduled[float], Range(ge=0, lt=1)]``.

    A schedule may touch an open lower bound (a rate may end at 0); a plain number may not.
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
                    reached = f" at all times (it reaches {number:g})" if in_time else ""
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


@dataclass(frozen=True)
class Epochs:
    """A duration: a count of epochs, or a share of all of them (``200`` or ``5%``).

    A count is multiplied by ``--scale`` (validation context ``scale``), rounded up, and stays at least 1; 0 stays 0. A share follows the epochs by itself.
    """

    count: int | None = None
    share: float | None = None

    def of(self, epochs: int) -> int:
        """The duration in epochs where a training has ``epochs`` of them; a share is rounded up."""
        if self.count is not None:
            return self.count
        assert self.share is not None
        return math.ceil(self.share * epochs - 1e-9)

    def exact(self, epochs: int) -> float:
        """The duration in epochs, a share not rounded."""
        return float(self.count) if self.count is not None else float(self.share or 0.0) * epochs

    def dump(self) -> int | str:
        """What a recipe would say: ``200`` or ``"5%"``."""
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
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError("must be a whole number of epochs (200) or a share of them (5%).")
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
            "description": "epochs: 200, or a share: 5%",
        }


def _not_none(value: Epochs) -> Epochs:
    if not (value.count or value.share):
        raise ValueError("must be more than 0 epochs.")
    return value


SomeEpochs = Annotated[Epochs, AfterValidator(_not_none)]
"""A duration that is not nothing: what comes again after each of it would come at once."""


def scaled(count: int, info: ValidationInfo | None) -> int:
    """``count`` epochs under ``--scale``: multiplied, rounded up, at least 1 (0 stays 0)."""
    scale = (info.context or {}).get("scale", 1) if info is not None else 1
    return max(math.ceil(count * scale - 1e-9), 1) if count else 0


def _check_epochs(value: int, info: ValidationInfo) -> int:
    if value < 1:
        raise ValueError("must be at least 1.")
    return scaled(value, info)


class _AfterEpochs:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(_check_epochs, handler(source))


EpochCount = Annotated[int, _AfterEpochs()]
"""A whole number of epochs, at least 1, that ``--scale`` multiplies."""


class _IsFile:
    """Resolves a path against the folder that it was written in (context ``folder``). Whether the file is there is for the recipe to see to."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.resolve, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "string",
            "description": "a file; relative to the recipe's folder (on the command line: to the working folder)",
        }

    @staticmethod
    def resolve(value: Any, info: ValidationInfo) -> Path:
        if isinstance(value, Path):
            return value
        if not isinstance(value, str) or not value:
            raise ValueError("must be the path of a file.")
        return Path((info.context or {}).get("folder", ".")).joinpath(Path(value).expanduser()).absolute()


DataPath = Annotated[Path, _IsFile()]
"""A file or folder of data. Its contents, not its name, enter the fingerprint of a run."""
