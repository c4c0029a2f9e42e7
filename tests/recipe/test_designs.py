"""Designs: which rows come out of tricks, from a list and from a written ladder, and that equal rows are equal runs."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from ablate.recipe import identity
from ablate.recipe.designs import DESIGNS, count_rule

TRICKS = """\
baseline: {name: plain, model: mlp, loss: cross_entropy, optimizer: sgd, data: digits}
tricks: {longer: {set: {epochs: 20}, description: more of it}}
design: {DESIGN: [flip, longer, {dropout: 0.2}]}
"""


def rows_of(recipe):
    return [(v.name, v.parent, [str(c) for c in v.changes]) for v in recipe.variants]


def on(variant):
    return {c.label for c in variant.settings.tricks} | ({"longer"} if variant.settings.epochs == 20 else set())


def test_leave_one_out(load):
    recipe = load(TRICKS.replace("DESIGN", "leave-one-out"))
    assert recipe.design == "leave-one-out"
    assert rows_of(recipe) == [
        ("plain", None, []),
        ("full", "plain", ["+ flip", "+ longer", "+ dropout 0.2"]),
        ("without flip", "full", ["− flip"]),
        ("without longer", "full", ["− longer"]),
        ("without dropout", "full", ["− dropout"]),
    ]
    assert [on(v) for v in recipe.variants] == [
        set(), {"flip", "longer", "dropout"}, {"longer", "dropout"}, {"flip", "dropout"}, {"flip", "longer"},
    ]  # fmt: skip
    assert [v.description for v in recipe.variants] == ["", "all 3 together", "", "without more of it", ""]


def test_one_at_a_time(load):
    recipe = load(TRICKS.replace("DESIGN", "one-at-a-time"))
    assert rows_of(recipe)[1:] == [
        ("only flip", "plain", ["+ flip"]), ("only longer", "plain", ["+ longer"]),
        ("only dropout", "plain", ["+ dropout 0.2"]),
    ]  # fmt: skip
    assert [on(v) for v in recipe.variants] == [set(), {"flip"}, {"longer"}, {"dropout"}]


def test_pairs_know_the_rows_that_they_put_together(load):
    recipe = load(TRICKS.replace("DESIGN", "pairs"))
    assert [(v.name, v.parent, v.of) for v in recipe.variants[4:]] == [
        ("flip + longer", "only flip", ("only flip", "only longer")),
        ("flip + dropout", "only flip", ("only flip", "only dropout")),
        ("longer + dropout", "only longer", ("only longer", "only dropout")),
    ]
    assert all(v.of == () for v in recipe.variants[:4])
    assert on(recipe.variant("longer + dropout")) == {"longer", "dropout"}
    for variant in recipe.variants[4:]:
        one, other = (recipe.variant(name) for name in variant.of)
        assert on(variant) == on(one) | on(other)


def test_both_ends(load):
    recipe = load(TRICKS.replace("DESIGN", "both-ends"))
    assert rows_of(recipe)[1:] == [
        ("only flip", "plain", ["+ flip"]), ("only longer", "plain", ["+ longer"]),
        ("only dropout", "plain", ["+ dropout 0.2"]),
        ("full", "plain", ["+ flip", "+ longer", "+ dropout 0.2"]),
        ("without flip", "full", ["− flip"]), ("without longer", "full", ["− longer"]),
        ("without dropout", "full", ["− dropout"]),
    ]  # fmt: skip
    assert recipe.tricks == ("flip", "longer", "dropout")
    assert [set(v.tricks) for v in recipe.variants] == [on(v) for v in recipe.variants]


def test_factorial(load):
    recipe = load(TRICKS.replace("DESIGN", "factorial"))
    assert [(v.name, v.parent, v.description) for v in recipe.variants[1:]] == [
        ("only flip", "plain", ""), ("only longer", "plain", "more of it"), ("only dropout", "plain", ""),
        ("flip + longer", "only flip", ""), ("flip + dropout", "only flip", ""),
        ("longer + dropout", "only longer", ""), ("full", "plain", "all 3 together"),
    ]  # fmt: skip
    assert [on(v) for v in recipe.variants] == [set(v.tricks) for v in recipe.variants]
    assert len({frozenset(v.tricks) for v in recipe.variants}) == 8


def test_two_tricks_at_both_ends_are_four_trainings(load):
    recipe = load(TRICKS.replace("DESIGN", "both-ends").replace(", {dropout: 0.2}", ""))
    assert len(recipe.variants) == 6
    assert len({json.dumps(identity(v.settings, folder=recipe.folder)) for v in recipe.variants}) == 4


def test_a_factorial_of_many_tricks_names_the_design_for_them(problems):
    text = TRICKS.replace("DESIGN", "factorial").replace("{dropout: 0.2}", "{dropout: 0.2}, shift, crop, rotate")
    assert problems(text) == [
        "r.yaml:3:21: design.factorial (=[flip, …) allows at most 5 tricks, but there are 6. Use the design screen."
    ]


MANY = TRICKS.replace("{dropout: 0.2}", "{dropout: 0.2}, shift, crop, rotate, scale")


def test_a_screen(load):
    recipe = load(MANY.replace("DESIGN", "screen"))
    assert len(recipe.variants) == 8
    assert {v.parent for v in recipe.variants[1:]} == {"plain"}
    for variant in recipe.variants[1:]:
        assert on(variant) == set(variant.tricks)
        assert len(variant.tricks) == 4
        assert variant.description == ", ".join(variant.tricks)
    folded = load(MANY.replace("DESIGN", "screen-foldover"))
    assert len(folded.variants) == 16
    assert {v.name for v in folded.variants} >= {"plain", "full", "foldover 1"}


def test_a_screen_has_limits(problems):
    few = TRICKS.replace("DESIGN", "screen")
    assert problems(few) == ["r.yaml:3:18: design.screen (=[flip, …) requires at least 4 tricks."]
    many = few.replace("flip, ", "flip, " + ", ".join(f"{{target: 'm:t{i}'}}" for i in range(23)) + ", ")
    [line] = problems(many)
    assert "allows at most 23 tricks, but there are 26. Use the design one-at-a-time." in line


@pytest.mark.parametrize("design", ["both-ends", "factorial"])
def test_combinations_that_are_the_same_are_an_error(problems, wrong_rows, design):
    """A design whose effects combine several variants skips none of them."""
    found = wrong_rows(*BRANCHES[:5], design=design)
    assert any("same settings as" in line and f"Design {design} requires tricks" in line for line in found)
    text = TRICKS.replace("DESIGN", design).replace("dropout: 0.2}", "shorter}").replace("{shorter}", "shorter")
    found = problems(text.replace("tricks: {", "tricks: {shorter: {set: {epochs: 3}}, "))
    assert any(f"Design {design} requires tricks that change different settings" in line for line in found)


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("n", [2, 3, 4, 6, 24])
def test_parents_stand_above_and_rows_are_as_many_as_announced(design, n):
    if count_rule(design, n, 1000) is not None:
        pytest.skip("too few or too many tricks")
    tricks = [f"t{i}" for i in range(n)]
    planned = DESIGNS[design].rows(tricks, "base")
    assert len(planned) + 1 == DESIGNS[design].count(n)
    known = {"base": ()}
    for row in planned:
        assert row.name not in known
        difference = set(known[row.parent]) ^ set(row.tricks)
        many = row.name.startswith(("screen ", "foldover "))
        assert many or len(difference) == (n if row.name == "full" else 1)
        assert all(set(known[one]) < set(row.tricks) for one in row.of)
        known[row.name] = row.tricks


def test_every_design_of_the_same_tricks_calls_the_same_thing_by_the_same_name(load):
    found: dict[str, str] = {}
    for design in DESIGNS:
        recipe = load(TRICKS.replace("DESIGN", "ladder").replace("0.2}", "0.2}, shift"), design=design)
        for variant in recipe.variants:
            name = json.dumps(identity(variant.settings, folder=recipe.folder))
            assert found.setdefault(variant.name, name) == name


def test_equal_combinations_are_the_same_run_whatever_design_asks_for_them(load):
    """Four tricks: of 1 + 4, 1 + 1 + 4 and 1 + 4 rows, the baseline, the full stack, three rungs … are the same."""
    text = TRICKS.replace("DESIGN", "ladder").replace("0.2}]", "0.2}, shift]")
    runs = {}
    for design in ("ladder", "leave-one-out", "one-at-a-time"):
        recipe = load(text, design=design)
        for variant in recipe.variants:
            runs.setdefault(json.dumps(identity(variant.settings, folder=recipe.folder)), set()).add(variant.name)
    names = ["flip", "longer", "dropout", "shift"]
    combos = {frozenset(names[:i]) for i in range(5)} | {frozenset((n,)) for n in names}
    combos |= {frozenset(c) for c in combinations(names, 3)}
    assert len(runs) == len(combos) == 11
    assert {"flip", "only flip"} in runs.values()
    assert {"shift", "full"} in runs.values()
    assert {"dropout", "without shift"} in runs.values()


WRITTEN = (
    "{name: net2, description: pictures turn, add: [flip], published: {valid_loss: 0.2}}",
    "{name: net3, description: more epochs, set: {epochs: 9}, published: {valid_loss: 0.1}}",
    "{name: net4, description: they also move, add: [shift]}",
)


def test_a_straight_ladder_stays_what_it_is(rows):
    plain, ladder = rows(*WRITTEN), rows(*WRITTEN, design="ladder")
    assert plain.variants == ladder.variants
    assert plain.design is None
    assert ladder.design == "ladder"


def test_the_rows_of_a_written_ladder_count_as_one_trick_each(rows):
    recipe = rows(*WRITTEN, design="leave-one-out")
    assert [(v.name, v.parent, v.description) for v in recipe.variants] == [
        ("net1", None, ""), ("full", "net1", "they also move"), ("without net2", "full", "without pictures turn"),
        ("without net3", "full", "without more epochs"), ("without net4", "full", "more epochs"),
    ]  # fmt: skip
    assert recipe.variant("full").settings == rows(*WRITTEN).variant("net4").settings
    assert recipe.variant("without net4").settings == rows(*WRITTEN).variant("net3").settings
    assert recipe.variant("without net3").settings.epochs == 4
    alone = rows(*WRITTEN, design="one-at-a-time")
    assert [v.settings.epochs for v in alone.variants] == [4, 4, 9, 4]


def test_published_numbers_stay_with_what_they_were_published_of(rows):
    assert {v.name: dict(v.published) for v in rows(*WRITTEN, design="pairs").variants if v.published} == {
        "only net2": {"valid_loss": 0.2},
        "net2 + net3": {"valid_loss": 0.1},
    }


BRANCHES = (
    "{name: net2, add: [{dropout: 0.1}], set: {epochs: 9}}",
    "{name: net3, from: net2, add: [flip]}",
    "{name: net4, from: net2, set: {optimizer.lr: 0.2}}",
    "{name: net5, from: net4, add: [flip]}",
    "{name: net6, from: net5, set: {tricks.dropout.hidden: 0.4}}",
    "{name: net7, from: net6, remove: [dropout], set: {epochs: 5}}",
)
"""net5 does on its branch what net3 did; net6 and net7 are about net2's dropout."""


