from __future__ import annotations

import numpy as np

from ablate.evidence.contrasts import Contrast, examine, far_out

CALM = np.array([0.01, -0.02, 0.0, 0.02, -0.01, 0.015])


def test_a_pair_far_out_is_found():
    wild = CALM.copy()
    wild[3] = 0.4
    assert far_out([CALM, wild]) == [[], [3]]


def test_a_few_pairs_that_agree_by_chance_do_not_make_the_rest_far():
    chance = np.array([0.1, 0.1001, 0.0999, 0.11, 0.08])
    assert far_out([chance]) == [[3, 4]]
    assert far_out([chance, CALM, CALM]) == [[], [], []]


def test_three_pairs_cannot_tell():
    assert far_out([np.array([0.1, 0.1001, 50.0])]) == [[]]
    assert far_out([np.zeros(6)]) == [[]]


def test_most_normal_rows_have_none():
    draw = np.random.default_rng(0)
    studies = [far_out(list(draw.standard_normal((6, 10)))) for _ in range(200)]
    assert np.mean([bool(row) for study in studies for row in study]) < 0.03


def test_a_comparison_that_varies_much_more_than_the_others_is_noted():
    sizes = {"a": 1.0, "b": 1.0, "c": 12.0, "d": 1.0}
    for count, noted in ((20, []), (12, ["c"]), (5, ["c"])):
        draw = np.random.default_rng(0)
        known = {
            name: Contrast(sd * draw.standard_normal(count), seeds=tuple(range(count)), reference="base")
            for name, sd in sizes.items()
        }
        found = examine(known, "lower")
        assert [n for n, one in found.items() if any(note.kind == "scatters_more" for note in one.notes)] == noted
    two = {name: known[name] for name in ("a", "c")}
    assert not any(one.notes for one in examine(two, "lower").values())
