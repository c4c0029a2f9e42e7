"""Numbers of any size in every output: tables, spreadsheets, plots and what MLflow shows; infinity is a diverged run."""

from __future__ import annotations

import json
import math
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from scipy import stats

from ablate.evidence.gather import gather
from ablate.recipe.measured import Reach
from ablate.recipe.recipe import Recipe
from ablate.recipe.settings import Choice, Settings
from ablate.recipe.variant import Compare, Variant
from ablate.report.columns import available
from ablate.report.formats import FORMATS, contents
from ablate.report.pictures import picture
from ablate.store.records import RunRecord, StudyRecord, VariantRecord
from ablate.store.store import Store
from ablate.tracking.external_runs import LoggedRun, Question, as_study
from ablate.tracking.rendering import rendering

BASE = [0.5, 0.6, 0.75]
LARGEST = sys.float_info.max
SIZES = {
    "huge": [1e300, 1.1e300, 1.3e300],
    "almost too large": [1.5e308, 1.6e308, 1.55e308],
    "of both signs": [1.7e308, -1.6e308, 1.5e308],
    "tiny": [1e-300, 2e-300, 4e-300],
    "squares vanish": [1e-160, 2e-160, 3.5e-160],
    "squares overflow": [1e155, 2e155, 3.5e155],
    "subnormal": [5e-324, 1e-323, 2e-323],
    "negative zero": [-0.0, 0.0, -0.0],
    "huge integers": [10**300, 10**301, 2 * 10**300],
    "all sizes": [1e300, 1.0, 1e-300],
}

EXTREME = (
    "huge",
    "almost too large",
    "of both signs",
    "tiny",
    "subnormal",
    "huge integers",
    "integers beyond floats",
    "all sizes",
)


def study(values: dict[str, list[float]], store: Store) -> StudyRecord:
    """Three runs of each variant, with their metrics in the store."""
    kinds = {kind: Choice(kind, None, "m:x", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    rows = []
    for name, losses in values.items():
        runs = []
        for seed, loss in enumerate(losses):
            fingerprint = f"{name}{seed}"
            results = {at: {"valid_loss": loss, "train_loss": loss} for at in ("selected", "last", "best")}
            runs.append(
                RunRecord(fingerprint, seed, status="finished", epoch=2, epochs=2, results=results, seconds=1e-3)
            )
            with store.append_to(fingerprint, "metrics.jsonl") as file:
                for epoch in (1, 2):
                    line = {"epoch": epoch, "time": 1.0, "train_loss": loss, "valid_loss": loss}
                    store.append_line(file, line)
        variant = Variant(name, None if not rows else "a", name, (), Settings(**kinds, epochs=2))
        rows.append(VariantRecord(variant, tuple(runs)))
    recipe = Recipe("sizes", "", tuple(row.variant for row in rows), (0, 1, 2), Compare(), None, Path(), "")
    return StudyRecord(recipe, tuple(rows))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "place", [pytest.param("a", marks=pytest.mark.slow), "b", pytest.param("c", marks=pytest.mark.slow)]
)
def test_every_output_shows_it(size, place, tmp_path):
    store = Store(tmp_path)
    values = {"a": BASE, "b": [0.4, 0.55, 0.62], "c": [0.3, 0.32, 0.5], place: SIZES[size]}
    made = study(values, store)
    table = gather(made, provenances=store.provenances, curves=store.metrics)
    for name, format in FORMATS.items():
        for columns in (None, list(available(table))):
            written = contents(table, name, columns)
            assert written
            if not format.binary:
                assert "inf" not in written.decode().lower().replace("information", "")
    tree = json.loads(contents(table, "json"))
    for row in tree["rows"]:
        assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))
    rendering(made, store, table).render()
    for kind in ("ladder", "effects", "curves"):
        try:
            picture(kind, made, store, lambda: table, "png")
            said = ""
        except ValueError as error:
            said = str(error)
        assert not said or (size in EXTREME and "cannot be drawn" in said)  # matplotlib cannot