def test_the_full_stack_is_all_rows_replayed_in_order(rows):
    recipe = rows(*BRANCHES[:5], design="leave-one-out")
    full = recipe.variant("full").settings
    assert full.trick("dropout").options.hidden == 0.4
    assert full == rows(*BRANCHES[:5]).variant("net6").settings
    assert recipe.variant("without net2").settings.trick("dropout") is None
    assert recipe.variant("without net2").settings.epochs == 4
    assert recipe.variant("without net6").settings.trick("dropout").options.hidden == 0.1


def test_what_a_left_out_row_brings_goes_from_all_branches(rows):
    recipe = rows(*BRANCHES[:5], design="leave-one-out")
    assert recipe.variant("without net3").settings.trick("flip") is None
    assert [v.name for v in recipe.variants] == [
        "net1", "full", "without net2", "without net3", "without net4", "without net6",
    ]  # fmt: skip
    [note] = recipe.notes
    assert "leave-one-out" in note
    assert note.endswith(": without net5 (same as without net3)")


def test_a_rung_that_repeats_another_one_is_left_out_of_the_ladder(rows):
    recipe = rows(*BRANCHES[:5], design="ladder")
    assert [(v.name, v.parent) for v in recipe.variants] == [
        ("net1", None), ("net2", "net1"), ("net3", "net2"), ("+ net4", "net3"), ("+ net6", "+ net4"),
    ]  # fmt: skip


