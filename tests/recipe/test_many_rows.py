"""Many rows from few lines: ``for`` and ``design``."""

from __future__ import annotations

import pytest


def names(recipe):
    return [v.name for v in recipe.variants]


def test_for_repeats_a_row_with_values_in_place(rows):
    recipe = rows(
        "{name: 'drop-{p}', description: 'dropout of {p}', for: {p: [0.1, 0.2]}, add: [{dropout: $p}], published: {valid_loss: $p}}"
    )
    assert names(recipe) == ["net1", "drop-0.1", "drop-0.2"]
    last = recipe.variant("drop-0.2")
    assert last.description == "dropout of 0.2"
    assert last.settings.tricks[0].options.hidden == 0.2
    assert last.published == {"valid_loss": 0.2}
    assert [str(c) for c in last.changes] == ["+ dropout 0.2"]


def test_whole_values_keep_their_type(rows):
    recipe = rows(
        "{name: 'a-{w}', for: {w: [[5], [6, 7]]}, set: {model.hidden: $w}}",
        "{name: '{trick}', from: net1, for: {trick: [flip, shift]}, add: [$trick]}",
        "{name: '{o}', from: net1, for: {o: [adam]}, set: {optimizer: $o}}",
    )
    assert names(recipe) == ["net1", "a-[5]", "a-[6, 7]", "flip", "shift", "adam"]
    assert recipe.variant("a-[6, 7]").settings.model.dump()["hidden"] == [6, 7]
    assert recipe.variant("shift").settings.tricks[0].name == "shift"
    assert recipe.variant("adam").settings.optimizer.name == "adam"


def test_several_keys_make_all_combinations_the_last_fastest(rows):
    recipe = rows("{name: '{a}{b}', for: {a: [last, best], b: [3, 4]}, set: {select: $a, batch_size: $b}}")
    assert names(recipe) == ["net1", "last3", "last4", "best3", "best4"]
    assert recipe.variant("best3").settings.batch_size == 3


def test_zip_pairs(rows):
    recipe = rows("{name: '{a}{b}', for: {a: [5, 6], b: [3, 4]}, zip: true, set: {epochs: $a, batch_size: $b}}")
    assert [(v.settings.epochs, v.settings.batch_size) for v in recipe.variants[1:]] == [(5, 3), (6, 4)]


def test_repeats_share_their_parent_unless_from_says_otherwise(rows):
    recipe = rows(
        "{name: a, add: [flip]}",
        "{name: 'b{e}', for: {e: [5, 6]}, set: {epochs: $e}}",
        "{name: c, add: [shift]}",
        "{name: 'd{e}', from: 'b{e}', for: {e: [5, 6]}, set: {batch_size: 8}}",
    )
    assert [(v.name, v.parent) for v in recipe.variants] == [
        ("net1", None), ("a", "net1"), ("b5", "a"), ("b6", "a"), ("c", "b6"), ("d5", "b5"), ("d6", "b6"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ("{name: a, for: {p: [0.1, 0.2]}, add: [{dropout: $p}]}",
         "10:12: variants[0].name (=a) … 'for' … 'for' … net-{key} …"),
        ("{name: 'a{p}', for: {p: [1, 2]}, add: [{dropout: $q}]}",
         "10:54: variants[0].add (=$q): 'q' is not a key of 'for'."),
        ("{name: 'a{rat}', for: {rate: [0.1]}, add: [{dropout: $rate}]}",
         "10:12: variants[0].name (=a{rat}): 'rat' is not a key of 'for'. Did you mean 'rate'?"),
        ("{name: 'a{p}', for: {p: [0.1], q: [1]}, add: [{dropout: $p}]}",
         "10:5: variants[0].for.q … $q … 'set', 'add' … 'remove' …"),
        ("{name: 'a{p}', for: {p: [1, 2], q: [1]}, zip: true, set: {epochs: $p, batch_size: $q}}",
         "10:46: variants[0].zip … 2, … 1 …"),
        ("{name: a, zip: true, add: [flip]}",
         "10:15: variants[0].zip … 'for' …"),
        ("{name: 'd{p}', for: {p: [1, 2]}, description: '{p}', add: [dropout]}",
         "10:5: variants[0].for.p … $p … 'set', 'add' … 'remove' …"),
        ("{name: 'a{p}', for: {p: 3}, add: [{dropout: $p}]}",
         "10:29: variants[0].for.p (=3) must be a list of values, such as [0.1, 0.2]."),
        ("{name: 'a{p}', for: {p: []}, add: [{dropout: $p}]}",
         "10:29: variants[0].for.p (=[]) must be a list of values, such as [0.1, 0.2]."),
        ("{name: 'a{p}', for: {p: [" + "1," * 40 + "], q: [" + "1," * 40 + "]}, set: {epochs: $p, batch_size: $q}}",
         "10:20: variants[0].for (=1600 variants) … 1000 variants …"),
        ("{name: 'a{p}', for: {p: [0.1, 1.5]}, add: [{dropout: $p}]}",
         "10:35: tricks.dropout.hidden (=1.5) must be less than 1."),
    ],
)  # fmt: skip
def test_wrong_repeats(wrong_rows, row, line):
    assert wrong_rows(row) == [f"r.yaml:{line}"]


