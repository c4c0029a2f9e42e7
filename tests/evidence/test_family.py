"""Verdicts are corrected over the comparisons that the recipe plans, whichever are shown or finished, and variances are
estimated from all of them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from scipy import optimize, stats

from ablate.api import table
from ablate.evidence.contrasts import Contrast, examine
from ablate.evidence.gather import gather
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.recipe.variant import Compare
from ablate.report.formats import render
from ablate.report.summary import summary
from ablate.store.store import Store

PARENTS = {"base": None, "a": "base", "b": "base", "c": "b", "d": "c", "e": "base", "tuned": "d"}
SHIFT = {"base": 0.0, "a": 0.004, "b": -0.03, "c": -0.031, "d": -0.06, "e": -0.008, "tuned": -0.075}
SUBSETS = [names for n in range(1, 8) for names in combinations(PARENTS, n)]
UNFINISHED = [(), ("a",), ("d",), ("b", "e"), ("a", "b", "c", "e"), ("a", "b", "e")]


@pytest.fixture
def losses():
    """Five losses of each variant: fixed numbers."""
    draw = np.random.default_rng(19)
    shared = 0.05 * draw.standard_normal(5)
    sds = dict(zip(PARENTS, (0.01, 0.012, 0.008, 0.01, 0.02, 0.006, 0.011), strict=True))
    return {name: list(0.5 + SHIFT[name] + shared + sds[name] * draw.standard_normal(5)) for name in PARENTS}


@pytest.fixture
def study(make_study, make_run, losses):
    """The study; the last seeds of the variants ``waiting`` have not finished."""

    def make(waiting=(), compare=Compare()):  # noqa: B008
        runs = {name: [make_run(seed, value) for seed, value in enumerate(losses[name])] for name in PARENTS}
        for name in waiting:
            runs[name][3:] = [make_run(3, None, "running"), make_run(4, None, "queued")]
        return make_study({name: (PARENTS[name], runs[name]) for name in PARENTS}, compare)

    return make


def selected(study, names):
    """The study as ``--only`` shows it."""
    return replace(study, rows=tuple(row for row in study.rows if row.variant.name in names), family=study.rows)


def judged(table):
    """What a table says of each comparison."""
    return {
        row.variant: (row.delta_parent, row.ci_low, row.ci_high, row.p, row.p_adjusted, row.verdict, row.detectable)
        for row in table.rows
    }


@pytest.mark.parametrize("waiting", UNFINISHED, ids=",".join)
def test_a_verdict_does_not_depend_on_what_is_shown(study, waiting):
    whole = study(waiting)
    every = judged(gather(whole))
    assert any(word is not None for *_, word, _ in every.values())
    for names in SUBSETS[len(waiting) :: 5]:
        assert judged(gather(selected(whole, names))) == {name: every[name] for name in names}, names


@pytest.mark.parametrize("waiting", UNFINISHED, ids=",".join)
def test_p_values_are_those_of_an_independent_computation(study, losses, waiting):
    """From docs/evidence.md, with SciPy: Smyth's test averaged over priors, and Holm over six planned comparisons."""
    samples, known = {}, {}
    for name, parent in PARENTS.items():
        if parent is not None:
            n = 3 if {name, parent} & set(waiting) else 5
            samples[name] = np.subtract(losses[name][:n], losses[parent][:n])
            known[name] = n == 5
    p_values = moderated_p(samples, PARENTS)
    rows = {row.variant: row for row in gather(study(waiting)).rows}
    twice = {f"{name} again": 1.0 for name in p_values if waiting}  # each counts twice until all have finished
    expected = holm({name: p if known[name] else 1.0 for name, p in p_values.items()} | twice)
    for name in samples:
        if known[name]:
            assert rows[name].p == pytest.approx(p_values[name], rel=1e-9)
            assert rows[name].p_adjusted == pytest.approx(expected[name], rel=1e-9)
            assert (rows[name].verdict in ("helps", "hurts")) == (expected[name] < 0.05)
        else:
            assert (rows[name].p, rows[name].p_adjusted, rows[name].verdict) == (None, None, None)


