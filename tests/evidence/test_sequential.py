"""Verdicts at declared looks: against a computation written out here, and from the recipe to the runs that are trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.api import run, table
from ablate.evidence.contrasts import Contrast
from ablate.evidence.paired import own_spreads
from ablate.evidence.sequential import contrasts_of, follow, wanted
from ablate.evidence.stages import stage_of
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe, RecipeError
from ablate.recipe.looks import Looks
from ablate.recipe.variant import Compare
from ablate.report.formats import render
from ablate.store.store import Store

LOOKS = Looks((4, 6, 10), (0.5, 0.25, 0.25))
NAMES = [f"net{i}" for i in range(1, 7)]
PAIRS = dict.fromkeys(NAMES, "base")


def studies(shifts, seed, scale=1.0):
    """Differences (6, 10) of six variants from the baseline, and how a study reads them at a look."""
    draw = np.random.default_rng(seed)
    values = np.array(shifts)[:, None] + scale * draw.standard_normal((len(NAMES), 10))

    def at(pairs, among):
        return {name: Contrast(values[NAMES.index(name), : len(among)], seeds=tuple(among)) for name in pairs}

    return values, at


def by_hand(values, looks, smallest=None):
    """For each comparison: the look and the word of its verdict, with paired t-tests."""
    q, best = {}, {}
    found = {}
    for k, (n, w) in enumerate(zip(looks.at, looks.weights, strict=True), start=1):
        for i, name in enumerate(NAMES):
            if name in found:
                continue
            test = stats.ttest_1samp(values[i, :n], 0)
            if test.pvalue / w < q.get(name, np.inf):
                q[name], best[name] = test.pvalue / w, np.sign(values[i, :n].mean())
            low, high = test.confidence_interval(1 - 0.05 * w)
            if smallest is not None and -smallest < low and high < smallest:
                found[name] = (k, "no difference")
        asked = {name: min(1, value) for name, value in q.items() if found.get(name, ("", ""))[1] != "no difference"}
        for name in NAMES:
            if name in found:
                continue
            smaller = sorted(value for value in asked.values() if value <= asked[name])
            adjusted = max((len(NAMES) - i) * value for i, value in enumerate(smaller))
            if adjusted < 0.05:
                found[name] = (k, "helps" if best[name] < 0 else "hurts")
            elif k == len(looks.at):
                found[name] = (k, "unclear")
    return found


@pytest.mark.parametrize("smallest", [None, 0.9])
@pytest.mark.parametrize("seed", range(12))
def test_verdicts_are_those_of_an_independent_computation(seed, smallest):
    values, at = studies([0, -1, 2, -3, 0.5, 0], seed, 0.8)
    compare = Compare(smallest_effect=smallest)
    standings = follow(PAIRS, compare, LOOKS, tuple(range(10)), at, estimate=own_spreads)
    assert {name: (one.look, one.word) for name, one in standings.items()} == by_hand(values, LOOKS, smallest)
    for name, one in standings.items():
        sample = values[NAMES.index(name), : LOOKS.at[one.shown_at - 1]]
        test = stats.ttest_1samp(sample, 0)
        level = 0.05 * LOOKS.weights[one.shown_at - 1]
        assert one.p[one.shown_at] == pytest.approx(test.pvalue, rel=1e-9)
        effect = one.finding.effect
        assert (effect.low, effect.high) == pytest.approx(test.confidence_interval(1 - level), rel=1e-9)


def test_null_studies_have_verdicts_in_less_than_one_of_twenty():
    """More studies and arrangements: bench/calibration_looks.py."""
    wrong = 0
    count = 400
    for seed in range(count):
        _, at = studies([0] * 6, seed)
        standings = follow(PAIRS, Compare(), LOOKS, tuple(range(10)), at, estimate=own_spreads)
        wrong += any(one.word in ("helps", "hurts") for one in standings.values())
    assert 0 < wrong / count <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / count)


def test_a_p_value_that_was_shown_stays():
    _, at = studies([0, 0, 3, 0, 0, 0], 0)
    standings = follow(PAIRS, Compare(), LOOKS, tuple(range(10)), at)
    assert standings["net3"].word == "hurts"
    frozen = {("net3", 1): 1.0, ("net3", 2): 1.0, ("net3", 3): 1.0}
    again = follow(PAIRS, Compare(), LOOKS, tuple(range(10)), at, frozen=frozen)
    assert again["net3"].word == "unclear"
    assert again["net3"].p == {1: 1.0, 2: 1.0, 3: 1.0}


def test_what_has_not_finished_waits_and_what_failed_stops():
    _, at = studies([0] * 6, 1)

    def partly(pairs, among):
        found = dict(at(pairs, among))
        if "net2" in found and len(among) > 4:
            found["net2"] = replace(found["net2"], final=False)
        if "net3" in found:
            found["net3"] = replace(found["net3"], whole=False)
        return {name: one for name, one in found.items() if name != "net4"}

    standings = follow(PAIRS, Compare(), LOOKS, tuple(range(10)), partly)
    assert (standings["net2"].look, standings["net2"].settled, standings["net2"].word) == (1, False, None)
    assert (standings["net3"].look, standings["net3"].settled, standings["net3"].word) == (1, True, None)
    assert (standings["net4"].look, standings["net4"].settled) == (0, False)
    assert standings["net1"].word == "unclear"
    need = wanted(standings, PAIRS, {"base": (), **dict.fromkeys(NAMES, ()), "net4": ("net2",)}, LOOKS)
    assert need == {"base": 10, "net1": 10, "net2": 6, "net3": 4, "net4": 4, "net5": 10, "net6": 10}


RECIPE = """
study: looks
data: digits
seeds: {start: 4, until: decided, most: 12}
baseline: {name: base, model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 3, metrics: [accuracy]}
variants:
  - {name: clear, from: base, set: {optimizer.lr: 0.2}}
  - {name: same, from: clear, set: {optimizer.lr: 0.3}}
  - {name: worse, from: base, set: {optimizer.lr: 0.4}}
