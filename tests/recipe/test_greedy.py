"""The design greedy in a recipe: which variants a path and its candidates are, and what cannot be selected."""

from __future__ import annotations

import json
from itertools import permutations

import jsonschema
import pytest

from ablate.recipe import identity
from ablate.recipe.schema import recipe_schema
from ablate.recipe.tuning import RESERVED
from ablate.recipe.yaml_text import read_yaml

TRICKS = """\
baseline: {name: plain, model: mlp, loss: cross_entropy, optimizer: sgd, data: digits, add: [clip_norm]}
tricks: {longer: {set: {epochs: 20}, description: more of it}}
design: {greedy: [flip, longer, {dropout: 0.2}]}
"""


def named(recipe, variant):
    return json.dumps(identity(variant.settings, folder=recipe.folder))


def test_the_variants_are_the_first_candidates(load):
    recipe = load(TRICKS)
    assert [(v.name, v.parent) for v in recipe.variants] == [
        ("plain", None), ("only flip", "plain"), ("only longer", "plain"), ("only dropout", "plain"),
    ]  # fmt: skip
    assert recipe.tricks == ("flip", "longer", "dropout")
    assert recipe.greedy.seeds == (RESERVED, RESERVED + 1, RESERVED + 2)
    assert recipe.greedy.most_candidates == 7
    assert load(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 1}")).greedy.seeds == (RESERVED,)


def test_a_path_is_a_ladder_in_the_order_of_the_choices(load):
    path, candidates = load(TRICKS).greedy.built(["dropout", "longer"])
    assert [(v.name, v.parent, [str(c) for c in v.changes], v.description) for v in path] == [
        ("plain", None, ["+ clip_norm"], ""),
        ("+ dropout", "plain", ["+ dropout 0.2"], ""),
        ("+ longer", "+ dropout", ["+ longer"], "more of it"),
    ]
    [(trick, last)] = candidates.items()
    assert (trick, last.name, last.parent) == ("flip", "+ flip (step 3)", "+ longer")
    assert [str(c) for c in last.changes] == ["+ flip"]


def test_every_path_has_the_settings_of_the_same_combination_in_a_factorial_design(load):
    recipe = load(TRICKS)
    known = {frozenset(v.tricks): named(recipe, v) for v in load(TRICKS.replace("greedy", "factorial")).variants}
    assert len(known) == 8
    for order in permutations(recipe.tricks):
        for size in range(4):
            path, candidates = recipe.greedy.built(order[:size])
            for variant in (*path, *candidates.values()):
                assert named(recipe, variant) == known[frozenset(variant.tricks)]


def test_written_variants_are_tricks(rows):
    recipe = rows("{name: a, description: pictures turn, add: [flip]}", "{name: b, set: {epochs: 9}}", design="greedy")
    path, candidates = recipe.greedy.built(["b", "a"])
    assert [(v.name, v.parent, v.description) for v in path] == [
        ("net1", None, ""), ("+ b", "net1", ""), ("+ a", "+ b", "pictures turn"),
    ]  # fmt: skip
    assert candidates == {}
    assert (path[2].settings.epochs, path[2].settings.trick("flip") is not None) == (9, True)


def test_a_flag_for_a_trick_counts_in_every_variant_that_has_it(load):
    greedy = load(TRICKS, sets=["tricks.dropout.hidden=0.4"]).greedy
    path, candidates = greedy.built([])
    assert len(path) == 1
    assert candidates["dropout"].settings.trick("dropout").options.hidden == 0.4


def test_looks_and_the_log_scale_are_possible(load):
    recipe = load("seeds: {until: decided}\ncompare: {scale: log}\n" + TRICKS)
    assert recipe.looks is not None
    assert recipe.greedy.compare.log


@pytest.mark.parametrize(
    ("more", "flags", "error"),
    [
        ("tune: {optimizer.lr: {times: [1, 2]}}", {}, "r.yaml:4:7: tune cannot be combined with design (=greedy) …"),
        ("", {"only": "only flip"}, "--only cannot be combined with design (=greedy) …"),
        ("", {"sets": ["plain.epochs=3"]}, "--set plain.epochs=3: plain.epochs cannot be set for one variant …"),
        ("seeds: [3, 1000002]", {}, "seed (=1000002) is reserved for selecting tricks (1000000 to 1000002) …"),
        ("", {"seeds": "1000000,1"}, "seed (=1000000) is reserved …"),
    ],
)
def test_what_cannot_be_selected_is_one_line(problems, more, flags, error):
    assert problems(TRICKS + more, **flags) == [error]


def test_combinations_that_cannot_be_are_an_error_before_anything_is_trained(problems):
    text = TRICKS.replace("{dropout: 0.2}", "other").replace("more of it}}", "more of it}, other: {set: {epochs: 40}}}")
    found = problems(text)
    assert found == [
        "r.yaml:3:33: design.greedy[2] (=longer + other) has the same settings as only other. Design greedy …"
    ]
    assert problems(TRICKS.replace("flip, longer, {dropout: 0.2}", "longer")) == ["r.yaml:3:18: … at least 2 …"]


def test_a_trick_that_starts_from_another_variant_cannot_be_selected(problems):
    [line] = problems(TRICKS.replace("{dropout: 0.2}", "{from_weights: plain}"))
    assert "is based on plain, so design (=greedy) cannot select it." in line


def test_the_baseline_has_a_name_of_its_own(problems):
    [line] = problems(TRICKS.replace("name: plain", "name: + flip"))
    assert line.startswith("r.yaml:1:18: baseline.name (=+ flip) is the name of another variant with design (=greedy).")


def test_seeds_are_an_integer_and_for_greedy_only(problems):
    assert problems(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 0}")) == ["r.yaml:3:57: design.seeds (=0) must be … 100."]
    assert problems(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: true}")) == [
        "r.yaml:3:57: design.seeds (=true) must be …"
    ]
    assert problems(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 2}").replace("greedy", "ladder")) == [
        "r.yaml:3:57: design.seeds (=2) requires the design greedy …"
    ]


def test_the_schema_knows_the_seeds():
    check = jsonschema.Draft202012Validator(recipe_schema())

    def valid(text):
        return check.is_valid(read_yaml(text, "r.yaml").plain())

    assert valid(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 5}"))
    assert not valid(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 0}"))
    assert not valid(TRICKS.replace(" 0.2}]}", " 0.2}], seeds: 5}").replace("greedy", "ladder"))
    assert not valid(TRICKS.replace(" 0.2}]}", " 0.2}], ladder: [flip]}"))
    assert not valid(TRICKS.replace("greedy: [flip, longer, {dropout: 0.2}]", "seeds: 2"))