def moderated_p(samples, parents):
    """Raw p-values of paired differences."""
    grid, trust = (0.5, 1, 2, 4, 8, 16, 64), (4, 4, 3, 2, 1, 1, 1)
    degrees = {name: len(d) - 1 for name, d in samples.items()}
    variances = {name: np.var(d, ddof=1) for name, d in samples.items()}
    logs = np.log(list(variances.values()))
    scales = np.exp(np.linspace(logs.min() - 3, logs.max() + 3, 40))

    def r(one, other):
        sides = [{name: 1.0, parents[name]: -1.0} for name in (one, other)]
        return sum(sides[0].get(name, 0.0) * weight for name, weight in sides[1].items()) / 2

    def r2(one, other):
        """As measured on the common seeds, which are the first ones, of comparisons that share a variant."""
        if not r(one, other):
            return 0.0
        n = min(len(samples[one]), len(samples[other]))
        return 1 - (1 - np.corrcoef(samples[one][:n], samples[other][:n])[0, 1] ** 2) * (n - 1) / (n - 2)

    count, both = len(samples), list(product(samples, samples))
    equal, seen = sum(r(*each) ** 2 for each in both), sum(r2(*each) for each in both)
    temper = np.sqrt(count / equal)
    temper *= (equal / max(seen, equal)) ** (np.log(temper * count) / np.log(count**2 / equal))
    likely = np.array(
        [
            [
                np.log(w) + temper * sum(stats.f.logpdf(variances[x] / s, degrees[x], d0) + np.log(variances[x] / s)
                                         for x in samples)
                for s in scales
            ]
            for d0, w in zip(grid, trust, strict=True)
        ]
    )  # fmt: skip
    weights = np.exp(likely - likely.max())
    weights /= weights.sum()
    found = {}
    for name, d in samples.items():
        n, own = len(d), stats.ttest_1samp(d, 0).pvalue
        pooled = sum(
            weights[i, j]
            * 2
            * stats.t.sf(
                abs(d.mean()) / np.sqrt((d0 * s + degrees[name] * variances[name]) / (d0 + degrees[name]) / n),
                d0 + degrees[name],
            )
            for i, d0 in enumerate(grid)
            for j, s in enumerate(scales)
        )
        found[name] = weighted(pooled, own)
    return found


def weighted(pooled, own):
    """p = (1 − w) pooled + w own, where w = 9 p is at least 0.075 and at most 0.45."""

    def over(p):
        weight = np.clip(9 * p, 0.075, 0.45)
        return p - (1 - weight) * pooled - weight * own

    return optimize.brentq(over, 0.0, 1.0, xtol=1e-15, rtol=1e-13)


def holm(p_values):
    """Holm's adjusted p-values: the largest of (m − j + 1) p_(j) over the p-values up to this one."""
    ordered = sorted(p_values.values())
    return {
        name: min(1.0, max((len(ordered) - j) * q for j, q in enumerate(ordered) if q <= p))
        for name, p in p_values.items()
    }


def test_a_comparison_that_failed_has_finished(study, make_run):
    """Only results that are still to come make the others count twice."""
    whole, failed = study(), make_run(4, None, "failed")
    *others, last = whole.rows
    for status, factor in (("failed", 1), ("queued", 2)):
        runs = (*last.runs[:-1], replace(failed, status=status))
        table = gather(replace(whole, rows=(*others, replace(last, runs=runs))))
        assert table.family.unfinished == (factor == 2)
        smallest = min((row for row in table.rows if row.p is not None), key=lambda row: row.p)
        assert smallest.p_adjusted == pytest.approx(min(1.0, 6 * factor * smallest.p), rel=1e-12)


def test_the_legend_counts_what_is_planned(study):
    shown = gather(selected(study(("a", "c")), ("base", "tuned")))
    assert "moderated paired t-test, Holm-corrected over 6 planned comparisons" in "\n".join(summary(shown))
    assert "6 planned comparisons (each counted twice until all have finished)" in render(shown, "md")
    assert "twice" not in "\n".join(summary(gather(study())))


def test_a_hidden_parent_is_compared_with(study):
    row = gather(selected(study(), ("tuned",))).rows[0]
    assert row.notes == ()
    assert row.delta_baseline == pytest.approx(gather(study()).rows[-1].delta_baseline)


def test_variants_that_settings_exclude_from_verdicts_do_not_count(study):
    """Another validation set, or another loss where losses are compared: whatever their results."""
    whole = study()
    loss = {row.variant.name: row.variant.settings.loss for row in whole.rows}["e"]
    other = replace(loss, target="m:other")
    rows = [
        replace(row, variant=replace(row.variant, settings=row.variant.settings.replace(loss=other)))
        if row.variant.name == "e"
        else row
        for row in whole.rows
    ]
    assert gather(replace(whole, rows=tuple(rows))).family.comparisons == 5
    waiting = [replace(row, runs=()) if row.variant.name == "e" else row for row in rows]
    assert gather(replace(whole, rows=tuple(waiting))).family.comparisons == 5


