from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ablate.evidence.gather import Row, gather
from ablate.notes.note import Note
from ablate.recipe.variant import Compare
from ablate.report.formats.json import row_tree, table_tree
from ablate.store.provenance import Origin, Provenance

PARENT = [0.50, 0.52, 0.49, 0.51, 0.505]
BETTER = [0.40, 0.43, 0.38, 0.41, 0.39]

KEYS = [
    "variant", "from", "description", "changes", "status", "seeds", "epochs", "best_epoch", "train_loss", "train_loss_sd",
    "train_loss_clean", "valid_loss", "valid_loss_sd", "delta_parent", "ci_low", "ci_high", "p_adjusted", "verdict",
    "delta_baseline", "seconds", "device_seconds", "parameters", "published", "p", "effect_size", "detectable",
    "detectable_seeds", "baseline_ci_low", "baseline_ci_high", "compared_last", "compared_best", "gain_per_minute", "unlike",
    "interaction", "interaction_low", "interaction_high", "interaction_p", "steps", "peak_memory", "folds",
    "train_loss_clean_sd", "judged_seeds", "look", "level", "top_ups", "delta_all",
    "delta_percent", "best",
    "tried", "tried_seeds", "chosen", "tied", "tuning_device_seconds", "total_device_seconds",
    "failed", "median",
]  # fmt: skip


def rows(study):
    return {row.variant: row for row in gather(study).rows}


def test_every_loss_that_can_be_compared_has_its_spread(make_study):
    row = rows(make_study({"net1": (None, PARENT)}))["net1"]
    for name, part in (("train_loss", 2), ("train_loss_clean", 4), ("valid_loss", 1)):
        assert row.sd(name) == pytest.approx(np.std(PARENT, ddof=1) / part)


def test_means_spreads_and_facts(make_study):
    row = rows(make_study({"net1": (None, PARENT)}))["net1"]
    assert (row.status, row.seeds, row.epochs, row.best_epoch) == ("finished", 5, 50, 40)
    assert isinstance(row.epochs, int)
    assert row.valid_loss == pytest.approx(np.mean(PARENT))
    assert row.valid_loss_sd == pytest.approx(np.std(PARENT, ddof=1))
    assert row.train_loss == pytest.approx(np.mean(PARENT) / 2)
    assert row.train_loss_clean == pytest.approx(np.mean(PARENT) / 4)
    assert (row.seconds, row.device_seconds, row.parameters) == (2.0, 3.0, 7)
    assert (row.parent, row.delta_parent, row.delta_baseline, row.verdict, row.notes) == (None, None, None, None, ())


def test_a_better_row_helps(make_study):
    from scipy import stats

    row = rows(make_study({"net1": (None, PARENT), "net2": ("net1", BETTER)}))["net2"]
    assert row.delta_parent == pytest.approx(np.mean(BETTER) - np.mean(PARENT))
    assert row.p_adjusted == pytest.approx(stats.ttest_rel(BETTER, PARENT).pvalue)
    assert row.ci_low < row.delta_parent < row.ci_high < 0
    assert row.verdict == "helps"
    assert row.delta_baseline == row.delta_parent
    assert row.changes == ("+ flip", "epochs = 50")
    assert row.p == row.p_adjusted
    assert (row.baseline_ci_low, row.baseline_ci_high) == (row.ci_low, row.ci_high)
    # Hedges' g: the mean variance is (0.000125 + 0.00037) / 2, eight degrees of freedom correct by 1 - 3/31.
    assert row.effect_size == pytest.approx(-0.103 / math.sqrt(0.0002475) * (1 - 3 / 31))
    assert row.gain_per_minute == pytest.approx(0.103 / (2 / 60))
    assert (row.compared_last, row.compared_best) == (pytest.approx(np.mean(BETTER)),) * 2


def test_seeds_are_paired_by_number_not_by_place(make_study, make_run):
    parent = [make_run(seed, loss) for seed, loss in enumerate(PARENT)]
    child = [make_run(seed, loss - 0.1 - 1e-6 * seed) for seed, loss in reversed(list(enumerate(PARENT)))]
    row = rows(make_study({"a": (None, parent), "b": ("a", child)}))["b"]
    assert row.ci_high - row.ci_low < 1e-5


def test_p_values_are_adjusted_over_the_rows(make_study):
    alone = rows(make_study({"a": (None, PARENT), "b": ("a", BETTER)}))["b"]
    three = rows(make_study({"a": (None, PARENT), "b": ("a", BETTER), "c": ("a", BETTER), "d": ("a", BETTER)}))["b"]
    assert three.p_adjusted == pytest.approx(3 * alone.p_adjusted)


