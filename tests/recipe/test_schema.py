"""The JSON schema: what reads is valid, and what an editor can see to be wrong is not."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from ablate.recipe import recipe_schema
from ablate.recipe.yaml_text import read_yaml
from ablate.registry import entries

SCHEMA = recipe_schema()
VALID = jsonschema.Draft202012Validator(SCHEMA)
BASELINE = "baseline: {model: mlp, loss: mse, optimizer: sgd, data: digits}\n"


def plain(text):
    return read_yaml(text, "r.yaml").plain()


def test_it_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_reference_leads_somewhere():
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    missing = {ref for ref in references(SCHEMA) if ref.removeprefix("#/$defs/") not in SCHEMA["$defs"]}
    assert missing == set()


def test_it_knows_every_name_with_its_summary():
    for entry in entries():
        if entry.kind == "schedule":
            continue
        named = SCHEMA["$defs"][entry.kind]["anyOf"][0]["oneOf"]
        assert {"const": entry.name, "description": entry.card.summary} in named


def test_every_shipped_recipe_is_valid():
    found = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
    assert found
    for path in found:
        VALID.validate(plain(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "rest",
    [
        "variants: [{name: a, add: [flip, {dropout: 0.5}, {dropout: {conv: [0.1, 0.2]}}, {name: shift, pixels: 2}, mine, {flip: }]}]",
        "variants: [{name: 'a{p}', for: {p: [1, 2]}, zip: true, add: [{dropout: $p}, $p], set: {epochs: $p, model: {name: mlp, hidden: $p}}}]",
        "variants: [{name: a, set: {optimizer.lr: {linear: [0.1, 0], per: epoch}, model.hidden: [3], tricks.flip.share: 1}, remove: [x]}]",
        "variants: [{name: a, set: {optimizer: {name: sgd, lr: {warmup: 5, then: {cosine: [0.1, 0]}}}}}]",
        "variants: [{name: a, set: {optimizer: {name: sgd, lr: {points: [[0, 0.1], [50%, 0]]}}, monitor.metric: accuracy}}]",
        "variants: [{name: a, set: {optimizer: {name: sgd, lr: {step: {start: 1, size: 3, gamma: 0.1}}}, model: {target: 'a.b:C', x: 1}}}]",
        "variants: [{name: a, add: [{target: 'a:b', x: 1}], published: {valid_loss: 1}}]",
        "design: {ladder: [flip, {dropout: 0.2}]}",
        "tricks: {mine: {add: [flip], set: {epochs: 3}, description: x}}",
        "metrics: [accuracy]\nseeds: [1, 2]\ncompare: {metric: accuracy, better: higher, at: best}",
    ],
)
def test_the_language_is_valid(rest):
    VALID.validate(plain(BASELINE.replace("}\n", ", epochs: 5}\n") + rest))


@pytest.mark.parametrize(
    "text",
    [
        "study: a\n",
        BASELINE + "varients: []\n",
        BASELINE + "seeds: 0\n",
        BASELINE.replace("mlp", "mpl"),
        BASELINE.replace("mlp", "{name: mlp, hiden: [3]}"),
        BASELINE.replace("sgd", "{name: sgd, lr: fast}"),
        BASELINE.replace("sgd", "{name: sgd, lr: -1}"),
        BASELINE.replace("sgd", "{name: sgd, lr: {linaer: [1, 0]}}"),
        BASELINE.replace("sgd", "{name: sgd, lr: {linear: 1}}"),
        BASELINE.replace("}\n", ", steps: 1.5}\n"),
        BASELINE + "variants: [{add: [flip]}]\n",
        BASELINE + "variants: [{name: a, ad: [flip]}]\n",
        BASELINE + "variants: [{name: a, add: flip}]\n",
        BASELINE + "variants: [{name: a, add: [{dropout: {hiden: 1}}]}]\n",
        BASELINE + "variants: [{name: a, set: {epohcs: 3}}]\n",
        BASELINE + "variants: [{name: a/b, add: [flip]}]\n",
        BASELINE + "design: {pairs: [flip]}\n",
    ],
)
def test_what_an_editor_can_see_to_be_wrong(text):
    assert not VALID.is_valid(plain(text))
