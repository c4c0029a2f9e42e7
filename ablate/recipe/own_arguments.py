"""The arguments of a custom optimizer: plain values, and schedules wherever one is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from ablate.registry import entries
from ablate.schedules import Scheduled


class Argument(BaseModel):
    """One argument of a custom optimizer."""

    value: Scheduled[float]


def scheduled(value: Any, context: Mapping[str, Any], keys: tuple[str | int, ...] = ()) -> Any:
    """Arguments with their schedules: as the value of an argument or group, or in its list. ``context`` is that of
    pydantic's validators. Raises ValidationError with the keys that lead to a wrong schedule.
    """
    if isinstance(value, list):
        return [scheduled(one, context, (*keys, i)) for i, one in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if not keys or (keys[0] == "groups" and len(keys) == 2):
        return {key: scheduled(below, context, (*keys, key)) for key, below in value.items()}
    rules = [entry for entry in entries("schedule") if entry.name in value]
    if not rules or value.keys() - {key for rule in rules for key in (rule.name, *rule.settings.model_fields)}:
        return value
    try:
        return Argument.model_validate({"value": value}, context=dict(context)).value
    except ValidationError as error:
        reason = PydanticCustomError("value_error", "{error}", {"error": str(error.errors()[0]["ctx"]["error"])})
        details = InitErrorDetails(type=reason, loc=keys, input=value)
        raise ValidationError.from_exception_data("optimizer", [details]) from None
