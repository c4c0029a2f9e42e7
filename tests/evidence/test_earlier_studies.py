"""The scatter of earlier studies: which comparisons count, when they are chosen, and what they change."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats

from ablate.api import table
from ablate.evidence.paired import effect
from ablate.evidence.stages import stage_of
from ablate.evidence.variance_pooling import beside, shared_spreads
from ablate.planning.plan import make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.recipe.fingerprint import facts
from ablate.report.formats import render
from ablate.report.summary import summary
from ablate.store.disk import Disk, DiskError
from ablate.store.store import Store

RECIPE = """
study: {study}
data: {data}
seeds: {seeds}
compare: {{metric: accuracy}}
baseline: {{name: base, model: mlp, loss: cross_entropy, optimizer: {{name: sgd, lr: {lr}}}, epochs: 3, metrics: [accuracy]}}
variants:
  - {{name: a, from: base, set: {{optimizer.lr: {lr}1}}}}
  - {{name: b, from: base, set: {{optimizer.lr: {lr}2}}}}
"""


class Runs:
    """A store, and studies in it as if they had been trained."""

    def __init__(self, folder, make_run):
        self.folder, self.make_run, self.store = folder, make_run, Store(folder / "runs")

    def recipe(self, study, lr, seeds=5, data="digits", **flags):
        path = self.folder / f"{study}.yaml"
        path.write_text(RECIPE.format(study=study, lr=lr, seeds=seeds, data=data))
        return Recipe.load(path, **flags)

    def train(self, recipe, began, size=0.01):
        """Store the runs of a study that begins at this time, and takes 50 s."""
        plan = make_plan(recipe, self.store)
        draw = np.random.default_rng(int(began))
        for run in plan.runs:
            noise = size * draw.standard_normal()
            if run.record.status == "finished":
                continue
            values = {"train_loss": 1 + noise, "valid_loss": 1 + noise, "accuracy": 0.8 + noise}
            record = self.make_run(
                run.seed, results={at: values for at in ("selected", "last", "best")}, epoch=3, epochs=3,
                started=began, finished=began + 50,
            )  # fmt: skip
            self.store.write_status(replace(record, fingerprint=run.fingerprint))
            known = facts(run.variant.settings, folder=recipe.folder, folds=recipe.folds)
            self.store.write_json(self.store.run_folder(run.fingerprint) / "identity.json", known)
        write_study(plan, self.store)
        return recipe

    def shown(self, recipe):
        return table(recipe, root=self.store.root)

    def prior(self, recipe):
        """The studies and variants whose scatter the verdicts use."""
        return [(one["study"], one["variant"]) for one in self.shown(recipe).prior]


@pytest.fixture
def runs(tmp_path, make_run):
    return Runs(tmp_path, make_run)


def differences(runs, recipe, name):
    values = {
        run.variant.name: [r.record.results["selected"]["accuracy"] for r in make_plan(recipe, runs.store).runs_of(run.variant.name)]
        for run in make_plan(recipe, runs.store).runs
    }  # fmt: skip
    return np.subtract(values[name], values["base"])


def test_verdicts_use_the_comparisons_of_an_earlier_study(runs):
    before = runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2), 2000)
    found = runs.shown(now)
    assert [(one["study"], one["variant"], one["from"], one["degrees"]) for one in found.prior] == [
        ("before", "a", "base", 4),
        ("before", "b", "base", 4),
    ]
    for one in found.prior:
        assert one["variance"] == pytest.approx(differences(runs, before, one["variant"]).var(ddof=1), rel=1e-12)
    # half of each p-value is that without them
    samples = [differences(runs, now, name) for name in ("a", "b")]
    pairs = [("a", "base"), ("b", "base")]
    with_it = [effect(d, s).p for d, s in zip(samples, shared_spreads(samples, pairs, (), found.prior), strict=True)]
    without = [effect(d, s).p for d, s in zip(samples, shared_spreads(samples, pairs), strict=True)]
    assert [row.p for row in found.rows[1:]] == pytest.approx(np.add(with_it, without) / 2, rel=1e-12)
    assert with_it != pytest.approx(without, rel=1e-3)
    assert "Scatter estimated with 2 comparisons of an earlier study (before)." in summary(found)
    assert json.loads(render(found, "json"))["prior"] == list(found.prior)
    off = runs.shown(runs.recipe("now", 0.2, sets=["compare.prior=off"]))
    assert off.prior == ()
    assert [row.p for row in off.rows[1:]] == pytest.approx(without, rel=1e-12)


def test_which_studies_count(runs):
    runs.train(runs.recipe("few", 0.1, seeds=4), 1000)
    runs.train(runs.recipe("other_split", 0.2, data="{name: digits, split_seed: 7}"), 1100)
    runs.train(runs.recipe("scaled", 0.3, scale=2), 1200)
    runs.train(runs.recipe("many", 0.4, seeds=8), 1300)
    now = runs.train(runs.recipe("now", 0.5), 1500)
    runs.train(runs.recipe("late", 0.6), 1540)
    assert runs.prior(now) == [("many", "a"), ("many", "b")]
    # no table of it was shown: only its first five seeds count
    assert {one["degrees"] for one in runs.shown(now).prior} == {4}


def test_seeds_of_the_first_verdict_count(runs):
    runs.shown(runs.train(runs.recipe("before", 0.1, seeds=6), 1000))
    runs.shown(runs.train(runs.recipe("before", 0.1, seeds=9), 1100))
    now = runs.train(runs.recipe("now", 0.2), 2000)
    assert [one["degrees"] for one in runs.shown(now).prior] == [5, 5]


def test_a_study_that_had_not_ended_does_not_count(runs):
    before = runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2), 2000)
    run = make_plan(before, runs.store).runs[3]
    record = runs.store.record(run.fingerprint)
    runs.store.write_status(replace(record, fingerprint=run.fingerprint, finished=2001.0))
    assert runs.prior(now) == []


def test_shared_runs_serve_once(runs):
    """The second study has all runs of the first; the baseline of the last one is a variant of both."""
    runs.train(runs.recipe("first", 0.1), 1000)
    runs.train(runs.recipe("second", 0.1), 1100)
    found = runs.prior(runs.train(runs.recipe("now", 0.2), 2000))
    assert len(found) == 2
    assert len({study for study, _ in found}) == 1
    last = runs.train(runs.recipe("last", 0.11), 3000)
    assert [variant for _, variant in runs.prior(last)] == ["b"]


def test_the_list_never_changes(runs):
    runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2), 2000)
    first = runs.shown(now)
    file = runs.store.study_folder("now") / "prior.jsonl"
    written = file.read_bytes()
    runs.train(runs.recipe("another", 0.3), 1500)
    for name in runs.store.root.glob("store/*"):
        if name.name in {run.fingerprint for run in make_plan(runs.recipe("before", 0.1), runs.store).runs}:
            (name / "status.json").unlink()
    again = runs.shown(now)
    assert (again.prior, [row.p for row in again.rows]) == (first.prior, [row.p for row in first.rows])
    assert file.read_bytes() == written


def test_a_study_without_earlier_ones_keeps_to_that(runs):
    now = runs.train(runs.recipe("now", 0.2), 2000)
    assert runs.prior(now) == []
    runs.train(runs.recipe("before", 0.1), 1000)
    assert runs.prior(now) == []
    assert [one["comparisons"] for one in runs.store.priors("now")] == [[]]


def test_a_study_whose_verdicts_were_shown_by_an_earlier_version_uses_none(runs):
    now = runs.train(runs.recipe("now", 0.2), 2000)
    runs.shown(now)
    (runs.store.study_folder("now") / "prior.jsonl").unlink()
    runs.train(runs.recipe("before", 0.1), 1000)
    assert runs.prior(now) == []
    assert runs.store.priors("now") == []


def test_a_store_that_cannot_be_written_uses_none(runs, monkeypatch):
    runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2), 2000)

    def refuse(self, path):
        raise DiskError(30, "read-only", str(path))

    monkeypatch.setattr(Disk, "append", refuse)
    assert runs.prior(now) == []


def test_nothing_is_read_of_other_studies_without_a_first_verdict(runs, monkeypatch):
    runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2), 2000)
    waiting = runs.recipe("waiting", 0.3)
    runs.shown(now)

    def refuse(self):
        raise AssertionError("other studies are read")

    monkeypatch.setattr(Store, "studies", refuse)
    runs.shown(now)
    runs.shown(waiting)


def test_one_run_of_each_variant_is_read_if_the_data_are_unknown(runs, monkeypatch):
    now = runs.train(runs.recipe("now", 0.2, seeds=9), 2000)
    names = [run.fingerprint for run in make_plan(now, runs.store).runs]
    for name in names:
        (runs.store.run_folder(name) / "identity.json").unlink()  # as a version before it was written
    read = []
    identity = Store.identity
    monkeypatch.setattr(Store, "identity", lambda self, name: read.append(name) or identity(self, name))
    assert runs.prior(now) == []
    assert set(read) <= set(names)
    assert len(read) == 3


def test_looks_use_the_same_list(runs):
    runs.train(runs.recipe("before", 0.1), 1000)
    now = runs.train(runs.recipe("now", 0.2, seeds="{looks: [5, 10], until: decided}"), 2000)
    stage = stage_of(make_plan(now, runs.store), runs.store, recording=True)
    assert len(runs.store.priors("now")[0]["comparisons"]) == 2
    rows = {row.variant: row for row in runs.shown(now).rows}
    lines = {(one["variant"], one["look"]): one["p"] for one in runs.store.looks("now")}
    assert {(name, k): p for name, one in stage.standings.items() for k, p in one.p.items()} == lines
    assert {name: rows[name].p for name in ("a", "b")} == {
        name: stage.standings[name].p[stage.standings[name].shown_at] for name in ("a", "b")
    }
    off = stage_of(make_plan(replace(now, compare=replace(now.compare, prior="off")), runs.store), runs.store)
    assert off.standings["a"].p[1] != pytest.approx(lines["a", 1], rel=1e-6)


def test_a_damaged_list_counts_as_missing(runs):
    now = runs.train(runs.recipe("now", 0.2), 2000)
    runs.shown(now)
    file = runs.store.study_folder("now") / "prior.jsonl"
    line = json.loads(file.read_text())
    file.write_text(
        json.dumps({**line, "comparisons": [{"study": "x", "variant": "a", "from": "b", "variance": -1, "degrees": 4}]})
        + "\n"
    )
    with pytest.warns(UserWarning, match="damaged"):
        assert runs.prior(now) == []


def test_mixed_p_values_against_a_sum_written_out():
    """One comparison and two earlier ones, which share a variant, from scipy.stats' F and t distributions."""
    from ablate.evidence.variance_pooling import ALIKE, MARGIN, STEPS, TRUST

    sample = 1 + np.random.default_rng(1).standard_normal(5)
    earlier = [
        {"study": "x", "variant": "a", "from": "base", "variance": 0.8, "degrees": 4},
        {"study": "x", "variant": "b", "from": "base", "variance": 2.0, "degrees": 7},
    ]
    variances, degrees = [sample.var(ddof=1), 0.8, 2.0], [4, 4, 7]
    powers = [1.0, *[np.sqrt(2 / 2.5)] * 2]
    total = found = 0.0
    for alike, trust in zip(ALIKE, TRUST, strict=True):
        for common in np.exp(np.linspace(np.log(min(variances)) - MARGIN, np.log(max(variances)) + MARGIN, STEPS)):
            weight = trust * np.prod(
                [
                    (stats.f.pdf(v / common, d, alike) / common * v) ** power
                    for v, d, power in zip(variances, degrees, powers, strict=True)
                ]
            )
            mixed = (alike * common + 4 * variances[0]) / (alike + 4)
            total += weight
            found += weight * 2 * stats.t.sf(abs(sample.mean()) / np.sqrt(mixed / 5), alike + 4)
    alone = stats.ttest_1samp(sample, 0).pvalue
    shared = (alone + found / total) / 2
    weight = 9 * optimize.brentq(lambda p: 9 * p * alone + (1 - 9 * p) * shared - p, 0.0, 0.05)
    assert 0.075 < weight < 0.45
    spread = beside(earlier)([sample], [("a", "base")], [range(5)])[0]
    assert effect(sample, spread).p == pytest.approx(weight * alone + (1 - weight) * shared, rel=1e-9)