@pytest.mark.parametrize("unit", [1e300, 1e155, 1e-160, 1e-300])
def test_statistics_have_no_unit(unit, tmp_path):
    """The reference is SciPy's paired t-test on numbers of ordinary size."""
    parent, child = [1.0, 1.3, 1.1, 1.25], [0.9, 1.05, 0.7, 1.0]
    rows = {"a": [v * unit for v in parent], "b": [v * unit for v in child]}
    first, row = gather(study(rows, Store(tmp_path))).rows
    expected = stats.ttest_rel(child, parent)
    low, high = expected.confidence_interval()
    assert row.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (row.ci_low / unit, row.ci_high / unit) == pytest.approx((low, high), rel=1e-9)
    assert first.valid_loss_sd / unit == pytest.approx(stats.tstd(parent), rel=1e-9)
    plain = gather(study({"a": parent, "b": child}, Store(tmp_path / "plain"))).rows[1]
    assert (row.verdict, row.detectable) == (plain.verdict, plain.detectable)
    assert row.effect_size == pytest.approx(plain.effect_size, rel=1e-9)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, LARGEST, -LARGEST])
def test_a_logged_infinity_is_a_diverged_run(value):
    """MLflow's database holds infinity as the largest float."""
    runs = [
        LoggedRun(
            f"{name}{seed}", name, "FINISHED", 0, 1000, {"variant": name, "seed": str(seed)}, {}, {"valid_loss": v}
        )
        for name, losses in {"a": BASE, "b": [0.4, value, 0.5], "c": [0.3, 0.32, 0.5]}.items()
        for seed, v in enumerate(losses)
    ]
    table = as_study("old", runs, Question("params.variant")).table()
    a, b, c = table.rows
    assert (b.status, b.verdict, b.valid_loss) == ("diverged", "unstable", None)
    reason = b.notes[0].values["reason"]
    assert reason == f"valid_loss (={value if abs(value) != LARGEST else math.copysign(math.inf, value)}) is not finite"
    assert (a.status, c.status) == ("finished", "finished")
    for name in FORMATS:
        assert contents(table, name)


def test_another_metric_may_be_infinite():
    runs = [
        LoggedRun(
            f"{seed}", "a", "FINISHED", 0, 1, {"variant": "a", "seed": str(seed)}, {}, {"valid_loss": v, "x": LARGEST}
        )
        for seed, v in enumerate(BASE)
    ]
    row = as_study("old", runs, Question("params.variant", metric="valid_loss")).table().rows[0]
    assert (row.status, "x" in row.metrics) == ("finished", False)


def test_a_row_made_by_hand(keypoints):
    table = keypoints()
    rows = (replace(table.rows[0], valid_loss=math.inf), *table.rows[1:])
    assert "inf" in contents(replace(table, rows=rows), "text").decode()


VALUES = some.one_of(
    some.floats(-1.7e308, 1.7e308),
    some.builds(lambda size, sign: sign * 10.0**size, some.floats(-320, 308.2), some.sampled_from([1, 1, -1])),
    some.sampled_from([0.0, -0.0, 0.5, 0.6, 1e-320, 5e-324, 1e154, 1e200, -1.7e308, 1.7e308, LARGEST]),
)