def test_pairs_of_rows_that_say_the_same_are_asked_for_once(rows):
    recipe = rows(
        "{name: a, add: [flip]}",
        "{name: b, from: net1, add: [flip]}",
        "{name: c, from: net1, set: {epochs: 3}}",
        design="pairs",
    )
    assert [(v.name, v.of) for v in recipe.variants] == [
        ("net1", ()), ("only a", ()), ("only c", ()), ("a + c", ("only a", "only c")),
    ]  # fmt: skip


def test_what_a_row_does_to_a_trick_that_is_not_there_is_left_aside(rows):
    recipe = rows(*BRANCHES, design="leave-one-out")
    assert recipe.variant("full").settings.trick("dropout") is None
    assert recipe.variant("without net7").settings.trick("dropout").options.hidden == 0.4
    assert recipe.variant("without net7").settings.epochs == 9
    alone = rows(*BRANCHES, design="one-at-a-time")
    assert [v.name for v in alone.variants] == ["net1", "only net2", "only net3", "only net4", "only net7"]
    assert "only net5 (same as only net3), only net6 (same as net1)" in alone.notes[0]


@pytest.mark.parametrize("design", DESIGNS)
def test_what_is_wrong_with_one_trick_is_said_once(problems, design):
    text = TRICKS.replace("DESIGN", "ladder").replace("0.2}", "1.2}, shift").replace("flip", "flop")
    assert problems(text, design=design) == [
        "r.yaml:3:19: trick (=flop) … 'flip'? …",
        "r.yaml:3:43: tricks.dropout.hidden (=1.2) must be less than 1.",
    ]


