"""Findings about curves with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.crossed import NoNewSamples
from ablate.evidence.diagnosis import Diagnosis, diagnose
from ablate.evidence.seeds import Seeds
from ablate.notes.note import Note

EPOCHS = np.arange(1, 51)
FALL = np.exp(-EPOCHS / 5)


def curve(train, valid, **tracked):
    """The lines of a run."""
    each = {"train_loss": train, "valid_loss": valid, **tracked}
    return [
        {"epoch": i + 1, **{name: float(values[i]) for name, values in each.items()}}
        for i in range(len(EPOCHS[: len(train)]))
    ]


@pytest.fixture
def findings(make_study, make_run):
    """The findings about a variant whose seeds have these curves."""

    def find(*curves, start=2.3, **facts):
        runs = [make_run(seed, first_loss=start, **facts) for seed in range(len(curves))]
        lines = dict(zip((run.fingerprint for run in runs), curves, strict=True))
        study = make_study({"one": (None, runs)})
        return diagnose(Seeds(study.rows[0]), lambda name: lines[name])

    return find


def one(notes):
    [note] = notes
    return note.kind, note.values


def test_a_training_that_converges_shows_no_problem(findings):
    assert findings(curve(0.1 + FALL, 0.15 + FALL)) == ()


def test_overfitting(findings):
    kind, values = one(findings(curve(0.01 + FALL, 0.3 + (EPOCHS - 12) ** 2 / 4000)))
    assert kind == "overfits"
    assert (values["best_at"], values["last_at"]) == (12, 50)
    assert values["best"] == pytest.approx(0.3, abs=0.001)
    assert values["last"] == pytest.approx(0.3 + 38**2 / 4000, rel=0.02)
    assert values["train"] == pytest.approx(0.01 + np.exp(-10))


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_overfitting(findings):
    rising = 0.3 + (EPOCHS - 12) ** 2 / 4000
    assert "overfits" not in [note.kind for note in findings(curve(rising, rising * 1.01))]


def test_a_training_that_has_not_converged(findings):
    valid = np.exp(-EPOCHS / 50)
    kind, values = one(findings(curve(0.98 * valid, valid), start=1.0))
    assert kind == "not_converged"
    assert values["percent"] == pytest.approx(
        100 * (valid[30:40].mean() - valid[40:].mean()) / np.median(valid[25:]), rel=0.02
    )


def test_a_gap_between_the_losses(findings):
    kind, values = one(findings(curve(0.1 + FALL, 0.35 + FALL)))
    assert (kind, values["ratio"]) == ("gap", pytest.approx(3.5, rel=0.01))


def test_underfitting(findings):
    kind, values = one(findings(curve(1.5 + FALL, 1.55 + FALL)))
    assert (kind, values["start"]) == ("underfits", 2.3)
    # beside a loss that was not recorded, or as low a loss, nothing is known
    for start in (None, 10.0):
        assert [note.kind for note in findings(curve(1.5 + FALL, 1.55 + FALL), start=start)] == ["flat"]


def test_nothing_learned(findings):
    kind, values = one(findings(curve(2.29 + 0 * FALL, 2.31 + 0 * FALL)))
    assert (kind, values["train"]) == ("learned_nothing", pytest.approx(2.29))
    loaded = {"notes": (Note("initial_weights"),)}
    assert "learned_nothing" not in [note.kind for note in findings(curve(2.29 + 0 * FALL, 2.31 + 0 * FALL), **loaded)]


def test_a_loss_that_grows_again(findings):
    train = np.where(EPOCHS < 20, 1 / EPOCHS, EPOCHS / 20.0)
    kind, values = one(findings(curve(train, train), start=3.0))
    assert (kind, values["best_at"]) == ("diverging", 19)
    assert values["ratio"] == pytest.approx(2.5 * 19)


def test_a_loss_that_jumps(findings):
    jumps = np.where(EPOCHS % 2, 0.5, 0.3)
    kinds = [note.kind for note in findings(curve(0.35 + FALL, jumps + FALL))]
    assert kinds == ["oscillates"]


def test_a_loss_that_no_longer_improves(findings):
    kind, values = one(findings(curve(0.1 + np.exp(-EPOCHS), 0.15 + np.exp(-EPOCHS))))
    assert kind == "flat"
    assert values["best_at"] == 1 + np.argmax(np.exp(-EPOCHS) < 0.01 * 0.15)


def test_a_run_that_diverged(findings):
    kind, values = one(findings([], status="diverged", epoch=7))
    assert (kind, values["last_at"]) == ("diverged_at", 7)


@pytest.mark.parametrize(
    ("metric", "value", "kind"),
    [
        ("dead_relus", 0.8, "dead_units"),
        ("update_ratio", 0.5, "large_updates"),
        ("update_ratio", 1e-7, "small_updates"),
        ("dead_relus", 0.2, None),
        ("update_ratio", 1e-3, None),
    ],
)
def test_tracked_metrics(findings, metric, value, kind):
    found = findings(curve(0.1 + FALL, 0.15 + FALL, **{metric: np.full(50, value)}))
    assert [note.kind for note in found] == ([kind] if kind else [])


def test_most_runs_must_show_it(findings):
    fine, bad = curve(0.1 + FALL, 0.15 + FALL), curve(0.1 + FALL, 0.35 + FALL)
    assert findings(bad, fine, fine) == ()
    [note] = findings(bad, fine, bad)
    assert note.seeds == (0, 2)
    [note] = findings(bad, bad)
    assert note.seeds == ()


def test_noise_is_no_finding(findings):
    """Of 200 curves that have converged, with 5% of noise, each kind is found in few, if any."""
    kinds = []
    for seed in range(200):
        noise = 1 + 0.05 * np.random.default_rng(seed).standard_normal((2, 50))
        kinds += [note.kind for note in findings(curve((0.1 + FALL) * noise[0], (0.15 + FALL) * noise[1]))]
    counts = {kind: kinds.count(kind) for kind in set(kinds) - {"flat"}}
    assert all(count <= 4 for count in counts.values()), counts


def test_short_and_missing_curves_say_little(findings):
    assert findings([]) == ()
    assert findings(curve(0.1 + FALL[:5], 0.35 + FALL[:5])) == ()
    assert findings([{"epoch": i, "train_loss": 0.1} for i in range(1, 20)]) == ()
    assert findings([{"epoch": i, "accuracy": 0.1} for i in range(1, 20)]) == ()


def test_negative_losses_have_a_size(findings):
    kind, values = one(findings(curve(-2.1 + FALL, -2.0 + FALL)))
    # within 1% of the range
    assert (kind, values["best_at"]) == ("flat", EPOCHS[np.argmax(FALL - FALL[-1] < 0.01 * np.ptp(FALL))])


def test_each_variant_is_read_once_and_only_if_asked_for(make_study, make_run):
    runs = [make_run(0, first_loss=2.3)]
    study, read = make_study({"one": (None, runs)}), []
    lines = curve(0.1 + FALL, 0.35 + FALL)
    found = Diagnosis({"one": Seeds(study.rows[0])}, lambda name: read.append(name) or lines, "epoch", NoNewSamples())
    assert read == []
    assert found("one") == found("one") != ()
    assert len(read) == 1
    assert found("other") == ()
