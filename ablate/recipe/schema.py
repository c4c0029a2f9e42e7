"""The recipe's language as a JSON schema, for editors: written from the registry, so that it knows every name, setting and summary."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ablate.recipe.designs import DESIGNS
from ablate.recipe.folds import MOST as MOST_FOLDS
from ablate.recipe.names import LONGEST
from ablate.recipe.settings import Settings, Training
from ablate.registry import KINDS, Entry, entries

Schema = dict[str, Any]
Shapes = dict[type[BaseModel], Schema]

PLACEHOLDER = {"$ref": "#/$defs/placeholder"}
TEXT: Schema = {"type": "string"}


def recipe_schema() -> Schema:
    """The whole language, JSON Schema draft 2020-12. What needs more than one value to be judged is left to ``ablate plan``."""
    shapes, shared = _shapes()
    definitions: Schema = dict(shared)
    definitions["placeholder"] = {"type": "string", "pattern": r"^\$[A-Za-z_]\w*$", "description": "a key of 'for'"}
    definitions["schedule"] = _schedule(shapes)
    for kind in KINDS:
        if kind != "schedule":
            definitions[kind] = _named(kind, shapes)
            definitions[f"{kind}_item"] = _item(kind, shapes)
    definitions["rows_name"] = {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": r"^[^./\\][^/\\]*$"}
    definitions["published"] = {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "number"}, PLACEHOLDER]},
        "description": "numbers that somebody else has reported for this row, by metric",
    }
    definitions["set"] = {
        "type": "object",
        "properties": _settings(shapes),
        "patternProperties": {
            rf"^({'|'.join([*Settings.CHOICES, *Settings.LISTS, 'monitor', 'checkpoint'])})\..+$": {}
        },
        "additionalProperties": False,
        "description": "dotted path → the value that takes the place of what is there",
    }
    definitions["add"] = {
        "type": "array",
        "items": {"$ref": "#/$defs/trick_item"},
        "description": "tricks to switch on, in order",
    }
    definitions["baseline"] = _mapping(
        {
            "name": {"$ref": "#/$defs/rows_name"},
            "description": TEXT,
            "published": {"$ref": "#/$defs/published"},
            "add": {"$ref": "#/$defs/add"},
            **_settings(shapes),
        },
        "the first row: the settings that all others start from",
    )
    definitions["bundle"] = _mapping(
        {"add": {"$ref": "#/$defs/add"}, "set": {"$ref": "#/$defs/set"}, "description": TEXT},
        "a trick of this recipe: several changes under one name",
    )
    definitions["variant"] = _variant()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of ablate",
        **_mapping(_top(), "a baseline and the changes to it that are to be compared"),
        "required": ["baseline"],
        "$defs": definitions,
    }


def _mapping(properties: Schema, description: str) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, "description": description}


def _top() -> Schema:
    number_of_seeds = {"type": "integer", "minimum": 1}
    listed_seeds = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True}
    return {
        "study": {"$ref": "#/$defs/rows_name"},
        "description": TEXT,
        "data": {"$ref": "#/$defs/data"},
        "metrics": {"type": "array", "items": {"$ref": "#/$defs/metric_item"}},
        "watch": {"type": "array", "items": {"$ref": "#/$defs/watch_item"}},
        "seeds": {"anyOf": [number_of_seeds, listed_seeds], "description": "a count (5: 0 to 4), or a list"},
        "folds": {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS},
                {
                    **_mapping(
                        {
                            "k": {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS},
                            "stratified": {"type": "boolean"},
                        },
                        "how many, and whether each has the same share of every class",
                    ),
                    "required": ["k"],
                },
            ],
            "description": "cross-validation: every seed trains once for each fold",
        },
        "compare": _mapping(
            {
                "metric": TEXT,
                "better": {"enum": ["lower", "higher"]},
                "at": {"enum": ["selected", "last", "best"]},
                "smallest_effect": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": "differences surely smaller than this, in the metric's unit, are called no difference",
                },
            },
            "what verdicts are about",
        ),
        "reach": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "by metric, the value to which rows are timed",
        },
        "baseline": {"$ref": "#/$defs/baseline"},
        "tricks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/bundle"}},
        "variants": {"type": "array", "items": {"$ref": "#/$defs/variant"}},
        "design": {
            "type": "object",
            "properties": {
                name: {"type": "array", "items": {"$ref": "#/$defs/trick_item"}, "minItems": design.least}
                for name, design in DESIGNS.items()
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
            "description": "instead of variants: a rule that makes them out of a list of tricks",
        },
    }


def _variant() -> Schema:
    properties = {
        "name": {"$ref": "#/$defs/rows_name"},
        "from": {"type": "string", "description": "the row that this one starts from; none: the one above"},
        "description": TEXT,
        "add": {"$ref": "#/$defs/add"},
        "remove": {"type": "array", "items": TEXT, "description": "tricks to take out of the parent's changes"},
        "set": {"$ref": "#/$defs/set"},
        "joined": {
            "type": "array",
            "items": {"$ref": "#/$defs/rows_name"},
            "minItems": 1,
            "uniqueItems": True,
            "description": "rows whose predictions are judged together as this row, on the data of 'from'; it trains nothing",
        },
        "published": {"$ref": "#/$defs/published"},
        "for": {
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 1},
            "description": "repeat the row with each value in the place of $key",
        },
        "zip": {"type": "boolean", "description": "pair the lists of 'for' instead of combining all with all"},
    }
    return {**_mapping(properties, "one row"), "required": ["name"]}


def _shapes() -> tuple[Shapes, Schema]:
    """The object schema of every settings class in the registry, and the definitions that these share."""
    classes: list[type[BaseModel]] = [*{entry.settings: None for entry in entries()}, Training]
    names, generated = models_json_schema([(one, "validation") for one in classes])
    definitions = generated["$defs"]
    shapes = {one: _open(definitions[names[one, "validation"]["$ref"].rpartition("/")[2]]) for one in classes}
    text = json.dumps(definitions)
    nested = {name: shape for name, shape in definitions.items() if f'"#/$defs/{name}"' in text}
    return shapes, nested


def _open(shape: Schema) -> Schema:
    """A copy in which every setting may also be the ``$key`` of a ``for``."""
    shape = copy.deepcopy(shape)
    for name, field in shape.get("properties", {}).items():
        about = {key: field.pop(key) for key in ("description", "default") if key in field}
        field.pop("title", None)
        shape["properties"][name] = {**about, "anyOf": [field, PLACEHOLDER]}
    shape.pop("title", None)
    shape.pop("description", None)
    return shape


def _settings(shapes: Shapes) -> Schema:
    properties: Schema = {name: {"anyOf": [{"$ref": f"#/$defs/{name}"}, PLACEHOLDER]} for name in Settings.CHOICES}
    properties["metrics"] = {"type": "array", "items": {"$ref": "#/$defs/metric_item"}}
    properties["watch"] = {"type": "array", "items": {"$ref": "#/$defs/watch_item"}}
    properties.update(shapes[Training]["properties"])
    return properties


def _name(kind: str, known: Iterable[Entry]) -> Schema:
    return {"oneOf": [{"const": entry.name, "description": entry.card.summary} for entry in known]}


def _target() -> Schema:
    target = {"type": "string", "pattern": r"^[\w.]+:[\w.]+$", "description": "your own code: module:attribute"}
    return {"type": "object", "properties": {"target": target}, "required": ["target"], "not": {"required": ["name"]}}


def _with_name(entry: Entry, shape: Schema) -> Schema:
    properties = {"name": {"const": entry.name}, **shape.get("properties", {})}
    required = ["name", *shape.get("required", [])]
    return {
        "type": "object",
        "description": entry.card.summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _named(kind: str, shapes: Shapes) -> Schema:
    """What stands where one thing of a kind is chosen: ``mlp`` or ``{name: mlp, hidden: [100]}`` or ``{target: …}``."""
    known = entries(kind)
    return {"anyOf": [_name(kind, known), *(_with_name(e, shapes[e.settings]) for e in known), _target()]}


def _item(kind: str, shapes: Shapes) -> Schema:
    """What stands in a list of things of a kind: the same, or ``{dropout: {p: 0.5}}``, and for tricks a bundle's name."""
    known = entries(kind)
    options = [_name(kind, known), PLACEHOLDER, *(_with_name(e, shapes[e.settings]) for e in known), _target()]
    for entry in known:
        shape = shapes[entry.settings]
        values: list[Schema] = [{**shape, "description": entry.card.summary}, PLACEHOLDER]
        if not shape.get("required"):
            values.append({"type": "null"})
        if entry.settings.shorthand:
            values.append(shape["properties"][entry.settings.shorthand])
        options.append(
            {
                "type": "object",
                "properties": {entry.name: {"anyOf": values}},
                "required": [entry.name],
                "additionalProperties": False,
            }
        )
    if kind == "trick":
        options.append({"type": "string", "description": "a trick of this recipe, from its 'tricks'"})
    return {"anyOf": options}


def _schedule(shapes: Shapes) -> Schema:
    """``{linear: [a, b], per: epoch}`` and all other rules."""
    rules = []
    for entry in entries("schedule"):
        shape = shapes[entry.settings]
        fields = dict(shape["properties"])
        if entry.name in fields:
            rules.append(
                {**shape, "required": [entry.name, *(r for r in shape.get("required", []) if r != entry.name)]}
            )
        else:
            per = {"per": fields["per"]}
            values: list[Schema] = [{k: v for k, v in shape.items() if k != "description"}]
            if entry.settings.shorthand:
                values.append(fields[entry.settings.shorthand])
            rules.append(
                {
                    "type": "object",
                    "properties": {entry.name: {"anyOf": values}, **fields, **per},
                    "required": [entry.name],
                    "additionalProperties": False,
                }
            )
        rules[-1]["description"] = entry.card.summary
    return {"anyOf": rules, "description": "a number in time"}
