"""A verdict that was shown stands; seeds that are added later are judged alone, at a smaller level."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablate.api import table
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.report.formats import render
from ablate.store.disk import Disk, DiskError
from ablate.store.store import Store

RECIPE = """
study: looks
data: digits
seeds: 3
baseline: {name: base, model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 3, metrics: [accuracy]}
variants:
  - {name: a, from: base, set: {optimizer.lr: 0.2}}
  - {name: b, from: base, set: {optimizer.lr: 0.3}}
"""


def loss_of(variant, seed):
    shift = {"base": 0.0, "a": -0.1, "b": 0.02}[variant]
    return (
        0.5
        + shift
        + 0.01 * ((seed * 7 + len(variant) * ord(variant[0])) % 5)
        + 0.002 * ((3 * seed + ord(variant[0])) ** 2 % 13)
    )


@pytest.fixture
def stored(tmp_path, make_run):
    """The recipe, and ``train(seeds, only)``, which stores finished runs."""
    path, store = tmp_path / "looks.yaml", Store(tmp_path / "runs")
    path.write_text(RECIPE)

    def train(seeds, only=None):
        for run in make_plan(Recipe.load(path, seeds=seeds, only=only), store).runs:
            loss = loss_of(run.variant.name, run.seed)
            values = {"train_loss": loss, "valid_loss": loss, "accuracy": 0.9 - loss / 10 + run.seed / 1000}
            known = make_run(run.seed, results={at: values for at in ("selected", "last", "best")}, epoch=3, epochs=3)
            store.write_status(replace(known, fingerprint=run.fingerprint))

    return path, store, train


def judged(found):
    """Per variant with a verdict: the number of seeds that it is on (None: all), and the top-ups."""
    return {row.variant: (row.judged_seeds, row.top_ups) for row in found.rows if row.p_adjusted is not None}


def test_a_verdict_that_was_shown_stands_and_new_seeds_are_judged_alone(stored):
    path, store, train = stored
    train(5)
    before = {file: file.read_bytes() for file in store.root.glob("store/*/*")}
    first = {row.variant: row for row in table(Recipe.load(path, seeds=5), root=store.root).rows}
    for _ in range(2):
        assert judged(table(Recipe.load(path, seeds=5), root=store.root)) == {"a": (None, ()), "b": (None, ())}
    assert {file: file.read_bytes() for file in store.root.glob("store/*/*")} == before
    assert [one["variant"] for one in store.looks("looks")] == ["a", "b"]
    train(9, "base,a")
    found = table(Recipe.load(path, seeds=9), root=store.root)
    rows = {row.variant: row for row in found.rows}
    for name in ("a", "b"):  # b has not finished, but its verdict stays
        for field in ("delta_parent", "ci_low", "ci_high", "p", "p_adjusted", "verdict"):
            assert getattr(rows[name], field) == getattr(first[name], field)
    values = {row: [loss_of(row, seed) for seed in range(9)] for row in ("base", "a")}
    new = np.subtract(values["a"][5:], values["base"][5:])
    expected = stats.ttest_1samp(new, 0)
    (one,) = rows["a"].top_ups
    assert (rows["a"].judged_seeds, one.seeds, one.level) == ((0, 1, 2, 3, 4), (5, 6, 7, 8), 0.025)
    assert one.p_adjusted == pytest.approx(min(1, 2 * expected.pvalue), rel=1e-9)
    assert (one.low, one.high) == pytest.approx(expected.confidence_interval(0.975), rel=1e-9)
    assert rows["a"].delta_all == pytest.approx(np.mean(np.subtract(values["a"], values["base"])), rel=1e-9)
    text = render(found, "text")
    assert "helps (5 of 9 seeds)" in text
    assert "4 seeds were added after a verdict was shown, and are judged alone: Δ -0.1" in " ".join(text.split())
    notes = " ".join(render(found, "text", notes=True).split())
    assert "a: Δ and verdict are those of the first 5 of 9 seeds" in notes
    assert "Δ over all 9 seeds: -0.1" in notes
    # it stays so, also where the variant is shown alone; a second top-up has half of the level
    assert judged(table(Recipe.load(path, seeds=9, only="a"), root=store.root))["a"] == judged(found)["a"]
    train(12, "base,a")
    more = {row.variant: row for row in table(Recipe.load(path, seeds=12), root=store.root).rows}["a"]
    assert more.top_ups[0] == one
    assert (more.top_ups[1].seeds, more.top_ups[1].level) == ((9, 10, 11), 0.0125)


def test_too_few_new_seeds_wait_for_others(stored):
    path, store, train = stored
    train(3)
    table(path, root=store.root)
    train(5)
    for _ in range(2):
        (one,) = {row.variant: row for row in table(Recipe.load(path, seeds=5), root=store.root).rows}["a"].top_ups
        assert (one.seeds, one.p_adjusted, one.verdict) == ((3, 4), None, None)
        assert one.low is not None
    assert len(store.looks("looks")) == 2
    train(6)
    (one,) = {row.variant: row for row in table(Recipe.load(path, seeds=6), root=store.root).rows}["a"].top_ups
    assert one.seeds == (3, 4, 5)
    assert one.p_adjusted is not None


def test_the_first_look_at_all_seeds_is_the_verdict(stored):
    path, store, train = stored
    train(5)
    nothing = {"a": (None, ()), "b": (None, ())}
    assert judged(table(Recipe.load(path, seeds=5), root=store.root)) == nothing
    assert judged(table(path, root=store.root)) == nothing  # at fewer of them, later
    assert judged(table(Recipe.load(path, seeds=5), root=store.root)) == nothing


def test_tables_without_verdicts_are_no_looks(stored):
    path, store, train = stored
    train(2)
    table(Recipe.load(path, seeds=2), root=store.root)
    train(3, "base")
    table(path, root=store.root)  # unfinished
    assert store.looks("looks") == []


def test_another_metric_or_changed_settings_are_another_question(stored):
    path, store, train = stored
    train(3)
    table(path, root=store.root)
    train(5)
    other = table(Recipe.load(path, seeds=5, sets=["compare.metric=accuracy"]), root=store.root)
    assert judged(other) == {"a": (None, ()), "b": (None, ())}
    path.write_text(RECIPE.replace("lr: 0.2", "lr: 0.25"))
    train(5)
    found = judged(table(Recipe.load(path, seeds=5), root=store.root))
    assert (found["a"], found["b"][0]) == ((None, ()), (0, 1, 2))


def test_another_family_is_marked(stored):
    path, store, train = stored
    train(3)
    assert not table(path, root=store.root).family.changed
    last = table(Recipe.load(path, sets=["compare.at=last"]), root=store.root)
    assert last.family.changed
    assert "shown before for other comparisons or looks of this recipe" in render(last, "text")
    assert not table(Recipe.load(path, sets=["compare.metric=accuracy"]), root=store.root).family.changed
    path.write_text(RECIPE + "  - {name: c, from: base, set: {optimizer.lr: 0.4}}\n")
    assert table(path, root=store.root).family.changed


def test_incomplete_lines_and_a_store_that_is_only_read(stored):
    path, store, train = stored
    train(3)
    table(path, root=store.root)
    file = store.study_folder("looks") / "looks.jsonl"
    kept = store.looks("looks")
    file.write_bytes(file.read_bytes() + b'{"variant": "a", "ru')
    more = {"variant": "c", "metric": "valid_loss", "at": "last", "runs": ["f"]}
    store.add_looks("looks", [more])
    assert store.looks("looks") == [*kept, more]
    assert all(json.loads(line) for line in file.read_bytes().split(b"\n") if line and b'"ru' not in line[-5:])

    class Full(Disk):
        def append(self, path):
            raise DiskError("no space")

    from ablate.evidence.gather import table_of

    train(6)
    closed = Store(store.root, Full())
    record = make_plan(Recipe.load(path, seeds=6), closed).record()
    assert {seeds for seeds, _ in judged(table_of(record, closed)).values()} == {(0, 1, 2)}
    assert store.looks("looks") == [*kept, more]