def test_interactions_are_a_family_of_their_own_under_every_selection(make_study, make_run):
    draw = np.random.default_rng(3)
    rows, of = {"plain": (None, list(2 + 0.1 * draw.standard_normal(6)))}, {}
    for x in "abc":
        rows[f"only {x}"] = ("plain", list(1.8 + 0.1 * draw.standard_normal(6)))
    for x, y in combinations("abc", 2):
        rows[f"{x} + {y}"] = (f"only {x}", list(1.5 + 0.1 * draw.standard_normal(6)))
        of[f"{x} + {y}"] = (f"only {x}", f"only {y}")
    made = make_study(rows)
    records = [replace(row, variant=replace(row.variant, of=of.get(row.variant.name, ()))) for row in made.rows]
    late = [replace(row, runs=(*row.runs[:5], make_run(5, None, "running"))) for row in records[-1:]]
    for state in (records, [*records[:-1], *late]):
        whole = replace(made, rows=tuple(state))
        every = {row.variant: (row.interaction, row.interaction_p) for row in gather(whole).rows}
        for names in (["a + b"], ["plain", "a + b"], ["a + b", "b + c"], ["a + c"]):
            table = gather(selected(whole, names))
            assert table.family.interactions == 3
            assert {row.variant: (row.interaction, row.interaction_p) for row in table.rows} == {
                name: every[name] for name in names
            }
    values = {name: np.array(v) for name, (_, v) in rows.items()}
    raw = [stats.ttest_1samp(values[n] - values[p] - values[q] + values["plain"], 0).pvalue for n, (p, q) in of.items()]
    unfinished = dict(zip(of, [*raw[:2], 1.0], strict=True))
    for name in ("a + b", "a + c"):
        assert every[name][1] == pytest.approx(holm(unfinished)[name], rel=1e-9)
    assert every["b + c"][1] is None


RECIPE = """
study: family
data: digits
seeds: 5
baseline: {name: base, model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 3}
variants:
"""


@pytest.fixture
def stored(tmp_path, losses, make_run):
    """The recipe of the study, and a store with its runs as if they had been trained."""
    path, store = tmp_path / "family.yaml", Store(tmp_path / "runs")
    lines = [
        f"  - {{name: {name}, from: {parent}, set: {{optimizer.lr: 0.{i}}}}}\n"
        for i, (name, parent) in enumerate(PARENTS.items(), start=1)
        if parent
    ]
    path.write_text(RECIPE + "".join(lines))
    for run in make_plan(Recipe.load(path), store).runs:
        known = make_run(run.seed, losses[run.variant.name][run.seed], epoch=3, epochs=3)
        store.write_status(replace(known, fingerprint=run.fingerprint))
    return path, store


def test_every_flag_keeps_the_family(stored):
    path, store = stored
    every = judged(table(path, root=store.root))
    assert every["tuned"][5] is not None
    for names in SUBSETS[::12]:
        found = table(Recipe.load(path, only=list(names)), root=store.root)
        assert judged(found) == {name: every[name] for name in names}
        assert found.family.comparisons == 6
    # three of the stored seeds, and a top-up of two variants alone
    for flags in ({"seeds": 3}, {"sets": ["compare.at=last"]}, {"seeds": "1,2,4"}):
        every = judged(table(Recipe.load(path, **flags), root=store.root))
        found = table(Recipe.load(path, only="base,tuned", **flags), root=store.root)
        assert judged(found) == {name: every[name] for name in ("base", "tuned")}
    # the verdicts that were shown stay while seeds are added
    every = table(path, root=store.root)
    topped = table(Recipe.load(path, seeds=7), root=store.root)
    assert [row.p_adjusted for row in topped.rows] == [row.p_adjusted for row in every.rows]


def test_a_top_up_of_some_counts_the_others_as_unfinished(stored, losses, make_run):
    path, store = stored
    draw = np.random.default_rng(0)
    more = {name: [*losses[name], *(losses[name][0] + 0.02 * draw.standard_normal(2))] for name in PARENTS}
    for run in make_plan(Recipe.load(path, seeds=7, only="d,tuned"), store).runs:
        known = make_run(run.seed, more[run.variant.name][run.seed], epoch=3, epochs=3)
        store.write_status(replace(known, fingerprint=run.fingerprint))
    row = table(Recipe.load(path, seeds=7, only="tuned"), root=store.root).rows[0]
    samples = {
        name: np.subtract(*(more[one][: 7 if name == "tuned" else 5] for one in (name, parent)))
        for name, parent in PARENTS.items()
        if parent
    }
    p = moderated_p(samples, PARENTS)["tuned"]
    assert row.p == pytest.approx(p, rel=1e-9)
    assert row.p_adjusted == pytest.approx(min(1.0, 6 * p), rel=1e-9)


def test_topping_up_the_most_promising_variant_does_not_inflate_errors():
    """Six variants without effect: look at five seeds, train five more of the best alone, and show it alone."""
    draw = np.random.default_rng(5)
    wrong = alone = 0
    studies = 200
    for _ in range(studies):
        values = draw.standard_normal((7, 10))
        five = values[1:, :5] - values[0, :5]
        best = int(np.argmin(stats.ttest_1samp(five, 0, axis=1).pvalue))
        topped = values[1 + best] - values[0]
        contrasts = {
            f"net{i}": Contrast(d, final=False, seeds=tuple(range(5)), reference="net0") for i, d in enumerate(five)
        }
        contrasts[f"net{best}"] = Contrast(topped, seeds=tuple(range(10)), reference="net0")
        found = examine(contrasts, "lower", planned=6)
        wrong += found[f"net{best}"].judgement.verdict in ("helps", "hurts")
        alone += stats.ttest_1samp(topped, 0).pvalue < 0.05
    bound = 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies <= bound
    assert alone / studies > bound  # with a family of what is shown
