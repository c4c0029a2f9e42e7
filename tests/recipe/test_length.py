"""How long a recipe trains: whole epochs, 9.9 epochs or a number of steps."""

from __future__ import annotations

import pytest

from ablate.recipe import Recipe, RecipeError, fingerprint
from ablate.recipe.fingerprint import facts
from ablate.recipe.recipe import advice_of

TEXT = """
data: digits
baseline: {{name: a, model: mlp, loss: cross_entropy, optimizer: sgd{length}}}
variants: {variants}
"""


def load(tmp_path, length="", variants="[]", **options):
    (tmp_path / "r.yaml").write_text(TEXT.format(length=length, variants=variants))
    return Recipe.load(tmp_path / "r.yaml", **options)


def lengths(recipe):
    return [(one.settings.epochs, one.settings.steps) for one in recipe.variants]


def test_steps_and_epochs_replace_each_other_in_variants_and_flags(tmp_path):
    variants = "[{name: b, set: {steps: 500}}, {name: c, set: {epochs: 9.9}}, {name: d, set: {batch_size: 8}}]"
    recipe = load(tmp_path, ", epochs: 20", variants)
    assert lengths(recipe) == [(20, None), (0, 500), (9.9, None), (9.9, None)]
    flags = ["a.steps=300", "b.epochs=3"]
    assert lengths(load(tmp_path, ", epochs: 20", variants, sets=flags)) == [
        (0, 300),
        (3, None),
        (9.9, None),
        (9.9, None),
    ]


def test_scale_multiplies_and_rounds_up(tmp_path):
    variants = "[{name: b, set: {steps: 501}}, {name: c, set: {steps: 1}}]"
    assert lengths(load(tmp_path, ", epochs: 9.9", variants, scale=0.1)) == [(1, None), (0, 51), (0, 1)]


def test_only_steps_that_are_set_are_in_the_fingerprint(tmp_path):
    def key(length):
        return fingerprint(load(tmp_path, length).variants[0].settings, 0, folder=tmp_path)

    def known(length):
        return facts(load(tmp_path, length).variants[0].settings, folder=tmp_path)["settings"]

    assert "steps" not in known(", epochs: 20")
    assert repr(known(", epochs: 20.0")["epochs"]) == "20"
    assert key(", epochs: 20.0") == key(", epochs: 20")
    assert "epochs" not in known(", steps: 500")
    assert len({key(", epochs: 20"), key(", epochs: 9.9"), key(", steps: 20"), key(", steps: 500"), key("")}) == 5
    # of the release before 'steps'
    assert key(", epochs: 20") == "63f5642239ea9e79ac58a948475b9382"
    assert key("") == "40005608f6a673fe8b3a1dcf4593073a"


def test_nothing_is_said_of_epochs_that_are_not_known(tmp_path):
    recipe = load(tmp_path, ", steps: 500, add: [{early_stop: {patience: 50%}}, {plateau: {patience: 50}}]")
    assert advice_of(recipe) == []


@pytest.mark.parametrize(
    ("length", "variants", "sets", "message"),
    [
        (
            ", epochs: 2, steps: 3",
            "[]",
            (),
            r"r\.yaml:3:\d+: steps \(=3\) cannot be combined with epochs \(=2\)\. Remove",
        ),
        (
            "",
            "[{name: b, set: {epochs: 2, steps: 3}}]",
            (),
            r"r\.yaml:4:\d+: steps \(=3\) cannot be combined with epochs",
        ),
        ("", "[]", ("epochs=2", "steps=3"), r"--set steps=3: steps \(=3\) cannot be combined with epochs \(=2\)"),
        (", steps: 0", "[]", (), r"steps \(=0\) must be at least 1"),
        (", steps: 1.5", "[]", (), r"steps \(=1\.5\) must be an integer"),
        (", epochs: 0", "[]", (), r"epochs \(=0\) must be greater than 0"),
        (", epochs: x", "[]", (), r"epochs \(=x\) must be a number, not a string"),
    ],
)
def test_a_wrong_length_is_told(tmp_path, length, variants, sets, message):
    with pytest.raises(RecipeError, match=message) as error:
        load(tmp_path, length, variants, sets=sets)
    assert len(str(error.value).splitlines()) == 1


def test_your_own_training_counts_whole_epochs(tmp_path):
    (tmp_path / "train.py").write_text("def main(run): return run.epochs\n")
    for length, message in (("epochs: 9.9", r"epochs \(=9\.9\) must be an integer"), ("steps: 9", r"steps")):
        (tmp_path / "r.yaml").write_text(f"trainer: {{target: train:main}}\nbaseline: {{name: a, {length}}}\n")
        with pytest.raises(RecipeError, match=message):
            Recipe.load(tmp_path / "r.yaml")
