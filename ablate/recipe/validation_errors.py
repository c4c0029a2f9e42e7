"""Turns pydantic's errors into those of a recipe: dotted path, value, rule and fix, each with its position."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ablate.recipe.node import Node, Problems, plain_scalar, show
from ablate.recipe.problems import Position
from ablate.recipe.shape import available, did_you_mean
from ablate.schedules import Schedule

RULES = {
    "int_type": "must be an integer{given}.",
    "int_from_float": "must be an integer{given}.",
    "float_type": "must be a number{given}.",
    "string_type": "must be a string.",
    "bool_type": "must be true or false.",
    "tuple_type": "must be a list.",
    "list_type": "must be a list.",
    "dict_type": "must be a mapping.",
    "model_type": "must be a mapping{example}.",
    "model_attributes_type": "must be a mapping.",
    "none_required": "must be null.",
    "greater_than": "must be greater than {gt}.",
    "greater_than_equal": "must be at least {ge}.",
    "less_than": "must be less than {lt}.",
    "less_than_equal": "must be at most {le}.",
    "multiple_of": "must be a multiple of {multiple_of}.",
    "too_short": "must have at least {min_length} items, but has {actual_length}.",
    "too_long": "must have at most {max_length} items, but has {actual_length}.",
    "string_too_short": "must have at least {min_length} characters.",
    "string_too_long": "must have at most {max_length} characters.",
    "literal_error": "must be {expected}.",
    "finite_number": "must be a finite number.",
}
"""pydantic's error type → the rule, with placeholders for the error's context."""

EXAMPLES = {
    "Monitor": ", such as {metric: accuracy, better: higher}",
    "Checkpoint": ", such as {every: 5min}",
    "Evaluate": ", such as {every: 200 steps}",
    "BatchForm": ", such as {inputs: image, targets: label}; the number of samples per step is batch_size",
    "Group": ", such as {match: '*.bias', weight_decay: 0}",
    "Points": ", a number or a list of names, such as {points: [left_eye, right_eye], unit: pixels}",
    "TaskOf": ", such as {loss: mse, outputs: 1}",
}
"""Class of nested settings → how they are written."""


def complain(
    error: ValidationError, model: type[BaseModel], node: Node, path: str, owner: str, problems: Problems
) -> None:
    """Report all errors in ``node``, which is at ``path``; ``owner`` is the entry that has the settings (``sgd``)."""
    found: dict[tuple[str | int, ...], list[tuple[bool, tuple[Position, str, str, str]]]] = {}
    for finding in error.errors(include_url=False):
        keys, there = _walk(node, finding["loc"])
        of_type = finding["type"].endswith("_type")
        found.setdefault(keys, []).append((of_type, _sentence(finding, keys, there, model, node, path, owner)))
    for keys, sentences in found.items():
        # of a union's members, keep the error of the one that got deeper into the value, or accepted its type
        if keys and any(len(other) > len(keys) and other[: len(keys)] == keys for other in found):
            continue
        chosen = [sentence for of_type, sentence in sentences if not of_type] or [sentence for _, sentence in sentences]
        place, subject, rule, hint = chosen[0]
        rules = list(dict.fromkeys(rule for _, _, rule, _ in chosen))
        if len(rules) > 1 and all(text.startswith("must be ") for text in rules):
            parts = [text.removeprefix("must be ").rstrip(".").partition(",")[0] for text in rules]
            rule = f"must be {' or '.join(parts)}."
        problems.add(place, f"{subject} {rule}{hint}".rstrip())


def _walk(node: Node, location: tuple[str | int, ...]) -> tuple[tuple[str | int, ...], Node]:
    """The keys of a location that exist in the recipe, and their node; pydantic adds the names of union members."""
    keys: list[str | int] = []
    for part in location:
        below = node.child(part)
        if below is not None:
            keys.append(part)
            node = below
    return tuple(keys), node


def _sentence(
    finding: Any, keys: tuple[str | int, ...], there: Node, model: type[BaseModel], node: Node, path: str, owner: str
) -> tuple[Position, str, str, str]:
    """Position, subject, rule and hint of one error."""
    kind, context = finding["type"], finding.get("ctx", {})
    last = finding["loc"][-1] if finding["loc"] else ""
    where = dotted(path, keys)
    if kind == "extra_forbidden":
        above = _at(node, keys[:-1])
        known = list(dict(_fields(model, keys[:-1])))
        whose = owner if len(keys) == 1 else dotted(path, keys[:-1])
        hint = available(str(last), known) or f" {whose} has no settings."
        return above.key_position(str(last)), where, f"is not a setting of {whose}.", hint
    if kind == "missing" and isinstance(last, int):
        count = len(there.items or ())
        return there.position, f"{where} (={show(there)})", f"must have at least {last + 1} items, but has {count}.", ""
    if kind == "missing":
        return there.position, dotted(path, (*keys, last)), "is required.", ""
    value = show(there) if keys or not isinstance(there.value, dict) else owner
    if not keys and finding["loc"]:  # an invalid default, such as one multiplied by --scale
        where, value = dotted(path, finding["loc"]), show(finding["input"])
    subject = f"{where} (={value})"
    if kind in ("value_error", "assertion_error"):
        text = re.sub(r"\s+", " ", str(finding["msg"])).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        field = re.match(r"[a-z_0-9]+", text)
        if not keys and field is not None and field[0] in model.model_fields:
            below = node.child(field[0])
            return (below or node).position, f"{path}.{text}", "", ""
        colon = (
            ":" if re.match(r"[\w.]+ (\(=|must )", text) else ""
        )  # the text has its own subject, an argument of a schedule
        return there.position, f"{subject}{colon}", text, ""
    if kind == "float_type" and any(Schedule in parts for parts in _annotations(model, keys)):
        return there.position, subject, "must be a number, or a schedule such as {linear: [0.1, 0.001]}.", ""
    numbers = {key: f"{value:g}" if isinstance(value, float) else value for key, value in context.items()} | {
        "given": {str: ", not a string", float: ", not a float"}.get(type(there.value), ""),
        "example": EXAMPLES.get(context.get("class_name"), ""),
    }
    if kind in ("tuple_type", "list_type"):
        text = (there.text or "").strip()
        item = plain_scalar(text) if re.fullmatch(r"\d+(\.\d+)?", text) else there.value
        fields = [field for name, field in _fields(model, keys[:-1]) if keys and name == keys[-1]]
        own = [[item] for one in fields if type(item) in _parts(one.annotation) and not str(item).startswith("-")]
        examples = [*own, *(one.default for one in fields if one.default and isinstance(one.default, tuple))]
        example = f", such as {show(examples[0])}" if examples else ""
        return there.position, subject, f"must be a list{example}.", ""
    if kind in RULES:
        hint = ""
        described = [field.description for name, field in _fields(model, keys[:-1]) if keys and name == keys[-1]]
        if kind == "string_type" and described and described[0]:
            hint = f" It is described as: {described[0]}."
        if kind == "literal_error":
            hint = did_you_mean(str(there.value), re.findall(r"'([^']*)'", str(context["expected"])))
        return there.position, subject, RULES[kind].format(**numbers), hint
    text = str(finding["msg"]).rstrip(".")
    return there.position, subject, f"{text[0].lower()}{text[1:]}.", ""


def dotted(path: str, keys: tuple[str | int, ...]) -> str:
    """``model`` and ``("hidden", 0)`` → ``model.hidden[0]``."""
    for key in keys:
        path += f"[{key}]" if isinstance(key, int) else f".{show(key)}" if path else show(key)
    return path


def _at(node: Node, keys: tuple[str | int, ...]) -> Node:
    for key in keys:
        node = node.child(key) or node
    return node


def _fields(model: type[BaseModel], keys: tuple[str | int, ...]) -> Iterator[tuple[str, FieldInfo]]:
    """The fields of the settings class at a path inside ``model``."""
    if not keys:
        yield from model.model_fields.items()
        return
    field = model.model_fields.get(str(keys[0]))
    rest = tuple(key for key in keys[1:] if not isinstance(key, int))
    for part in _parts(field.annotation) if field is not None else ():
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from _fields(part, rest)


def _annotations(model: type[BaseModel], keys: tuple[str | int, ...]) -> Iterator[set[Any]]:
    names = tuple(key for key in keys if not isinstance(key, int))
    for name, field in _fields(model, names[:-1]):
        if names and name == names[-1]:
            yield set(_parts(field.annotation))


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and its hashable parts, at any depth."""
    try:
        hash(annotation)
    except TypeError:
        return
    yield annotation
    for part in get_args(annotation):
        yield from _parts(part)