def test_delta_baseline_goes_past_the_parent(make_study):
    row = rows(make_study({"a": (None, [1.0, 1.1]), "b": ("a", [0.8, 0.7]), "c": ("b", [0.7, 0.5])}))["c"]
    assert row.delta_parent == pytest.approx(-0.15)
    assert row.delta_baseline == pytest.approx(-0.45)


def test_one_seed_gives_the_difference_only(make_study):
    row = rows(make_study({"a": (None, [0.5]), "b": ("a", [0.4])}))["b"]
    assert row.delta_parent == pytest.approx(-0.1)
    assert (row.ci_low, row.p_adjusted, row.verdict, row.valid_loss_sd) == (None, None, None, None)


def test_two_seeds_give_an_interval_and_no_verdict(make_study):
    row = rows(make_study({"a": (None, [0.5, 0.6]), "b": ("a", [0.4, 0.55])}))["b"]
    assert row.ci_low < row.delta_parent < row.ci_high
    assert (row.p_adjusted, row.verdict) == (None, None)


def test_identical_rows_say_so(make_study):
    found = rows(make_study({"a": (None, PARENT), "b": ("a", PARENT), "c": ("a", BETTER)}))
    assert found["b"].verdict == "no difference"
    assert found["b"].notes == (Note("identical"),)
    assert Note("identical", seeds=(0,)) in rows(make_study({"a": (None, [0.5]), "b": ("a", [0.5])}))["b"].notes


def test_equal_in_the_compared_metric_alone_is_no_identity(make_study, make_run):
    def scored(loss):
        return [make_run(i, results={"selected": {"valid_loss": loss + i, "hits": 7.0}}) for i in range(3)]

    found = rows(make_study({"a": (None, scored(0.5)), "b": ("a", scored(0.4))}, Compare("hits", "higher")))
    assert found["a"].notes == ()
    assert found["b"].notes == (Note("same_metric", values={"metric": "hits"}),)
    assert found["b"].verdict == "no difference"


def test_seeds_that_are_no_repeats_are_noted(make_study):
    row = rows(make_study({"a": (None, [0.5, 0.5, 0.5])}))["a"]
    assert row.notes == (Note("same_result"),)


def test_higher_can_be_better(make_study, make_run):
    def scored(values, loss):
        return [
            make_run(i, loss, results={"selected": {"valid_loss": loss, "accuracy": v}}) for i, v in enumerate(values)
        ]

    study = make_study(
        {"a": (None, scored([0.90, 0.91, 0.89], 0.5)), "b": ("a", scored([0.95, 0.965, 0.94], 0.6))},
        compare=Compare("accuracy", "higher"),
        metrics=["accuracy"],
    )
    row = rows(study)["b"]
    assert row.verdict == "helps"
    assert row.metrics == pytest.approx({"accuracy": 0.951666, "accuracy_sd": 0.012583}, abs=1e-5)
    assert (row.value("accuracy"), row.sd("accuracy")) == tuple(row.metrics.values())


def test_what_is_compared_and_what_is_shown_may_be_different_epochs(make_study, make_run):
    def both(last, best):
        results = {
            "selected": {"valid_loss": best, "top5": best},
            "best": {"valid_loss": best, "top5": best},
            "last": {"valid_loss": last, "top5": last},
        }
        return [make_run(0, results=results)]

    losses = rows(
        make_study({"a": (None, both(0.9, 0.5)), "b": ("a", both(0.6, 0.4))}, Compare("valid_loss", "lower", "last"))
    )["b"]
    assert losses.valid_loss == 0.4
    assert losses.delta_parent == pytest.approx(-0.3)
    metric = rows(
        make_study({"a": (None, both(0.9, 0.5)), "b": ("a", both(0.6, 0.4))}, Compare("top5", "lower", "last"))
    )["b"]
    assert metric.metrics["top5"] == 0.6


def test_early_stops_show_the_epochs_really_trained(make_study, make_run):
    row = rows(make_study({"a": (None, [make_run(i, 0.5 + i / 10, epoch=e) for i, e in enumerate([30, 41])])}))["a"]
    assert row.epochs == 35.5


