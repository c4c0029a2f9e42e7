"""Recipes whose settings hold other things by name: inits on inits, losses of tasks; read strictly, and part of the
fingerprint.
"""

from __future__ import annotations

import pytest

from ablate.recipe import Recipe, RecipeError, fingerprint

TEXT = """
baseline:
  name: a
  data: {{name: facial_keypoints, columns: [nose_tip]}}
  model: {model}
  loss: {loss}
  init: {init}
  optimizer: sgd
"""
TASKS = "{name: multi_task, tasks: [{outputs: 1}, {loss: huber, outputs: 1, weight: 0.5}]}"


def load(tmp_path, model="{name: mlp, hidden: [4]}", loss="mse", init="default"):
    (tmp_path / "r.yaml").write_text(TEXT.format(model=model, loss=loss, init=init))
    return Recipe.load(tmp_path / "r.yaml").variants[0].settings


def test_tasks_alphas_and_inits_are_read(tmp_path):
    settings = load(
        tmp_path,
        "{name: inception, blocks: [[1, 2, 3, 4, 5, 6]], halve: []}",
        TASKS,
        "{name: output_bias, of: {name: lsuv, of: he_uniform, tolerance: 0.1}}",
    )
    assert settings.loss.dump()["tasks"][1] == {"loss": "huber", "outputs": 1, "weight": 0.5}
    assert settings.init.dump()["of"] == {"name": "lsuv", "of": "he_uniform", "tolerance": 0.1}
    assert load(tmp_path, loss="{name: focal, alpha: [1, 2.5]}").loss.dump()["alpha"] == [1, 2.5]
    assert load(tmp_path, loss="{name: focal, alpha: 0.25}").loss.dump()["alpha"] == 0.25


def test_what_is_named_inside_decides_the_fingerprint(tmp_path):
    def key(init):
        return fingerprint(load(tmp_path, init=init), 0, folder=tmp_path)

    assert key("lsuv") == key("{name: lsuv, of: orthogonal}") == key("{name: lsuv, of: {name: orthogonal, gain: 1}}")
    assert (
        len({key("lsuv"), key("{name: lsuv, of: he_normal}"), key("{name: lsuv, of: {name: orthogonal, gain: 2}}")})
        == 3
    )


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ({"init": "{name: lsuv, of: orthogonl}"}, r"Did you mean 'orthogonal'"),
        ({"init": "{name: lsuv, of: {name: orthogonal, gain: -1}}"}, r"gain"),
        ({"loss": "{name: multi_task, tasks: [{outputs: 0}]}"}, r"outputs \(=0\) must be at least 1"),
        ({"loss": "{name: multi_task, tasks: [{outputs: 1, loss: mze}]}"}, r"loss\.tasks\[?\.?0"),
        ({"model": "{name: inception, blocks: [[1, 2, 3]]}"}, r"blocks"),
    ],
)
def test_what_is_wrong_inside_has_its_place(tmp_path, words, text):
    with pytest.raises(RecipeError, match=text) as error:
        load(tmp_path, **words)
    assert str(error.value).count("\n") <= 2
    assert "r.yaml:" in str(error.value)
