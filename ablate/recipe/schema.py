"""The JSON schema of recipes, for editors: generated from the registry, with every name, setting and summary."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ablate.recipe.comparison import EPOCHS, FAILED
from ablate.recipe.designs import DESIGNS
from ablate.recipe.folds import MOST as MOST_FOLDS
from ablate.recipe.looks import FEWEST, MOST_SEEDS
from ablate.recipe.rows import MOST_SEEDS as MOST_SELECTING
from ablate.recipe.rows import SEEDS
from ablate.recipe.search_space import MOST_CANDIDATES, MOST_NUMBERS, SAMPLERS, TRIALS, TUNABLE
from ablate.recipe.search_space import MOST_SEEDS as MOST_TUNING_SEEDS
from ablate.recipe.settings import Settings, Training
from ablate.recipe.shape import LONGEST
from ablate.registry import KINDS, Entry, entries

Schema = dict[str, Any]
Shapes = dict[type[BaseModel], Schema]

PLACEHOLDER = {"$ref": "#/$defs/placeholder"}
TEXT: Schema = {"type": "string"}

OWN_METRIC: Schema = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "better": {"enum": ["lower", "higher"]}},
            "required": ["name"],
            "additionalProperties": False,
        },
    ],
    "description": "with a trainer of your own: a metric that your code reports",
}


def recipe_schema() -> Schema:
    """The schema of recipes (JSON Schema draft 2020-12). Rules about several values are left to ``ablate plan``."""
    shapes, shared = _shapes()
    kinds: Schema = {}
    for kind in KINDS:
        if kind != "schedule":
            kinds |= {kind: _named(kind, shapes), f"{kind}_item": _item(kind, shapes)}
    changed = "|".join(["trainer", "args", *Settings.CHOICES, *Settings.LISTS, "monitor", "checkpoint", "batch"])
    definitions = {
        **shared,
        "placeholder": {"type": "string", "pattern": r"^\$[A-Za-z_]\w*$", "description": "a key of 'for'"},
        "schedule": _schedule(shapes),
        **kinds,
        "own_trainer": _trainer(shapes),
        "own_metric": OWN_METRIC,
        "rows_name": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": r"^[^./\\][^/\\]*$"},
        "published": {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "number"}, PLACEHOLDER]},
            "description": "published results for this variant, by metric",
        },
        "set": {
            "type": "object",
            "properties": _settings(shapes),
            "patternProperties": {rf"^({changed})\..+$": {}},
            "additionalProperties": False,
            "description": "dotted path → new value",
        },
        "add": {
            "type": "array",
            "items": {"$ref": "#/$defs/trick_item"},
            "description": "tricks to add, in order",
        },
        "baseline": _mapping(
            {
                "name": {"$ref": "#/$defs/rows_name"},
                "description": TEXT,
                "published": {"$ref": "#/$defs/published"},
                "add": {"$ref": "#/$defs/add"},
                **_settings(shapes),
            },
            "the first variant: the settings that all others start from",
        ),
        "bundle": _mapping(
            {"add": {"$ref": "#/$defs/add"}, "set": {"$ref": "#/$defs/set"}, "description": TEXT},
            "a trick defined in this recipe: several changes under one name",
        ),
        "variant": _variant(),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A recipe of ablate",
        **_mapping(_top(), "a baseline and the variants to compare with it"),
        "required": ["baseline"],
        "$defs": definitions,
    }


def _mapping(properties: Schema, description: str) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False, "description": description}


def _looks() -> Schema:
    count = {"type": "integer", "minimum": FEWEST, "maximum": MOST_SEEDS}
    return {
        **_mapping(
            {
                "start": count,
                "until": {"const": "decided"},
                "most": count,
                "looks": {"type": "array", "items": count, "minItems": 1, "uniqueItems": True},
                "weights": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}, "minItems": 1},
            },
            "verdicts at increasing numbers of seeds; variants that are decided are not trained further",
        ),
        "required": ["until"],
    }


def _tune() -> Schema:
    number: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"^[\d.]+/[\d.]+$"}]}
    listed: Schema = {"type": "array", "items": number, "minItems": 2, "maxItems": MOST_NUMBERS, "uniqueItems": True}
    values = _mapping({"times": listed, "values": listed}, "multiples of each variant's own value, or values")
    ends: Schema = {"low": {"type": "number"}, "high": {"type": "number"}, "log": {"type": "boolean"}}
    between = _mapping(ends, "a range, from which a sampler takes values; log: on a logarithmic scale")
    candidates = [{**values, "minProperties": 1, "maxProperties": 1}, {**between, "required": ["low", "high"]}]
    trials: Schema = {"type": "integer", "minimum": 2, "maximum": MOST_CANDIDATES, "default": TRIALS}
    return {
        "type": "object",
        "properties": {
            "seeds": {"type": "integer", "minimum": 1, "maximum": MOST_TUNING_SEEDS},
            "trials": {**trials, "description": "the number of candidates that the sampler takes for each variant"},
            "sampler": {"enum": list(SAMPLERS), "description": "the sampler of Optuna that takes them"},
        },
        "patternProperties": {rf"^({'|'.join(TUNABLE)})": {"anyOf": candidates}},
        "additionalProperties": False,
        "description": "settings that are chosen for every variant, from the same candidates, before seeds are judged",
    }


def _compared_at() -> Schema:
    average = _mapping({"mean_of_last": {"type": "integer", "minimum": 1}}, "the mean over this number of last epochs")
    return {"anyOf": [{"enum": list(EPOCHS)}, {**average, "required": ["mean_of_last"]}]}


def _top() -> Schema:
    number_of_seeds = {"type": "integer", "minimum": 1}
    listed_seeds = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "uniqueItems": True}
    return {
        "study": {"$ref": "#/$defs/rows_name"},
        "description": TEXT,
        "data": {"$ref": "#/$defs/data"},
        "trainer": {"$ref": "#/$defs/own_trainer"},
        "metrics": {
            "type": "array",
            "items": {"anyOf": [{"$ref": "#/$defs/metric_item"}, {"$ref": "#/$defs/own_metric"}]},
        },
        "watch": {"type": "array", "items": {"$ref": "#/$defs/watch_item"}},
        "seeds": {
            "anyOf": [number_of_seeds, listed_seeds, _looks()],
            "description": "a number of seeds (5: 0 to 4), a list, or looks",
        },
        "folds": {
            "anyOf": [
                {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS},
                {
                    **_mapping(
                        {
                            "k": {"type": "integer", "minimum": 2, "maximum": MOST_FOLDS},
                            "stratified": {"type": "boolean"},
                        },
                        "number of folds, and whether each has the same fraction of every class",
                    ),
                    "required": ["k"],
                },
            ],
            "description": "cross-validation: every seed trains once per fold",
        },
        "compare": _mapping(
            {
                "metric": TEXT,
                "better": {"enum": ["lower", "higher"]},
                "at": _compared_at(),
                "scale": {
                    "enum": ["linear", "log"],
                    "description": "log: compare logarithms, so that differences are ratios of geometric means",
                },
                "smallest_effect": {
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": "smallest relevant difference, in the metric's unit; the verdict is "
                    "'no difference' if the confidence interval is within ± this value; with scale: log a ratio "
                    "greater than 1",
                },
                "failed": {
                    "type": "string",
                    "pattern": f"^{FAILED.pattern}$",
                    "description": 'values of the metric that count as a failed training, such as "> 1.5"; variants '
                    "with one get no verdict",
                },
                "prior": {
                    "enum": ["on", "off"],
                    "description": "whether verdicts use the scatter of earlier studies of the same data",
                },
            },
            "the metric that verdicts compare",
        ),
        "reach": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "metric → target value; the table shows the epochs and seconds until it is reached",
        },
        "tune": _tune(),
        "checks": {
            "type": "array",
            "items": {"$ref": "#/$defs/check_item"},
            "description": "checks before training: other settings, false to leave one out, or custom ones",
        },
        "baseline": {"$ref": "#/$defs/baseline"},
        "tricks": {"type": "object", "additionalProperties": {"$ref": "#/$defs/bundle"}},
        "variants": {"type": "array", "items": {"$ref": "#/$defs/variant"}},
        "design": {
            "type": "object",
            "properties": {
                **{
                    name: {"type": "array", "items": {"$ref": "#/$defs/trick_item"}, "minItems": design.least}
                    for name, design in DESIGNS.items()
                },
                "seeds": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_SELECTING,
                    "default": SEEDS,
                    "description": "the number of reserved seeds on which greedy selects tricks",
                },
            },
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 2,
            "dependentRequired": {"seeds": ["greedy"]},
            "anyOf": [{"maxProperties": 1}, {"required": ["seeds"]}],
            "description": "instead of variants: a rule that generates them from a list of tricks",
        },
    }


def _variant() -> Schema:
    properties = {
        "name": {"$ref": "#/$defs/rows_name"},
        "from": {"type": "string", "description": "the parent variant; by default the previous one"},
        "description": TEXT,
        "add": {"$ref": "#/$defs/add"},
        "remove": {"type": "array", "items": TEXT, "description": "tricks of the parent to remove"},
        "set": {"$ref": "#/$defs/set"},
        "joined": {
            "type": "array",
            "items": {"$ref": "#/$defs/rows_name"},
            "minItems": 1,
            "uniqueItems": True,
            "description": "variants whose predictions are combined and evaluated on the data of 'from'; not trained",
        },
        "published": {"$ref": "#/$defs/published"},
        "tune": {"const": "off", "description": "do not tune this variant: it keeps its parent's or its own settings"},
        "for": {
            "type": "object",
            "additionalProperties": {"type": "array", "minItems": 1},
            "description": "generate one variant per value; $key is replaced by the value",
        },
        "zip": {"type": "boolean", "description": "pair the lists of 'for' instead of using all combinations"},
    }
    return {**_mapping(properties, "one variant"), "required": ["name"]}


def _shapes() -> tuple[Shapes, Schema]:
    """The object schema of every settings class in the registry, and their shared definitions."""
    classes: list[type[BaseModel]] = [*{entry.settings: None for entry in entries()}, Training]
    names, generated = models_json_schema([(one, "validation") for one in classes])
    definitions = generated["$defs"]
    shapes = {one: _open(definitions[names[one, "validation"]["$ref"].rpartition("/")[2]]) for one in classes}
    text = json.dumps(definitions)
    return shapes, {name: shape for name, shape in definitions.items() if f'"#/$defs/{name}"' in text}


def _open(shape: Schema) -> Schema:
    """A copy in which every setting can also be a ``$key`` of ``for``."""
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
    properties["trainer"] = {"$ref": "#/$defs/own_trainer"}
    properties["args"] = {"type": "object", "description": "the arguments of your own training"}
    properties["metrics"] = {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#/$defs/metric_item"}, {"$ref": "#/$defs/own_metric"}]},
    }
    properties["watch"] = {"type": "array", "items": {"$ref": "#/$defs/watch_item"}}
    properties.update(shapes[Training]["properties"])
    return properties


def _trainer(shapes: Shapes) -> Schema:
    """The schema of ``trainer``: a name, or the settings of a trainer that one of them names."""
    own = [entry for entry in entries("trainer") if entry.name in entry.settings.model_fields]
    bare = [{**shapes[entry.settings], "description": entry.card.summary} for entry in own]
    return {"anyOf": [{"$ref": "#/$defs/trainer"}, *bare], "description": "what trains the variants"}


def _name(kind: str, known: Iterable[Entry]) -> Schema:
    return {"oneOf": [{"const": entry.name, "description": entry.card.summary} for entry in known]}


def _target() -> Schema:
    target = {"type": "string", "pattern": r"^[\w.]+:[\w.]+$", "description": "your own code: module:attribute"}
    return {"type": "object", "properties": {"target": target}, "required": ["target"], "not": {"required": ["name"]}}


def _with_name(entry: Entry, shape: Schema) -> Schema:
    return {
        "type": "object",
        "description": entry.card.summary,
        "properties": {"name": {"const": entry.name}, **shape.get("properties", {})},
        "required": ["name", *shape.get("required", [])],
        "additionalProperties": False,
    }


def _named(kind: str, shapes: Shapes) -> Schema:
    """The schema of one entry of a kind: ``mlp`` or ``{name: mlp, hidden: [100]}`` or ``{target: …}``."""
    known = entries(kind)
    return {"anyOf": [_name(kind, known), *(_with_name(e, shapes[e.settings]) for e in known), _target()]}


def _item(kind: str, shapes: Shapes) -> Schema:
    """The schema of a list's item: as `_named`, or ``{dropout: {p: 0.5}}``, and for tricks a bundle's name."""
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
        options.append({"type": "string", "description": "a trick defined in this recipe under 'tricks'"})
    return {"anyOf": options}


def _schedule(shapes: Shapes) -> Schema:
    """The schema of schedules, such as ``{linear: [a, b], per: epoch}``."""
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
    return {"anyOf": rules, "description": "a schedule"}