def test_a_diverged_seed_takes_the_mean_and_makes_the_row_unstable(make_study, make_run):
    broken = [
        *(make_run(i, loss) for i, loss in enumerate(BETTER[:3])),
        make_run(3, status="diverged", reason="train_loss (=nan) is not finite in epoch 4"),
    ]
    found = rows(make_study({"a": (None, PARENT[:4]), "b": ("a", broken), "c": ("b", BETTER[:4])}))
    row = found["b"]
    assert (row.status, row.verdict, row.seeds) == ("diverged", "unstable", 3)
    assert (row.valid_loss, row.train_loss, row.valid_loss_sd, row.delta_parent, row.delta_baseline) == (None,) * 5
    assert (row.tally.planned, row.tally.affected) == (4, 1)
    reason = "train_loss (=nan) is not finite in epoch 4"
    assert row.notes == (Note("ended_badly", seeds=(3,), values={"status": "diverged", "reason": reason}),)
    # Whoever stands on it is compared with the baseline only.
    assert found["c"].delta_parent is None
    assert found["c"].delta_baseline is not None
    assert Note("parent_diverged", seeds=(3,)) in found["c"].notes


def test_diverged_speaks_before_running(make_study, make_run):
    row = rows(make_study({"a": (None, [make_run(0, status="running"), make_run(1, status="diverged")])}))["a"]
    assert row.status == "diverged"


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "timeout"])
def test_a_failed_seed_is_left_out_and_said(make_study, make_run, status):
    runs = [*(make_run(i, loss) for i, loss in enumerate(BETTER[:4])), make_run(4, status=status, reason="no\nluck")]
    row = rows(make_study({"a": (None, PARENT), "b": ("a", runs)}))["b"]
    assert (row.status, row.seeds) == (status, 4)
    assert row.valid_loss == pytest.approx(np.mean(BETTER[:4]))
    assert row.verdict == "helps"
    assert Note("ended_badly", seeds=(4,), values={"status": status, "reason": "no\nluck"}) in row.notes
    assert Note("paired_on_some", seeds=(0, 1, 2, 3)) in row.notes


def test_while_seeds_are_coming_there_is_a_mean_but_no_verdict(make_study, make_run):
    runs = [*(make_run(i, loss) for i, loss in enumerate(BETTER[:3])), make_run(3, None, "running", epoch=12)]
    found = rows(make_study({"a": (None, PARENT[:4]), "b": ("a", runs), "c": ("b", PARENT[:4])}))
    row = found["b"]
    assert (row.status, row.seeds, row.partial) == ("running", 3, True)
    assert row.valid_loss == pytest.approx(np.mean(BETTER[:3]))
    assert row.ci_low is not None
    assert (row.p_adjusted, row.verdict) == (None, None)
    assert (row.tally.epoch, row.tally.epochs) == (12, 50)
    assert row.notes == (Note("unfinished", values={"finished": 3, "planned": 4}),)
    assert found["c"].verdict is None
    assert Note("parent_unfinished") in found["c"].notes


@pytest.mark.parametrize("status", ["queued", "running", "interrupted", "stale", "no_effect"])
def test_a_row_with_no_result_knows_its_epochs_and_nothing_else(make_study, make_run, status):
    row = rows(make_study({"a": (None, [make_run(0, status=status)])}))["a"]
    assert (row.status, row.seeds, row.epochs, row.partial) == (status, 0, 50, False)
    assert (row.valid_loss, row.seconds, row.best_epoch, row.delta_baseline) == (None,) * 4


def test_a_missing_parent(make_study):
    row = rows(make_study({"b": ("a", BETTER)}))["b"]
    assert (row.parent, row.delta_parent, row.delta_baseline) == ("a", None, None)
    assert row.notes == (Note("parent_missing", values={"parent": "a"}),)


def test_a_value_that_is_no_number_is_not_averaged_over(make_study, make_run):
    def measured(value):
        return {"selected": {"valid_loss": 0.5, "auc": value}}

    runs = [make_run(0, results=measured(0.9)), make_run(1, results=measured(math.nan))]
    row = rows(make_study({"a": (None, runs)}, metrics=["auc"]))["a"]
    assert row.metrics == {"auc": None, "auc_sd": None}
    assert Note("missing_values", seeds=(1,), values={"metric": "auc"}) in row.notes