def test_what_comes_of_putting_tricks_together_is_said_with_the_row(problems):
    text = TRICKS.replace("{set: {epochs: 20}", "{set: {tricks.dropout.hidden: 0.3}")
    assert problems(text.replace("DESIGN", "one-at-a-time")) == [
        "r.yaml:2:25: tricks.dropout.hidden: … (=dropout) …",
    ]
    text = text.replace("[flip, longer, {dropout: 0.2}]", "[{dropout: 0.3}, longer, flip]")
    assert problems(text.replace("DESIGN", "leave-one-out")) == [
        "r.yaml:3:42: design.leave-one-out[1] (=without longer) … full …",
    ]


def test_a_combination_that_cannot_be_is_named(wrong_rows):
    found = wrong_rows(
        "{name: a, set: {model: {name: convnet, channels: [4, 8]}}}",
        "{name: b, set: {model.channels.1: 16}}",
        design="leave-one-out",
    )
    assert found == ["r.yaml:11:21: model.channels.1: model.channels … without …"]


def test_a_design_needs_tricks(problems, wrong_rows):
    assert wrong_rows("{name: a, add: [flip]}", design="pairs") == ["--design (=pairs) … 2 …"]
    assert wrong_rows(design="ladder") == ["--design (=ladder) … 1 …"]
    assert problems(TRICKS.replace("DESIGN", "ladder").replace(", longer, {dropout: 0.2}", ""), design="pairs") == [
        "--design (=pairs) … 2 …"
    ]


def test_a_name_that_is_taken(problems):
    text = TRICKS.replace("DESIGN", "leave-one-out").replace("plain", "Full")
    assert problems(text) == ["r.yaml:3:10: design.leave-one-out.name (=full) … 1 …"]


def test_flags_speak_of_the_designs_rows(load, problems, rows, wrong_rows):
    text = TRICKS.replace("DESIGN", "leave-one-out")
    recipe = load(text, only="full,without flip", sets=["without flip.epochs=7"])
    assert [(v.name, v.settings.epochs) for v in recipe.variants] == [("full", 20), ("without flip", 7)]
    assert problems(text, only="without flop") == ["--only (=without flop) … without flip, …"]
    assert wrong_rows(*BRANCHES, design="leave-one-out", only="without net5") == [
        "--only (=without net5) … without net3 …"
    ]


def test_crossed_designs_refuse_looks(tmp_path):
    from ablate.recipe import Recipe, RecipeError

    path = tmp_path / "looks.yaml"
    path.write_text(
        "data: digits\nseeds: {until: decided}\n"
        "baseline: {model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 1}\n"
        "design: {both-ends: [{dropout: {hidden: 0.5}}, batch_norm]}\n"
    )
    with pytest.raises(RecipeError) as raised:
        Recipe.load(path)
    assert "design (=both-ends) requires a fixed number of seeds" in str(raised.value)
    assert Recipe.load(path, seeds=3).seeds == (0, 1, 2)
