"""What a whole study's evidence comes to: a planted effect is found, chance is not, and a row says what is odd about
its pairs.
"""

from __future__ import annotations

import numpy as np
import pytest

from ablate.evidence.gather import gather
from ablate.notes.note import Note
from ablate.recipe.variant import Compare


def ladder(draw, rows=7, n=5, effect=0.0, at=4):
    """Losses of a ladder of rows with standard deviation 0.01: what a seed's rows share, and from row ``at`` on an
    effect.
    """
    shared = 0.03 * draw.standard_normal(n)
    worth = [effect if row >= at else 0.0 for row in range(rows)]
    values = {f"net{row}": list(0.5 + w + shared + 0.01 * draw.standard_normal(n)) for row, w in enumerate(worth)}
    return {name: (f"net{row - 1}" if row else None, losses) for row, (name, losses) in enumerate(values.items())}


def test_three_deviations_are_found_with_five_seeds(make_study):
    rows = {row.variant: row for row in gather(make_study(ladder(np.random.default_rng(0), effect=-0.03))).rows}
    assert rows["net4"].verdict == "helps"
    assert rows["net4"].ci_low < -0.03 < rows["net4"].ci_high
    assert {rows[f"net{i}"].verdict for i in (1, 2, 3, 5, 6)} == {"unclear"}


def test_they_are_found_in_most_studies_where_the_paired_t_test_misses_half(make_study):
    from ablate.evidence.paired import own_spreads

    found = {"shared": 0, "own": 0}
    for seed in range(20):
        study = make_study(ladder(np.random.default_rng(seed), effect=-0.03))
        found["shared"] += gather(study).rows[4].verdict == "helps"
        found["own"] += gather(study, own_spreads).rows[4].verdict == "helps"
    assert found["shared"] >= 15
    assert found["own"] <= 14


def test_an_effect_that_does_not_matter_is_no_difference(make_study):
    draw = np.random.default_rng(1)
    rows = ladder(draw, n=20)
    assert {row.verdict for row in gather(make_study(rows, Compare(smallest_effect=0.05))).rows[1:]} == {
        "no difference"
    }
    assert {row.verdict for row in gather(make_study(rows)).rows[1:]} == {"unclear"}


def test_a_pair_far_out_is_named(make_study):
    draw = np.random.default_rng(2)
    rows = ladder(draw, n=8)
    rows["net2"][1][5] += 0.5
    notes = {row.variant: row.notes for row in gather(make_study(rows)).rows}
    assert notes["net1"] == ()
    assert notes["net2"] == (Note("outlier", seeds=(5,)),)


def test_some_identical_seeds_are_named(make_study):
    row = gather(make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", [0.4, 0.6, 0.55])})).rows[1]
    assert row.notes == (Note("identical", seeds=(1,)),)
    assert row.verdict is not None


def test_a_metric_too_coarse_to_scatter_gets_no_verdict(make_study, make_run):
    def scored(values):
        return [make_run(i, results={"selected": {"valid_loss": i + v, "hits": v}}) for i, v in enumerate(values)]

    study = make_study({"a": (None, scored([7.0, 8.0, 9.0])), "b": ("a", scored([6.0, 7.0, 8.0]))}, Compare("hits"))
    row = gather(study).rows[1]
    assert (row.delta_parent, row.ci_low, row.p_adjusted, row.verdict) == (-1.0, None, None, None)
    assert row.notes == (Note("same_difference"),)


@pytest.mark.parametrize("start", [0, 100, 200])
def test_copies_of_one_variant_under_other_noise_get_no_verdict(make_study, make_run, tmp_path, start):
    """Really trained: same initial values and order, other streams of dropout noise."""
    from ablate.data.load import load_parts
    from ablate.engine.assembly import assemble
    from ablate.engine.contract import Assignment
    from ablate.engine.training import train_epoch, validate
    from ablate.recipe import Recipe

    (tmp_path / "r.yaml").write_text(
        "data: digits\nbaseline: {model: {name: mlp, hidden: [16]}, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, "
        "batch_size: 256, epochs: 2, add: [{dropout: 0.2}]}\n"
    )
    settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
    parts = load_parts(settings.data, tmp_path)

    def loss(seed, copy):
        assembly = assemble(Assignment(settings, (seed,), tmp_path), parts)
        for noise in assembly.streams.values():
            noise.stream += f", copy {copy}"
        for epoch in range(1, settings.epochs + 1):
            train_epoch(assembly, epoch)
        return float(validate(assembly)["valid_loss"])

    values = {f"net{copy}": [loss(start + seed, copy) for seed in range(4)] for copy in range(5)}
    rows = gather(make_study({n: (None if n == "net0" else "net0", v) for n, v in values.items()})).rows
    assert {row.verdict for row in rows[1:]} == {"unclear"}
    assert all(row.valid_loss_sd > 1e-4 for row in rows)
