"""Warnings about likely mistakes in schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from ablate.schedules.schedule import Schedule


def advice_on(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """The dotted path and the advice (`Schedule.advice`) of each schedule in the settings that has any, including
    groups and lists.
    """
    if isinstance(settings, Schedule):
        sentence = settings.advice()
        if sentence is not None:
            yield path, sentence
    elif isinstance(settings, BaseModel):
        for name in type(settings).model_fields:
            yield from advice_on(getattr(settings, name), f"{path}.{name}" if path else name)
    elif isinstance(settings, tuple | list):
        for i, item in enumerate(settings):
            yield from advice_on(item, f"{path}.{i}" if path else str(i))
