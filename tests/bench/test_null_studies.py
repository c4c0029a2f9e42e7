"""The benches of verdicts: what they measure is what the package says, and their studies are as described."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.evidence.contrasts import examine
from ablate.evidence.paired import LEVEL
from ablate.evidence.verdicts import holm
from bench import calibration, calibration_families, calibration_prior, null_studies, other_tests
from bench.null_studies import Cell

CELLS = [
    Cell("star", "heavy tails", "one row's 100 times", 3, studies=15),
    Cell("chain", "normal", "parent 10 times", 5, size=3.0, studies=15),
    Cell("screen of 7", "normal", n=4, studies=15),
]


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_without_intervals_verdicts_are_the_same_and_p_says_what_an_interval_holds(cell):
    values = null_studies.values_of(cell, cell.generator())
    p, wrong = calibration.studied(cell, values)
    held = []
    for study, p_values, alarms in zip(values, p, wrong, strict=True):
        found = examine(null_studies.contrasts(study, cell.pairs, range(cell.n)), "lower")
        assert [one.effect.p for one in found.values()] == pytest.approx(list(p_values), rel=1e-12)
        assert [one.judgement.verdict in ("helps", "hurts") for one in found.values()] == list(alarms)
        held.append([one.effect.low <= 0 <= one.effect.high for one in found.values()])
    assert np.array(held).tolist() == (p >= LEVEL).tolist()
    assert 0 < np.mean(held) < 1


def test_differences_are_from_the_parents():
    values = np.arange(7.0)[:, None] ** 2
    star, chain = (null_studies.differences(values, null_studies.DESIGNS[name])[:, 0] for name in ("star", "chain"))
    assert star.tolist() == [1, 4, 9, 16, 25, 36]
    assert chain.tolist() == [1, 3, 5, 7, 9, 11]
    for pairs in null_studies.CROSSED.values():
        assert len(pairs) == 7
        assert {*pairs, *pairs.values()} == {f"net{i}" for i in range(1, 9)}
    assert set(null_studies.CROSSED["screen of 7"].values()) == {"net1"}


@pytest.mark.parametrize("noise", null_studies.NOISE)
def test_noise_has_mean_0_and_variance_1(noise):
    drawn = null_studies.NOISE[noise](np.random.default_rng(0), (200_000,))
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert drawn.var() == pytest.approx(1, abs=0.25 if noise == "heavy tails" else 0.05)
    assert (abs(stats.skew(drawn)) > 1.5) == (noise in null_studies.BREAKING)


def test_studies_have_the_scatter_and_the_effect_of_their_cell():
    cell = Cell("chain", "normal", "variances 1 to 10", 5, size=2.0, planted=5, studies=4_000)
    values = null_studies.values_of(cell, cell.generator())
    sds = np.array(null_studies.SCATTER[cell.scatter])
    assert values.std(axis=(0, 2)) == pytest.approx(sds, rel=0.03)
    assert values.mean(axis=(0, 2)) == pytest.approx([0] * 5 + [-2 * sds[5]] * 2, abs=0.1)
    assert replace(cell, again=True).generator().random() != cell.generator().random()


def test_cells_that_break_t_tests_are_named_apart():
    titles = {title: {cell.breaking for cell in cells} for title, cells in calibration.NULL.items()}
    assert titles.pop("Arrangements known to break any t-test") == {True}
    assert set(map(frozenset, titles.values())) == {frozenset({False})}


def test_a_rate_above_the_limit_is_measured_once_more():
    assert null_studies.limit(2_500) == pytest.approx(0.05 + 2 * np.sqrt(0.05 * 0.95 / 2_500), rel=1e-12)
    assert null_studies.rate_text(0.05, 2_500, lambda: pytest.fail("within the limit")) == "5.0"
    assert null_studies.rate_text(0.06, 2_500, lambda: 0.051) == "6.0; 10,000 others: 5.1"
    assert null_studies.rate_text(0.06, 2_500, lambda: 0.055) == "6.0; 10,000 others: 5.5 **exceeds**"


def test_partial_studies_are_corrected_over_all_planned_comparisons():
    cell = Cell("star", "normal", n=5)
    values = np.random.default_rng(3).standard_normal((7, 10))
    known = null_studies.contrasts(values, {"net3": "net1"}, range(5))
    p = stats.ttest_rel(values[2, :5], values[0, :5]).pvalue
    assert calibration.verdicts_of(cell, known)["net3"].judgement.p_adjusted == pytest.approx(min(1, 6 * p), rel=1e-9)
    assert not any(shown(cell, values) for shown in calibration.SHOWN.values())
    values[6] += 50  # not among the first three, and still under way
    assert [shown(cell, values) for shown in calibration.SHOWN.values()] == [False, True, False, True]


def test_the_other_tests_against_scipy():
    draw = np.random.default_rng(1)
    rows = draw.standard_normal((4, 6, 5))
    pairs = null_studies.DESIGNS["star"]
    expected = stats.ttest_1samp(rows, 0, axis=-1).pvalue
    assert other_tests.own(rows, pairs) == pytest.approx(expected, rel=1e-9)
    y = np.array([0.1, 1.0, 30.0])
    assert other_tests.polygamma(1, other_tests.trigamma_inverse(y)) == pytest.approx(y, rel=1e-9)
    assert other_tests.holm_rejects(np.array([[0.001, 0.03, 0.04, 0.9]])).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("name", calibration_families.KINDS)
def test_effects_of_tricks_are_found_and_tested_like_paired_t_tests(name):
    kind = calibration_families.KINDS[name]
    variants = kind.variants
    weights = kind.contrasts(kind.tricks, variants)
    place = {chosen: i for i, chosen in enumerate(variants)}
    values = np.random.default_rng(2).standard_normal((len(variants), 5))
    found, held = calibration_families.study(
        {k: {place[v]: w for v, w in e.items() if w} for k, e in weights.items()}, values
    )
    samples = [sum(w * values[place[v]] for v, w in each.items()) for each in weights.values()]
    tests = [stats.ttest_1samp(sample, 0) for sample in samples]
    assert found == [q < LEVEL for q in holm([float(test.pvalue) for test in tests])]
    assert held == [test.pvalue >= LEVEL for test in tests]
    cell = calibration_families.FamilyCell(name, "normal", 5, size=100.0, studies=3)
    assert calibration_families.judged(cell)[0][:, 0].all()


def test_earlier_studies_have_the_scatter_of_their_comparisons():
    studies = np.random.default_rng(2).standard_normal((2, 7, 5))
    found = calibration_prior.scatter_of(studies, null_studies.DESIGNS["chain"])
    assert [(one["study"], one["variant"], one["from"]) for one in found[5:7]] == [
        ("0", "net7", "net6"),
        ("1", "net2", "net1"),
    ]
    assert found[6]["variance"] == pytest.approx(np.var(studies[1, 1] - studies[1, 0], ddof=1), rel=1e-12)
    assert {one["degrees"] for one in found} == {4}
