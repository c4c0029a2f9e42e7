"""What differs between two rows."""

from __future__ import annotations

from ablate.recipe import differences


def between(recipe, a, b):
    return differences(recipe.variant(a).settings, recipe.variant(b).settings)


def test_differences(rows):
    recipe = rows(
        "{name: a, set: {epochs: 6, optimizer.lr: {linear: [0.1, 0.01]}}}",
        "{name: b, add: [{dropout: {hidden: 0.5}}, flip]}",
        "{name: c, set: {tricks.dropout.hidden: 0.3, metrics: [accuracy, rmse_pixels]}}",
        "{name: d, from: net1, set: {model: {name: convnet, channels: [8], hidden: [10]}}}",
    )
    assert between(recipe, "a", "a") == []
    assert between(recipe, "net1", "a") == [
        ("optimizer.lr", 0.1, {"linear": [0.1, 0.01], "per": "step"}),
        ("epochs", 4, 6),
    ]
    assert between(recipe, "b", "a") == [
        ("tricks.flip", {"share": 0.5, "alternate": False}, None),
        ("tricks.dropout", {"conv": 0.0, "hidden": 0.5, "existing": None}, None),
    ]
    assert between(recipe, "b", "c") == [
        ("tricks.dropout.hidden", 0.5, 0.3),
        ("metrics.rmse_pixels", None, {}),
    ]
    found = {path: values for path, *values in between(recipe, "net1", "d")}
    assert found["model.name"] == ["mlp", "convnet"]
    assert found["model.channels"] == [None, [8]]
    assert "model.hidden" not in found
    assert {path.partition(".")[0] for path in found} == {"model"}
