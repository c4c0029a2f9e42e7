"""Values that change during training: ``0.1``, or a schedule such as ``{linear: [0.03, 0.0001], per: epoch}``.

A schedule is a pure function of time. It does not depend on the setting that it is used for and has no state: the value
of any step can be computed at any time, so a resumed training only needs its step count.
"""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ablate.printable import shortened
from ablate.registry import Named, UnknownName, entries, inside, lookup, suggestion
from ablate.registry.fields import Epochs, Span

Per = Literal["step", "epoch"]


@dataclass(frozen=True)
class Time:
    """A time in training: unit ``i`` of ``n`` (0-based), with ``per_epoch`` units per epoch (1 for epochs)."""

    i: int
    n: int
    per_epoch: int = 1

    @property
    def progress(self) -> float:
        """From 0 at the first unit to 1 at the last."""
        return self.i / (self.n - 1) if self.n > 1 else 0.0

    @property
    def epochs(self) -> float:
        """Total number of epochs; the last one may be cut short."""
        return self.n / self.per_epoch

    def units(self, duration: Span) -> float:
        """A duration in units of this time, which are steps if the duration is in steps."""
        if duration.steps is not None:
            return float(duration.steps)
        return duration.exact(self.epochs) * self.per_epoch


class Schedule(Named):
    """Base of schedules; subclasses implement `at` and `extremes`."""

    per: Per = "step"

    @model_validator(mode="after")
    def steps_need_steps(self) -> Self:
        return self.with_its_steps()

    def with_its_steps(self) -> Self:
        """This schedule. Raises ValueError for a duration in steps if the value changes only every epoch."""
        for keys, value in inside(self) if self.per == "epoch" else ():
            if isinstance(value, Span) and value.steps is not None:
                raise ValueError(f"has {keys[0]} (={value.dump()}), which requires per: step. Set per: step.")
        return self

    @abstractmethod
    def at(self, time: Time) -> float:
        """The value at a time."""

    @abstractmethod
    def extremes(self) -> Iterable[float]:
        """Bounds of the values, for range checks."""

    def advice(self) -> str | None:
        """A sentence about a likely mistake and its effect; None if there is none. See `advice_on`."""
        return None

    def times(self, factor: float) -> Self:
        """The same schedule with every value multiplied. Raises ValueError if the schedule does not support it."""
        raise ValueError(f"schedule (={schedule_name(type(self))}) cannot be multiplied by a number.")

    def at_step(self, step: int, epochs: float, steps_per_epoch: int) -> float:
        """The value at a step (counted from 0 over the whole training)."""
        if self.per == "step":
            return self.at(Time(step, round(epochs * steps_per_epoch), steps_per_epoch))
        return self.at(Time(step // steps_per_epoch, math.ceil(epochs)))

    def dump(self) -> dict[str, Any]:
        """The schedule as written in a recipe, with all defaults."""
        fields = self.model_dump(mode="json")
        name = schedule_name(type(self))
        if name in type(self).model_fields:
            return fields
        per = fields.pop("per")
        short = self.shorthand
        return {name: fields[short] if short is not None and set(fields) == {short} else fields, "per": per}


def schedule_name(schedule: type[Schedule]) -> str:
    """The name under which a schedule class is registered."""
    return next(entry.name for entry in entries("schedule") if entry.settings is schedule)


def parse_schedule(value: dict[str, Any], info: ValidationInfo | None = None) -> Schedule:
    """Read ``{rule: arguments, per: step | epoch}``.

    Raises ValueError (one line) for anything other than exactly one rule.
    """
    known = {entry.name: entry for entry in entries("schedule")}
    rules = [key for key in value if key in known]
    if len(rules) > 1:
        raise ValueError(f"must have one rule, but has {' and '.join(rules)}.")
    if not rules:
        odd = next((key for key in value if key != "per"), None)
        if odd is None:
            raise ValueError(f"must be a number or a schedule with one rule ({', '.join(known)}).")
        raise ValueError(
            str(UnknownName("schedule", str(odd))).replace("is not", f"has '{shortened(odd)}', which is not", 1)
        )
    entry = lookup("schedule", rules[0])
    arguments = value[rules[0]]
    rest = {key: item for key, item in value.items() if key != rules[0]}
    if rules[0] in entry.settings.model_fields:
        fields = value
    elif isinstance(arguments, dict):
        fields = {**arguments, **rest}
    elif entry.settings.shorthand:
        fields = {entry.settings.shorthand: arguments, **rest}
    else:
        raise ValueError(
            f"{rules[0]} (={shortened(repr(arguments))}) must be a mapping with the keys "
            f"{', '.join(f for f in entry.settings.model_fields if f != 'per')}."
        )
    context = info.context if info is not None else None
    try:
        # In JSON mode, types are strict (a string is not a number), but a list is accepted for a tuple.
        schedule = entry.settings.model_validate_json(json.dumps(fields, default=_dumped), strict=True, context=context)
    except ValidationError as error:
        raise ValueError(_sentence(rules[0], entry.settings, error.errors()[0])) from None
    assert isinstance(schedule, Schedule)
    return schedule


def _dumped(value: Any) -> Any:
    if isinstance(value, Schedule | Epochs):
        return value.dump()
    raise ValueError(f"(={shortened(repr(value))}) must be a number, a string, a list or a mapping.")


def _sentence(rule: str, settings: type[Named], finding: Any) -> str:
    """One line about invalid arguments of a schedule."""
    above = [] if rule in settings.model_fields else [rule]  # 'warmup' is written beside 'then', not above it
    where = ".".join(
        [*above, *(str(part) for part in finding["loc"] if isinstance(part, int) or part in settings.model_fields)]
    )
    where = where.replace(f"{rule}.{settings.shorthand}", rule) if settings.shorthand else where
    field = settings.model_fields.get(str(finding["loc"][0])) if finding["loc"] else None
    about = f" ({field.description})" if field is not None and field.description else ""
    if finding["type"] == "missing":
        lacking = finding["loc"][-1]
        if isinstance(lacking, int):
            return f"must have more than {lacking} value{'s' * (lacking != 1)} in '{where.rpartition('.')[0]}'{about}."
        return f"requires '{'.'.join([*above, str(lacking)])}'{about}."
    if finding["type"] == "extra_forbidden":
        near = suggestion(str(finding["loc"][-1]), settings.model_fields)
        hint = f"Did you mean '{near}'?" if near else f"Available: {', '.join(settings.model_fields)}."
        return f"has '{shortened(finding['loc'][-1])}', which is not a setting of {rule}. {hint}"
    if finding["type"] == "too_long":
        return (
            f"must have at most {finding['ctx']['max_length']} values in '{where}'{about}, but has "
            f"{finding['ctx']['actual_length']}."
        )
    text = (
        str(finding["msg"])
        .removeprefix("Value error, ")
        .removeprefix("Input should be ")
        .replace("a valid array", "a list")
    )
    if finding["type"] != "value_error":
        text = f"must be {text}{about if text == 'a list' else ''}"
    end = "" if text.endswith((".", "?")) else "."
    shown = (
        "" if isinstance(finding["input"], dict | list) else f" (={shortened(finding['input'])})"
    )  # they are in the subject
    return f"{where}{shown} {text.removeprefix('(=')}{end}"


def dump_scheduled(value: Any) -> Any:
    """A number unchanged, a schedule as written in a recipe; also for each item of a list, because pydantic passes all
    types of a union.
    """
    if isinstance(value, Schedule):
        return value.dump()
    return [dump_scheduled(item) for item in value] if isinstance(value, tuple) else value


class _ScheduledMarker:
    """Accepts a number or a schedule, also in the JSON schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number = handler.generate_schema(float)

        def validate(value: Any, inner: core_schema.ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
            if isinstance(value, Schedule):
                return value
            if isinstance(value, dict):
                return parse_schedule(value, info)
            return inner(value)

        return core_schema.with_info_wrap_validator_function(
            validate,
            number,
            serialization=core_schema.plain_serializer_function_ser_schema(dump_scheduled),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"$ref": "#/$defs/schedule"}]}


T = TypeVar("T")
Scheduled = Annotated[T | Schedule, _ScheduledMarker()]
"""``Scheduled[float]``: a number, or a schedule of numbers."""


def advice_on(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted path and the advice (`Schedule.advice`) of each schedule in the settings that has any, including
    groups and lists. A schedule speaks for those inside it.
    """
    found = {keys: value for keys, value in inside(settings) if isinstance(value, Schedule)}
    for keys, schedule in found.items():
        if keys[:-1] not in found and (sentence := schedule.advice()) is not None:
            yield ".".join(map(str, (path, *keys) if path else keys)), sentence