"""


@pytest.fixture
def stored(tmp_path, make_run):
    """The recipe, a store, and ``train()``, which stores what a stage asks for and returns the seeds of each variant."""
    path, store = tmp_path / "looks.yaml", Store(tmp_path / "runs")
    path.write_text(RECIPE)

    def train(**flags):
        stage = stage_of(make_plan(Recipe.load(path, **flags), store), store, recording=True)
        for one in stage.plan.to_do():
            draw = np.random.default_rng([one.seed, len(one.variant.name)])
            loss = {"base": 1.0, "clear": 0.5, "same": 0.5, "worse": 1.5}[one.variant.name]
            loss += 0.02 * draw.standard_normal()
            values = {"train_loss": loss, "valid_loss": loss, "accuracy": loss}
            known = make_run(one.seed, results={at: values for at in ("selected", "last", "best")}, epoch=3, epochs=3)
            store.write_status(replace(known, fingerprint=one.fingerprint))
        return {variant.name: len(stage.plan.runs_of(variant.name)) for variant in stage.plan.recipe.variants}

    return path, store, train


def test_only_what_is_not_decided_and_its_parents_get_more_seeds(stored):
    path, store, train = stored
    assert train() == {"base": 4, "clear": 4, "same": 4, "worse": 4}
    assert train() == {"base": 4, "clear": 6, "same": 6, "worse": 4}  # clear is decided: same needs it
    assert train() == {"base": 4, "clear": 8, "same": 8, "worse": 4}
    assert train() == {"base": 4, "clear": 12, "same": 12, "worse": 4}
    assert train() == {"base": 4, "clear": 12, "same": 12, "worse": 4}
    found = table(path, root=store.root)
    rows = {row.variant: row for row in found.rows}
    assert [rows[name].verdict for name in ("clear", "same", "worse")] == ["helps", "unclear", "hurts"]
    assert [rows[name].look for name in ("clear", "same", "worse")] == [1, 4, 1]
    assert (rows["clear"].judged_seeds, rows["worse"].judged_seeds) == ((0, 1, 2, 3), None)
    assert {row.status for row in found.rows} == {"finished"}
    assert rows["clear"].level == 0.05 / 4
    text = " ".join(render(found, "text").split())
    assert "at 4, 6, 8 and 12 seeds, Holm-corrected over 3 planned comparisons, 5% level over all looks" in text
    assert "98.75% confidence interval" in text
    assert "helps (4 of 12 seeds)" in text
    assert "decided before the last look: Δ is likely overstated" in text


def test_every_look_is_recorded_once(stored):
    path, store, train = stored
    train()
    assert store.looks("looks") == []
    for _ in range(2):
        table(path, root=store.root)
    assert {(one["variant"], one["look"]) for one in store.looks("looks")} == {
        (n, 1) for n in ("clear", "same", "worse")
    }
    train()
    train()
    assert len(store.looks("looks")) == 4


def test_a_selection_keeps_the_family(stored):
    path, store, train = stored
    train(only="base,clear")
    row = table(Recipe.load(path, only="clear"), root=store.root).rows[0]
    known = contrasts_of({}, Compare())
    assert known({"clear": "base"}, (0,)) == {}
    assert row.verdict == "helps"
    assert row.p_adjusted == pytest.approx(min(1, 3 * 4 * row.p), rel=1e-9)
    before = row
    train()
    assert table(path, root=store.root).rows[1].p == before.p  # now same and worse have variances, too


def test_a_fixed_number_of_seeds_and_the_flag(stored):
    path, *_ = stored
    assert Recipe.load(path, seeds=3).looks is None
    assert Recipe.load(path, seeds=5, until="decided").looks.at == (5, 8, 12, 20)
    assert Recipe.load(path, until="decided").looks.at == (4, 6, 8, 12)
    path.write_text(RECIPE.replace("{start: 4, until: decided, most: 12}", "6"))
    assert Recipe.load(path, until="decided").seeds == tuple(range(24))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{start: 2, until: decided}", "seeds.start (=2) must be an integer between 3 and 1000."),
        ("{start: 5}", "seeds.until must be decided. For a fixed number, write seeds: 5."),
        ("{start: 5, until: sure}", "seeds.until (=sure) must be decided."),
        ("{start: 5, most: 4, until: decided}", "seeds.most (=4) must be at least seeds.start (=5)."),
        ("{looks: [5, 4], until: decided}", "seeds.looks (=[5, 4]) must list 1 to 20 increasing numbers of seeds"),
        ("{looks: [5], start: 5, until: decided}", "seeds.start (=5) cannot be combined with seeds.looks."),
        (
            "{looks: [4, 9], weights: [1, 1], until: decided}",
            "seeds.weights (=[1, 1]) must list 2 numbers greater than 0",
        ),
        ("{weights: [1], until: decided}", "seeds.weights (=[1]) requires seeds.looks."),
        ("{begin: 5, until: decided}", "seeds.begin is not a key of seeds."),
    ],
)
def test_wrong_looks_are_one_line(stored, text, error):
    path, *_ = stored
    path.write_text(RECIPE.replace("{start: 4, until: decided, most: 12}", text))
    with pytest.raises(RecipeError) as raised:
        Recipe.load(path)
    assert error in str(raised.value)
    assert "Traceback" not in str(raised.value)


@pytest.mark.parametrize(("flags", "error"), [({"until": "x"}, "--until (=x) must be decided."), ({"until": "decided", "seeds": "0,3,7"}, "--until requires a number of seeds")])  # fmt: skip
def test_wrong_flags_are_one_line(stored, flags, error):
    with pytest.raises(RecipeError) as raised:
        Recipe.load(stored[0], **flags)
    assert error in str(raised.value)


def test_a_real_study_stops_where_it_is_decided(tmp_path):
    path = tmp_path / "real.yaml"
    path.write_text(
        RECIPE.replace("lr: 0.2}", "lr: 0.0001}").replace(
            "{start: 4, until: decided, most: 12}", "{looks: [3, 5], until: decided}"
        )
    )
    found = run(path, root=tmp_path / "runs")
    rows = {row.variant: row for row in found.rows}
    assert (rows["clear"].verdict, rows["clear"].look) == ("hurts", 1)
    assert (rows["same"].verdict, rows["same"].look, rows["same"].seeds) == ("helps", 1, 3)
    assert rows["worse"].look in (1, 2)
    assert rows["worse"].seeds == (3 if rows["worse"].look == 1 else 5) == rows["base"].seeds
    assert rows["clear"].seeds == 3


def test_intervals_say_what_they_cover(stored, tmp_path):
    path, store, train = stored
    train()
    found = table(path, root=store.root)
    assert {row.level for row in found.rows} == {0.05 / 4}
    assert "98.75% confidence interval" in render(found, "text")
    row = {row.variant: row for row in found.rows}["clear"]
    assert row.baseline_ci_high - row.baseline_ci_low < row.ci_high - row.ci_low
    fixed = table(Recipe.load(path, seeds=4), root=store.root)
    assert {row.level for row in fixed.rows} == {0.05}
    path.write_text(
        RECIPE.replace("{start: 4, until: decided, most: 12}", "{looks: [4, 12], weights: [0.2, 0.8], until: decided}")
    )
    train()
    train()
    assert "the look's confidence interval" in render(table(path, root=store.root), "text")
