"""Curves that keep their peaks: what thinning must not lose."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ablate.report.curves import Curves
from ablate.report.draw_curves import draw_curves
from ablate.report.figure import drawing

EPOCHS = 1003


@pytest.fixture
def noisy(lab):
    """Two seeds of 1,003 epochs with noise, single spikes, and an epoch that was not measured."""
    lab.row("a", 2)
    generator = np.random.default_rng(0)
    values = 1 + generator.normal(size=(2, EPOCHS)) / 10
    values[0, 500], values[1, 7], values[1, -1] = 9.0, -5.0, 7.0
    for run, row in zip(lab.rows[0].runs, values, strict=True):
        lines = [
            {"epoch": i + 1, "time": 1.0, **({} if i == 20 else {"valid_loss": value})} for i, value in enumerate(row)
        ]
        path = lab.store.run_folder(run.fingerprint) / "metrics.jsonl"
        lab.store.write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    values[:, 20] = np.nan
    return lab, values


def test_bands_and_outlines_keep_the_extremes_of_each_stretch(noisy):
    lab, values = noisy
    curve = Curves(lab.study, lab.store, points=100, peaks=True).of("a")["valid_loss"]
    assert curve.stretch == 11
    parts = [values[:, start : start + 11] for start in range(0, EPOCHS, 11)]
    assert list(curve.low) == [np.nanmin(part) for part in parts]
    assert list(curve.high) == [np.nanmax(part) for part in parts]
    assert curve.mean == pytest.approx([np.nanmean(part, axis=1).mean() for part in parts])
    for line, row in zip(curve.lines, values, strict=True):
        kept = {0, EPOCHS - 1}
        for start in range(0, EPOCHS, 11):
            part = row[start : start + 11]
            kept |= {start + int(np.nanargmin(part)), start + int(np.nanargmax(part))}
        assert line.outline.tolist() == [[i + 1, row[i]] for i in sorted(kept)]


def test_short_curves_are_whole(lab):
    lab.row("a", 1, epochs=6)
    [line] = Curves(lab.study, lab.store, points=100, peaks=True).of("a")["valid_loss"].lines
    assert line.outline.tolist() == np.column_stack([line.epochs, line.values]).tolist()


def test_without_peaks_nothing_else_is_kept(noisy):
    lab, _ = noisy
    [line, _] = Curves(lab.study, lab.store).of("a")["valid_loss"].lines
    assert line.outline is None
    assert line.low is line.values is line.high


def test_a_metric_that_was_never_measured_has_no_outline(lab):
    lab.row("a", 1, epochs=3)
    path = lab.store.run_folder(lab.rows[0].runs[0].fingerprint) / "metrics.jsonl"
    lab.store.write_text(
        path, '{"epoch": 1, "time": 1.0, "valid_loss": NaN}\n{"epoch": 2, "time": 1.0, "valid_loss": NaN}\n'
    )
    [line] = Curves(lab.study, lab.store, points=1, peaks=True).of("a")["valid_loss"].lines
    assert line.outline.shape == (0, 2)
    assert np.isnan(line.low).all()


def test_spikes_are_inside_the_axes(noisy):
    lab, values = noisy
    with drawing():
        [axes] = draw_curves(lab.study, Curves(lab.study, lab.store, points=50, peaks=True)).axes
        low, high = axes.get_ylim()
    assert low < np.nanmin(values)
    assert high > np.nanmax(values)
