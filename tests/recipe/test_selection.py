"""The selecting flags: which rows, which seeds, which settings for once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ablate.recipe import Recipe, RecipeError
from ablate.recipe.recipe import advice_of

THREE = ("{name: net2, add: [flip]}", "{name: net3, add: [{dropout: 0.5}], set: {epochs: 10}}")


def epochs(recipe):
    return {v.name: v.settings.epochs for v in recipe.variants}


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(3, (0, 1, 2)), ("3", (0, 1, 2)), ("0,3,7", (0, 3, 7)), ("7,", (7,)), ([5], (5,)), ((2, 1), (2, 1))],
)
def test_seeds(rows, seeds, expected):
    recipe = rows(*THREE, more="seeds: 9\n", seeds=seeds)
    assert recipe.seeds == expected
    assert rows(*THREE, seeds=recipe.selection[1]).seeds == expected


def test_a_variant_that_a_flag_makes_equal_to_its_parent_gets_a_note(rows):
    lines = ("{name: net2, set: {epochs: 8}}", "{name: net3, set: {batch_size: 8}}")
    assert advice_of(rows(*lines)) == []
    assert advice_of(rows(*lines, sets=["epochs=9"], seeds=2))[0].startswith("net2: ")
    assert "net1" in advice_of(rows(*lines, sets=["epochs=9"]))[0]
    assert advice_of(rows(*lines, sets=["optimizer.lr=1"])) == []


@pytest.mark.parametrize("trick", ["early_stop", "plateau"])
def test_patience_that_never_runs_out_gets_a_note(rows, trick):
    [line] = advice_of(rows(f"{{name: net2, add: [{{{trick}: {{patience: 4}}}}]}}"))
    assert line.startswith(f"net2: tricks.{trick}.patience (=4) ")
    assert advice_of(rows(f"{{name: net2, add: [{{{trick}: {{patience: 3}}}}]}}")) == []


def test_without_flags_the_recipe_as_written_is_meant(rows):
    assert rows(*THREE, more="seeds: [4, 2]\n").seeds == (4, 2)


@pytest.mark.parametrize("only", ["net3", ["net3"], ("net3",)])
def test_only_keeps_rows_without_their_parents(rows, only):
    recipe = rows(*THREE, only=only)
    assert [(v.name, v.parent) for v in recipe.variants] == [("net3", "net2")]
    assert recipe.variant("net3").settings.tricks[0].name in ("flip", "dropout")
    assert recipe.selection == ("--only", "net3")


def test_only_with_a_comma_in_a_name(rows):
    assert [v.name for v in rows("{name: 'a, b', add: [flip]}", only="a, b").variants] == ["a, b"]
    assert [v.name for v in rows("{name: a, add: [flip]}", "{name: b, add: [shift]}", only="net1, b").variants] == [
        "net1",
        "b",
    ]


def test_only_with_commas_in_some_of_several_names(rows):
    lines = ("{name: 'a, b', add: [flip]}", "{name: b, add: [shift]}", "{name: 'b,c,', add: [dropout]}")
    for only, kept in [
        ("a, b,b", ["a, b", "b"]),
        ("net1,b,c,", ["net1", "b,c,"]),
        (" b , a, b ", ["a, b", "b"]),
        (["b", "a, b"], ["a, b", "b"]),
    ]:
        recipe = rows(*lines, only=only)
        assert [v.name for v in recipe.variants] == kept
        assert [v.name for v in rows(*lines, only=recipe.selection[1]).variants] == kept
    with pytest.raises(RecipeError, match=r"^--only \(=a\) is not "):
        rows(*lines, only="a, c")


def test_set_for_all_rows_comes_after_each_rows_own(rows):
    recipe = rows(*THREE, sets=["epochs=50", "optimizer.lr={linear: [0.1, 0.01]}"])
    assert epochs(recipe) == {"net1": 50, "net2": 50, "net3": 50}
    assert recipe.variant("net3").settings.optimizer.dump()["lr"] == {"linear": [0.1, 0.01], "per": "step"}


def test_set_for_one_row_is_not_inherited(rows):
    assert epochs(rows(*THREE, sets=["net1.epochs=7"])) == {"net1": 7, "net2": 4, "net3": 10}
    assert epochs(rows(*THREE, sets=["epochs=3", "net2.epochs=7"])) == {"net1": 3, "net2": 7, "net3": 3}


def test_a_row_whose_name_has_dots(rows):
    recipe = rows(
        "{name: v1.epochs, add: [flip]}", "{name: v1, add: [shift]}", sets=["v1.epochs.epochs=7", "v1.batch_size=3"]
    )
    assert epochs(recipe) == {"net1": 4, "v1.epochs": 7, "v1": 4}
    assert recipe.variant("v1").settings.batch_size == 3


def test_set_into_a_trick_is_for_the_rows_that_have_it(rows):
    recipe = rows(*THREE, sets=["tricks.dropout.hidden=0.25"])
    assert recipe.variant("net3").settings.trick("dropout").options.hidden == 0.25
    assert recipe.variant("net2").settings.trick("dropout") is None


def test_rows_may_become_equal_through_flags(rows):
    assert epochs(rows("{name: net2, set: {epochs: 8}}", sets=["epochs=2"])) == {"net1": 2, "net2": 2}
    assert epochs(rows("{name: net2, set: {epochs: 8}}", scale=0.01)) == {"net1": 1, "net2": 1}


def test_a_change_that_changes_nothing_stays_wrong_under_flags(wrong_rows):
    assert wrong_rows("{name: net2, set: {epochs: 4}}", sets=["net2.epochs=7"]) == [
        "r.yaml:10:12: variants[0] (=net2) … net1 …"
    ]


def test_a_flag_may_mend_what_the_recipe_lacks(wrong_rows, tmp_path: Path):
    np.savez(tmp_path / "faces.npz", x=np.zeros(1))
    row = "{name: net2, set: {data: {name: npz, path: nowhere.npz}}}"
    assert len(wrong_rows(row)) == 1
    assert wrong_rows(row, sets=["net2.data.path=faces.npz"]) == []


def test_paths_are_relative_to_where_they_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in ("recipes", "here"):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "faces.npz", x=np.zeros(1))
    text = "baseline: {model: mlp, loss: mse, optimizer: sgd, data: {name: npz, path: faces.npz}}\n"
    (tmp_path / "recipes" / "r.yaml").write_text(text)
    monkeypatch.chdir(tmp_path / "here")

    def path(**flags):
        return Recipe.load("../recipes/r.yaml", **flags).variants[0].settings.data.options.path.resolve()

    assert path() == tmp_path / "recipes" / "faces.npz"
    assert path(sets=["data.path=faces.npz"]) == tmp_path / "here" / "faces.npz"
    assert path(sets=["data={name: npz, path: ../here/faces.npz}"]) == tmp_path / "here" / "faces.npz"


def test_scale_multiplies_every_number_of_epochs(rows):
    more = "{name: net2, add: [{early_stop: {patience: 7}}], set: {epochs: 30, optimizer.lr: {warmup: 5, then: 0.1}}}"
    settings = rows(more, "{name: net3, set: {tricks.early_stop.patience: 50%}}", scale=0.1).variants
    assert [v.settings.epochs for v in settings] == [1, 3, 3]
    assert settings[1].settings.tricks[0].dump()["patience"] == 1
    assert settings[2].settings.tricks[0].dump()["patience"] == "50%"
    assert settings[1].settings.optimizer.dump()["lr"]["warmup"] == 1


def test_scale_multiplies_the_default_epochs_too(load):
    text = "baseline: {model: mlp, loss: mse, optimizer: sgd, data: digits}\n"
    assert load(text).variants[0].settings.epochs == 10
    assert load(text, scale=0.5).variants[0].settings.epochs == 5
    assert load(text, scale=2, sets=["epochs=50"]).variants[0].settings.epochs == 100


def test_a_written_ladder_is_a_ladder_of_its_rows(rows):
    plain = rows("{name: net2, add: [flip], set: {epochs: 9}}", "{name: net3, from: net1, add: [shift]}")
    ladder = rows(
        "{name: net2, add: [flip], set: {epochs: 9}}", "{name: net3, from: net1, add: [shift]}", design="ladder"
    )
    assert [v.parent for v in plain.variants] == [None, "net1", "net1"]
    assert [(v.name, v.parent) for v in ladder.variants] == [("net1", None), ("net2", "net1"), ("+ net3", "net2")]
    assert ladder.variant("+ net3").settings.epochs == 9
    assert ladder.selection == ("--design", "ladder")


def test_the_selection_is_what_was_typed(rows):
    recipe = rows(*THREE, seeds=2, only=["net1", "net3"], sets=["epochs=2", "net3.epochs=1"], scale=0.5)
    assert recipe.selection == (
        "--seeds", "2", "--only", "net1,net3", "--set", "epochs=2", "--set", "net3.epochs=1", "--scale", "0.5",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"seeds": "0,x"}, "--seeds (=0,x) … (5) … (0,3,7) …"),
        ({"seeds": 0}, "--seeds (=0) … 1 … 1000 …"),
        ({"seeds": 10**9}, "--seeds (=1000000000) … 1 … 1000 …"),
        ({"seeds": "1,1"}, "--seeds (=1,1) …"),
        ({"only": "nte3"}, "--only (=nte3) … net1, net2, net3."),
        ({"only": ""}, "--only … variants, … net1,net2 …"),
        ({"design": "pears"}, "--design (=pears) … pairs … 'pairs'? …"),
        ({"scale": 0}, "--scale (=0) must be greater than 0."),
        ({"scale": float("nan")}, "--scale (=nan) must be greater than 0."),
        ({"sets": ["epochs"]}, "--set (=epochs) … epochs=50 …"),
        ({"sets": ["epochs=abc"]}, "--set epochs=abc: epochs (=abc) must be a number, not a string."),
        ({"sets": ["epochs="]}, "--set epochs=: epochs (=null) must be a number."),
        ({"sets": ["epohcs=3"]}, "--set epohcs=3: 'epohcs' … 'epochs'? …"),
        ({"sets": ["nte3.epochs=3"]}, "--set nte3.epochs=3: 'nte3' … net1, net2, net3."),
        ({"sets": ["net3.epoch=3"]}, "--set net3.epoch=3: epoch is not a setting. Did you mean 'epochs'?"),
        ({"sets": ["optimizer.lr=.nan"]}, "--set optimizer.lr=.nan: optimizer.lr (=.nan) must be a finite number."),
        ({"sets": ["model.hidden=[3"]},
         "--set model.hidden=[3: Invalid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'."),
        ({"sets": ["seeds=4"]}, "--set seeds=4: seeds … 4 …"),
        ({"sets": ["tricks.shift.pixels=2"]}, "--set tricks.shift.pixels=2: tricks.shift.pixels: …"),
    ],
)  # fmt: skip
def test_wrong_flags(wrong_rows, flags, line):
    assert wrong_rows(*THREE, **flags) == [line]