def test_a_word_that_is_no_key_is_one_line(wrong_rows):
    row = "{name: 'a{p}', for: {p: [1, 2]}, add: [{dropout: $q}], set: {epochs: $p}}"
    on_it = "{name: b, from: a1, add: [flip]}"
    assert wrong_rows(row, on_it) == ["r.yaml:10:54: variants[0].add (=$q): 'q' is not a key of 'for'."]


def test_one_slip_in_a_repeat_is_one_line(wrong_rows):
    row = "{name: 'a{q}', for: {p: [1, 2]}, description: 'a{q}', add: [{dropout: $q}], set: {epochs: $q}}"
    assert wrong_rows(row) == ["r.yaml:10:12: variants[0].name (=a{q}): 'q' is not a key of 'for'."]


LADDER = """\
baseline: {model: mlp, loss: cross_entropy, optimizer: sgd, data: digits}
tricks: {longer: {set: {epochs: 20}, description: more of it}}
design: {ladder: [flip, longer, {dropout: 0.2}, {name: shift, pixels: 1}]}
"""


def test_a_ladder(load):
    recipe = load(LADDER)
    assert [(v.name, v.parent, v.description) for v in recipe.variants] == [
        ("baseline", None, ""), ("flip", "baseline", ""), ("longer", "flip", "more of it"),
        ("dropout", "longer", ""), ("shift", "dropout", ""),
    ]  # fmt: skip
    assert recipe.variant("shift").settings.epochs == 20
    assert {c.label for c in recipe.variant("shift").settings.tricks} == {"flip", "dropout", "shift"}
    assert recipe.variant("dropout").settings.tricks[-1].options.hidden == 0.2


UNKNOWN = (
    "… Available: ladder, leave-one-out, one-at-a-time, pairs, both-ends, factorial, screen, screen-foldover, greedy."
)


@pytest.mark.parametrize(
    ("design", "line"),
    [
        ("{pears: [flip, shift]}", f"3:10: design (=pears) {UNKNOWN} Did you mean 'pairs'?"),
        ("{lader: [flip]}", f"3:10: design (=lader) {UNKNOWN} Did you mean 'ladder'?"),
        ("{all: [flip]}", f"3:10: design (=all) {UNKNOWN}"),
        ("{pairs: [flip]}", "3:17: design.pairs (=[flip]) … 2 …"),
        ("{leave-one-out: [longer]}", "3:25: design.leave-one-out (=[longer]) … 2 …"),
        ("{pairs: [" + ", ".join(f"{{target: 'm:t{i}'}}" for i in range(45)) + "]}",
         "3:17: design.pairs (=[{target: m:t0}, {target: m:t1}, {target: m:t2}, {target: m…) … 1036 variants … 45 … 1000 …"),
        ("{ladder: flip}", "3:18: design.ladder (=flip) must be a list of tricks, such as [flip, dropout]."),
        ("{ladder: [flip, flip]}", "3:25: design.ladder[1] (=flip) … variants …"),
        ("{ladder: [flop]}", "3:19: trick (=flop) … 'flip'? …"),
        ("ladder", "3:9: design (=ladder) must be a mapping, such as {ladder: [flip, dropout]}."),
        ("{ladder: [flip], pairs: [flip]}",
         "3:9: design (={ladder: [flip], pairs: [flip]}) must name one design, such as {ladder: [flip, dropout]}."),
        ("{ladder: [flip]}\nvariants: []", "3:1: design … 'variants' …"),
    ],
)  # fmt: skip
def test_wrong_designs(problems, design, line):
    text = LADDER[: LADDER.index("{ladder")] + design + "\n"
    assert problems(text) == [f"r.yaml:{line}"]
