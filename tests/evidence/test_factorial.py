"""Contrasts of tricks: against independent computations, and with the seeds and states that they may be taken from."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.factorial import differs, interaction, shapley, subsets
from ablate.evidence.gather import gather
from ablate.evidence.verdicts import holm
from ablate.recipe.designs import DESIGNS
from ablate.recipe.screening import aliases
from ablate.recipe.variant import Compare

BASE = "plain"


@pytest.fixture
def crossed(make_study, make_run):
    """A study of a design; ``worth`` gives the loss of a set of tricks, to which each run adds noise."""

    def make(design, tricks, worth, seeds=6, sd=0.02, runs=lambda name, losses: losses, compare=Compare()):  # noqa: B008
        draw = np.random.default_rng(3)
        planned = DESIGNS[design].rows(tricks, BASE)
        on = {BASE: (), **{row.name: row.tricks for row in planned}}
        shared = draw.standard_normal(seeds)
        noise: dict[frozenset[str], np.ndarray] = {}
        rows = {}
        for name, parent in {BASE: None, **{row.name: row.parent for row in planned}}.items():
            chosen = frozenset(on[name])
            extra = noise.setdefault(chosen, sd * draw.standard_normal(seeds))  # the same tricks are the same runs
            rows[name] = (parent, runs(name, [float(x) for x in 2 + worth(chosen) + shared + extra]))
        study = make_study(rows, compare)
        records = tuple(replace(r, variant=replace(r.variant, tricks=on[r.variant.name])) for r in study.rows)
        return replace(study, recipe=replace(study.recipe, design=design, tricks=tuple(tricks)), rows=records)

    return make


def losses(study):
    """Tricks → validation loss by seed, (n,)."""
    return {
        frozenset(r.variant.tricks): np.array([run.results["last"]["valid_loss"] for run in r.runs]) for r in study.rows
    }


def additive(chosen):
    return sum({"a": -0.3, "b": -0.2, "c": 0.1, "d": 0.05, "e": -0.1}[one] for one in chosen)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_shapley_values_are_means_over_all_orders_and_add_up(k):
    tricks = list("abcde"[:k])
    draw = np.random.default_rng(k)
    v = {chosen: float(draw.standard_normal()) for chosen in subsets(tricks)}
    found = {one: sum(w * v[chosen] for chosen, w in shapley(one, tricks).items()) for one in tricks}
    for one in tricks:
        added = []
        for order in permutations(tricks):
            before = frozenset(order[: order.index(one)])
            added.append(v[before | {one}] - v[before])
        assert found[one] == pytest.approx(np.mean(added), abs=1e-12)
    assert sum(found.values()) == pytest.approx(v[frozenset(tricks)] - v[frozenset()], abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_interactions_are_the_coefficients_of_a_polynomial_in_signs(k):
    """Fitted by least squares on a design matrix of products of ±1, which knows nothing of subsets."""
    tricks = list("abcde"[:k])
    cells = list(subsets(tricks))
    draw = np.random.default_rng(k)
    v = draw.standard_normal(len(cells))
    groups = [group for size in range(k + 1) for group in combinations(tricks, size)]
    signs = np.array([[np.prod([1 if one in cell else -1 for one in group]) for group in groups] for cell in cells])
    fitted = dict(zip(groups, np.linalg.lstsq(signs, v, rcond=None)[0], strict=True))
    for group in groups:
        if len(group) > 1:
            weights = interaction(group, tricks)
            found = sum(weights[cell] * value for cell, value in zip(cells, v, strict=True))
            assert found == pytest.approx(2 ** len(group) * fitted[group])


def test_the_interaction_of_two_tricks_by_hand():
    v = {frozenset(): 5.0, frozenset("a"): 4.0, frozenset("b"): 4.5, frozenset("ab"): 1.0}
    assert sum(w * v[s] for s, w in interaction(("a", "b"), ["a", "b"]).items()) == (1.0 - 4.5) - (4.0 - 5.0)
    assert sum(w * v[s] for s, w in differs("a", ["a", "b"]).items()) == 2.5
    assert differs("a", ["a", "b"]) == differs("b", ["b", "a"])


def test_each_family_has_its_own_t_test_and_its_own_correction(crossed):
    study = crossed("factorial", "abc", additive)
    table, v = gather(study).tricks, losses(study)
    assert table.families == {"shapley": 3, "interactions": 4}
    assert [one.tricks for one in table.interactions] == [("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    for rows, weights in (
        ([row.shapley for row in table.rows], [shapley(one, "abc") for one in "abc"]),
        ([one.effect for one in table.interactions], [interaction(one.tricks, "abc") for one in table.interactions]),
    ):
        samples = [sum(w * v[chosen] for chosen, w in each.items()) for each in weights]
        tests = [stats.ttest_1samp(sample, 0) for sample in samples]
        assert [row.value for row in rows] == pytest.approx([sample.mean() for sample in samples])
        assert [row.p for row in rows] == pytest.approx([test.pvalue for test in tests])
        assert [row.p_adjusted for row in rows] == pytest.approx(holm([float(test.pvalue) for test in tests]))
        assert [row.low for row in rows] == pytest.approx([test.confidence_interval().low for test in tests])
    assert sum(row.shapley.value for row in table.rows) == pytest.approx(table.total, abs=1e-9)
    assert table.total == pytest.approx((v[frozenset("abc")] - v[frozenset()]).mean())


def test_a_planted_interaction_is_the_strongest_one_of_its_tricks(crossed):
    study = crossed("factorial", "abc", lambda s: additive(s) + (0.2 if {"a", "c"} <= s else 0))
    table = gather(study).tricks
    found = {one.tricks: one.effect for one in table.interactions}
    assert [group for group, effect in found.items() if effect.significant] == [("a", "c")]
    assert found["a", "c"].low < 0.2 < found["a", "c"].high
    assert {row.trick: row.strongest.tricks for row in table.rows if row.trick != "b"} == {
        "a": ("a", "c"),
        "c": ("a", "c"),
    }
    # half of what a and c are worth together goes to each
    assert table.rows[2].shapley.value == pytest.approx(0.1 + 0.1, abs=0.03)
    assert table.rows[2].alone == pytest.approx(0.1, abs=0.06)
    assert table.rows[2].last == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize("design", ["both-ends", "factorial"])
def test_contrasts_leave_the_rows_as_they_are(crossed, design):
    study = crossed(design, "abc", additive)
    plain = replace(study, recipe=replace(study.recipe, design=None))
    assert gather(plain).tricks is None
    assert gather(study).rows == gather(plain).rows
    assert gather(study).family == gather(plain).family


def test_both_ends_says_of_which_trick_the_effect_depends_on_others(crossed):
    study = crossed("both-ends", "abcd", lambda s: additive(s) + (0.3 if {"a", "b"} <= s else 0))
    table, v = gather(study).tricks, losses(study)
    every = frozenset("abcd")
    assert table.families == {"differs": 4}
    assert [row.trick for row in table.rows if row.differs.significant] == ["a", "b"]
    for row in table.rows:
        one = frozenset(row.trick)
        alone, last = v[one] - v[frozenset()], v[every] - v[every - one]
        assert (row.alone, row.last) == pytest.approx((alone.mean(), last.mean()))
        assert row.differs.p == pytest.approx(stats.ttest_rel(alone, last).pvalue)
        assert row.shapley is None
        assert row.strongest is None


def test_two_tricks_have_one_test(crossed):
    table = gather(crossed("both-ends", "ab", additive)).tricks
    assert table.families == {"differs": 1}
    assert table.rows[0].differs == table.rows[1].differs
    assert table.rows[0].differs.p == table.rows[0].differs.p_adjusted


def test_only_seeds_that_all_variants_have(crossed, make_run):
    def lost(name, values):
        return [make_run(i, x, "failed" if name == "only b" and i == 2 else "finished") for i, x in enumerate(values)]

    table = gather(crossed("factorial", "ab", additive, runs=lost)).tricks
    v = losses(crossed("factorial", "ab", additive))
    sample = sum(w * v[chosen] for chosen, w in shapley("a", "ab").items())[[0, 1, 3, 4, 5]]
    assert table.rows[0].shapley.value == pytest.approx(sample.mean())
    assert table.rows[0].shapley.p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)


def test_no_value_if_a_variant_diverged_and_no_p_value_while_one_is_training(crossed, make_run):
    def with_status(status):
        def runs(name, values):
            return [make_run(i, x, status if (name, i) == ("only b", 2) else "finished") for i, x in enumerate(values)]

        return gather(crossed("factorial", "ab", additive, runs=runs)).tricks

    diverged, training = with_status("diverged"), with_status("running")
    assert [(row.shapley, row.strongest) for row in diverged.rows] == [(None, None)] * 2
    assert diverged.rows[0].alone is not None
    assert diverged.rows[1].alone is None
    for effect in (training.rows[0].shapley, training.interactions[0].effect):
        assert effect.value is not None
        assert effect.p is None
        assert effect.p_adjusted is None
    assert diverged.families == training.families == {"shapley": 2, "interactions": 1}


@pytest.mark.parametrize(("design", "extra"), [("screen", 0.1), ("screen-foldover", 0.0)])
def test_a_screen_estimates_main_effects(crossed, design, extra):
    """With seven tricks in eight runs, f is aliased with the interaction of two others; a foldover separates them."""
    tricks = "abcdefg"
    worth = {one: 0.1 * i for i, one in enumerate(tricks)}
    pairs = {one: aliases(one, tricks, matrix(design, tricks)) for one in tricks}
    pair = pairs["f"][0].tricks if pairs["f"] else ("a", "b")
    both = 0.2 if not pairs["f"] or pairs["f"][0].share > 0 else -0.2
    sign = {one: 1 if one in pair else 0 for one in tricks}

    def value(chosen):
        joint = np.prod([1 if one in chosen else -1 for one in tricks if sign[one]])
        return sum(worth[one] for one in chosen) + both / 4 * joint

    study = crossed(design, tricks, value, sd=0.0)
    table = gather(study).tricks
    for row in table.rows:
        assert row.main.value == pytest.approx(worth[row.trick] + (extra if row.trick == "f" else 0.0), abs=1e-9)
        assert row.aliases == pairs[row.trick]
    assert table.families == {"main": 7}


def matrix(design, tricks):
    return [(), *(row.tricks for row in DESIGNS[design].rows(tricks, BASE))]


def test_main_effects_have_a_t_test_over_seeds(crossed):
    study = crossed("screen", "abcd", lambda s: additive(s))
    table, v = gather(study).tricks, losses(study)
    for row in table.rows:
        sample = np.mean([x for s, x in v.items() if row.trick in s], axis=0)
        sample = sample - np.mean([x for s, x in v.items() if row.trick not in s], axis=0)
        assert row.main.p == pytest.approx(stats.ttest_1samp(sample, 0).pvalue)
    assert [row.main.p_adjusted for row in table.rows] == pytest.approx(holm([row.main.p for row in table.rows]))
    assert all(row.aliases == () for row in table.rows)


def test_a_trick_without_effect_has_exactly_none(crossed):
    """Sums of rounded numbers would give differences of 1e-17, which agree over seeds by chance."""
    table = gather(crossed("factorial", "abcde", lambda s: additive(s & {"a"}), sd=0.0)).tricks
    assert [row.shapley.value for row in table.rows[1:]] == [0.0] * 4
    assert [one.effect.value for one in table.interactions] == [0.0] * 26
    assert {row.shapley.p for row in table.rows[1:]} == {1.0}
    assert table.rows[0].shapley.value == pytest.approx(-0.3)