@some.composite
def studies(draw):
    """A study of a pair of changes, with 1 to 5 seeds, folds, a metric of its own and a value to reach, and its curves."""
    seeds, folds = draw(some.integers(1, 5)), draw(some.sampled_from([(None,), (None,), (0, 1, 2)]))
    kinds = {kind: Choice(kind, None, "m:x", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    few = some.sampled_from(draw(some.lists(VALUES, min_size=1, max_size=3))) if draw(some.booleans()) else VALUES
    rows = []
    for name, parent, of in (("a", None, ()), ("b", "a", ()), ("c", "a", ()), ("d", "b", ("b", "c"))):
        runs = []
        for seed in range(seeds):
            for fold in folds:
                values = {name: draw(few) for name in ("train_loss", "valid_loss", "x")}
                results = dict.fromkeys(("selected", "last", "best"), values)
                facts = {"status": "finished", "epoch": 2, "epochs": 2, "results": results, "first_loss": draw(few)}
                runs.append(
                    RunRecord(
                        f"{name}{seed}{fold}", seed, fold, seconds=draw(some.sampled_from([0.0, 1e-3, 1e300])), **facts
                    )
                )
        variant = Variant(name, parent, name, (), Settings(**kinds, epochs=2), {"valid_loss": draw(few)}, of=of)
        rows.append(VariantRecord(variant, tuple(runs)))
    compare = draw(
        some.sampled_from(
            [
                Compare(),
                Compare("x", "higher"),
                Compare("valid_loss", smallest_effect=1e-300),
                Compare("x", "lower", "best", 1e300),
            ]
        )
    )
    reach = (Reach("x", draw(VALUES), "lower"),)
    recipe = Recipe(
        "sizes", "", tuple(row.variant for row in rows), tuple(range(seeds)), compare, None, Path(), "", reach=reach
    )
    line = {
        "epoch": 1,
        "seconds": abs(draw(few)),
        "time": 1.0,
        "train_loss": draw(few),
        "valid_loss": draw(few),
        "x": draw(few),
    }
    return StudyRecord(recipe, tuple(rows)), line


def refused(token):
    raise AssertionError(f"{token} is not JSON")


def check_formats(drawn):
    """Every format shows every column, without a warning, and JSON is what the standard says."""
    made, line = drawn
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = gather(made, curves=lambda _: [line])
        for name, format in FORMATS.items():
            if not format.binary:
                text = contents(table, name, list(available(table)), notes=True).decode()
                assert not {"inf", "nan"} & {word.strip("+-[],") for word in text.lower().split()}, text
    tree = json.loads(contents(table, "json"), parse_constant=refused)
    assert [row["variant"] for row in tree["rows"]] == ["a", "b", "c", "d"]


SETTINGS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=25, **SETTINGS)
@given(studies())
def test_numbers_of_any_size_in_any_study(drawn):
    check_formats(drawn)


@pytest.mark.slow
@settings(max_examples=400, **SETTINGS)
@given(studies())
def test_many_numbers_of_any_size_in_any_study(drawn):
    check_formats(drawn)


@pytest.mark.slow
@settings(max_examples=20, **SETTINGS)
@given(studies())
def test_pictures_of_numbers_of_any_size(drawn):
    made, line = drawn

    class Curves:
        def metrics(self, fingerprint):
            return [line, {**line, "epoch": 2, "x": -line["x"]}]

    table = gather(made)
    for kind, metric in (("ladder", None), ("effects", None), ("curves", None), ("curves", "x")):
        try:
            said = "" if picture(kind, made, Curves(), lambda: table, "png", metric=metric) else "empty"
        except ValueError as error:
            said = str(error)
        assert not said or "cannot be drawn" in said or "has no" in said


def test_a_time_to_a_value_that_is_too_large():
    """The median of two numbers near the largest float is too large: no seconds, and JSON stays JSON."""
    runs = tuple(RunRecord(f"{seed}", seed, status="finished", results={"selected": {"x": 1.0}}) for seed in (0, 1))
    kinds = {kind: Choice(kind, None, "m:x", {}) for kind in ("data", "model", "init", "loss", "optimizer")}
    variant = Variant("a", None, "a", (), Settings(**kinds, epochs=2))
    reach = (Reach("x", 2.0, "lower"),)
    recipe = Recipe("sizes", "", (variant,), (0, 1), Compare(), None, Path(), "", reach=reach)
    table = gather(
        StudyRecord(recipe, (VariantRecord(variant, runs),)),
        curves=lambda _: [{"epoch": 1, "seconds": 1.7e308, "x": 1.0}],
    )
    row = json.loads(contents(table, "json"), parse_constant=refused)["rows"][0]
    assert (row["reach_x_epochs"], row["reach_x_seconds"], row["reach_x_runs"]) == (1.0, None, 2)