def test_a_value_that_is_no_number_is_told_once(make_study, make_run):
    def told(name, *epochs):
        return tuple(Note("not_finite", values={"metric": name, "value": "nan", "at": at}) for at in epochs)

    everywhere = {"results": {"selected": {"valid_loss": 0.5}}, "notes": told("auc", "selected", "last", "best")}
    study = make_study({"a": (None, [make_run(seed, **everywhere) for seed in (0, 1)])}, Compare("auc"), ["auc"])
    assert rows(study)["a"].notes == (*told("auc", "selected"), Note("same_result"))
    late = {"results": {"selected": {"valid_loss": 0.5, "auc": 0.9}}, "notes": told("auc", "last")}
    assert rows(make_study({"a": (None, [make_run(0, **late)])}))["a"].notes == told("auc", "last")


def test_folds_of_a_seed_count_once(make_study, make_run):
    def folds(base):
        return [make_run(seed, base + seed / 10 + fold / 100, fold=fold) for seed in (0, 1) for fold in (0, 1, 2)]

    row = rows(make_study({"a": (None, folds(0.5)), "b": ("a", folds(0.4))}))["b"]
    assert (row.seeds, row.tally.planned) == (2, 2)
    assert row.valid_loss == pytest.approx((0.41 + 0.51) / 2)
    missing = folds(0.4)[:-1]
    assert rows(make_study({"a": (None, folds(0.5)), "b": ("a", missing)}))["b"].seeds == 2
    waiting = [*missing, make_run(1, None, "queued", fold=2)]
    assert rows(make_study({"a": (None, folds(0.5)), "b": ("a", waiting)}))["b"].seeds == 1


def test_notes_name_their_seeds_unless_all_have_them(make_study, make_run):
    slow = Note("text", values={"text": "slow"})
    runs = [make_run(0, 0.5, notes=(Note("missing_targets"), slow)), make_run(1, 0.6, notes=(Note("missing_targets"),))]
    assert rows(make_study({"a": (None, runs)}))["a"].notes == (Note("missing_targets"), replace(slow, seeds=(0,)))


NEW_SAMPLES = ["delta_new_samples", "new_samples_low", "new_samples_high", "new_samples_share"]
"""Keys that are computed from the stored values of single samples."""


def test_dump_has_the_keys_that_are_promised(make_study, make_run):
    runs = [make_run(0, results={"selected": {"valid_loss": 0.5, "acc": 0.9, "status": 3.0}})]
    table = gather(make_study({"a": (None, runs), "b": ("a", [make_run(0, None, "queued")])}, metrics=["acc"]))
    tree = table_tree(table)
    assert list(tree) == ["study", "compare", "axis", "prior", "pairing", "rows"]
    assert tree["compare"] == {
        "metric": "valid_loss",
        "better": "lower",
        "at": "selected",
        "scale": "linear",
        "smallest_effect": None,
        "failed": None,
    }
    for row in tree["rows"]:
        assert list(row) == [*KEYS, *NEW_SAMPLES, "acc", "acc_sd", "metric_status", "status_sd"]
    assert tree["rows"][1]["from"] == "a"
    assert tree["rows"][1]["published"] is None
    assert tree["rows"][0]["metric_status"] == 3.0
    assert tree["rows"][0]["status"] == "finished"


def test_a_row_needs_only_its_name():
    assert list(row_tree(Row("a"))) == KEYS


def test_a_row_that_mixes_versions_says_so(make_study, make_run):
    study = make_study({"a": (None, PARENT[:3]), "b": ("a", [*(make_run(i, 0.4 + i) for i in (0, 1)), make_run(2)])})
    origins = {
        make_run(0).fingerprint: Provenance(torch="2.12.1", device="cpu", python="3.11.9"),
        make_run(1).fingerprint: Provenance(torch="2.13.0", device="cuda:0", device_name="H100", python="3.11.9"),
    }
    row = gather(study, provenances=lambda names: [origins.get(name, Provenance()) for name in names]).rows[0]
    assert row.notes == (
        Note("mixed_torch", values={"names": ["2.12.1", "2.13.0"]}),
        Note("mixed_device", values={"names": ["H100", "cpu"]}),
    )
    assert gather(study).rows[0].notes == ()


def test_the_provenance_is_read_only_of_runs_whose_record_lacks_the_origin(make_study, make_run):
    runs = [make_run(0, 0.4, origin=Origin(torch="2.13.0", train=842)), make_run(1, 0.5), make_run(2, 0.6)]
    study = make_study({"a": (None, runs)})
    asked = []

    def provenances(names):
        asked.extend(names)
        return [Provenance(torch="2.12.1") for _ in names]

    assert gather(study, provenances=provenances).rows[0].notes == (
        Note("mixed_torch", values={"names": ["2.12.1", "2.13.0"]}),
    )
    assert asked == [runs[1].fingerprint, runs[2].fingerprint]
