"""Names that look the same, that nobody sees, or that a file system or a shell takes for something else."""

from __future__ import annotations

import json

import pytest

from ablate.recipe import Recipe, RecipeError

TEXT = """\
study: {study}
data: digits
baseline: {{name: net1, model: mlp, loss: cross_entropy, optimizer: {{name: sgd, lr: 0.1}}}}
tricks: {tricks}
variants:
"""

AWKWARD = ["-rf", "--help", "a b", "$x", "'", ";", "a=b", "optimizer", "epochs", "$(id)", "*", "~", "été", "👩"]


@pytest.fixture
def load(tmp_path):
    def load(*names, study="s", tricks="{}", **flags):
        rows = [
            f"  - {{name: {json.dumps(name, ensure_ascii=False)}, from: net1, set: {{epochs: {i}}}}}\n"
            for i, name in enumerate(names, 11)
        ]
        path = tmp_path / "r.yaml"
        path.write_text(TEXT.format(study=json.dumps(study), tricks=tricks) + "".join(rows), encoding="utf-8")
        return Recipe.load(path, **flags)

    return load


def test_awkward_names_are_names(load):
    assert [variant.name for variant in load(*AWKWARD).variants[1:]] == AWKWARD


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["caf\u00e9", "cafe\u0301"], "must be unique; caf\u00e9 is used on line 6 (other code points)."),
        (["\u212b", "\u00c5"], "must be unique; \u212b is used on line 6 (other code points)."),
        (["Net2", "net2"], "must be unique; Net2 is used on line 6 (case is ignored)."),
        (["net\u200b2"], "must not contain the invisible character U+200B (ZERO WIDTH SPACE). Remove it."),
        (["net\u200f2"], "must not contain the invisible character U+200F (RIGHT-TO-LEFT MARK). Remove it."),
        (["net\u202e2"], "U+202E (RIGHT-TO-LEFT OVERRIDE)"),
        (["net\u00a02"], "U+00A0 (NO-BREAK SPACE)"),
        (["net\u31642"], "U+3164 (HANGUL FILLER)"),
        (["net\ue0002"], "U+E000 (a character without a name)"),
        (["net\x1b[2J"], "must not contain control characters or line breaks."),
    ],
)
def test_names_that_look_the_same_or_are_not_seen(load, names, said):
    with pytest.raises(RecipeError) as error:
        load(*names)
    assert said in str(error.value)
    assert str(error.value).replace("\u212b", "").isprintable()


@pytest.mark.parametrize(
    "study",
    [
        "store",
        "Store",
        "..",
        ".",
        "a/b",
        "a\\b",
        "x" * 300,
        "CON",
        "con.x",
        "nul",
        "Lpt1",
        "a.",
        "a\u200bb",
        " a",
        "\u00e9" * 130,
    ],
)
def test_studies_that_no_folder_can_be_called(load, study):
    with pytest.raises(RecipeError) as error:
        load("net2", study=study)
    assert "study (=" in str(error.value)


@pytest.mark.parametrize("study", ["console", "com", "net.1", "store2", "caf\u00e9"])
def test_studies_that_a_folder_can_be_called(load, study):
    assert load("net2", study=study).study == study


def test_names_of_tricks(load):
    with pytest.raises(RecipeError) as error:
        load(
            "net2",
            tricks='{"a\u200b": {set: {epochs: 4}}, "\u00e9": {set: {epochs: 4}}, "e\u0301": {set: {epochs: 5}}}',
        )
    said = str(error.value)
    assert "must not contain the invisible character U+200B" in said
    assert "tricks.e\u0301 looks like the name of another trick." in said


def test_set_takes_a_variant_before_a_setting_and_splits_at_the_first_equals_sign(load):
    recipe = load(
        "optimizer",
        "epochs",
        "net2",
        sets=["epochs=5", "optimizer.epochs=3", "epochs.batch_size=7", "net2.data={name: digits, valid: 0.3}"],
    )
    known = {variant.name: variant.settings for variant in recipe.variants}
    assert {name: settings.epochs for name, settings in known.items()} == {
        "net1": 5,
        "optimizer": 3,
        "epochs": 5,
        "net2": 5,
    }
    assert [known[name].batch_size for name in ("optimizer", "epochs")] == [64, 7]
    with pytest.raises(RecipeError, match="lr"):  # the variant's setting 'lr', not the optimizer's
        load("optimizer", sets=["optimizer.lr=0.2"])
    with pytest.raises(RecipeError, match="'a' is neither a setting nor a variant"):
        load("a=b", sets=["a=b.epochs=3"])
