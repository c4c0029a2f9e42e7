from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ablate import api
from ablate.data.dataset import TargetScaling
from ablate.engine.contract import Facts
from ablate.evidence.confounds import (
    Origins,
    different_losses,
    different_origins,
    different_samples,
    different_settings,
    mixtures,
    same_validation,
    unpaired_init,
)
from ablate.evidence.gather import gather
from ablate.notes.note import Note
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.recipe.settings import Choice, Settings, trainer_choice
from ablate.recipe.variant import Change, Compare, Variant
from ablate.store.provenance import Provenance
from ablate.store.store import Store


def variant(name="child", changes=(), **fields):
    kinds = {kind: Choice(kind, None, "m:x", {}) for kind in Settings.CHOICES}
    return Variant(name, "parent", "", tuple(Change(name, *change) for change in changes), Settings(**kinds | fields))


GAINS = {"b": 0.05, "c": 0.02, "other": 0.3}

PARENT = variant("parent", epochs=1000)


def test_a_longer_training_beside_a_trick_is_told():
    row = variant(changes=[("add", "flip"), ("set", "epochs", 3000)], epochs=3000)
    assert different_settings(row, PARENT) == [Note("other_epochs", values={"own": 3000, "parent": 1000})]
    smaller = variant(changes=[("add", "flip")], epochs=1000, batch_size=32)
    assert different_settings(smaller, PARENT) == [Note("other_batch_size", values={"own": 32, "parent": 64})]


def test_steps_instead_of_epochs_are_told():
    row = variant(changes=[("add", "flip"), ("set", "steps", 3000)], steps=3000)
    row = replace(row, settings=row.settings.replace(epochs=0))
    expected = Note("other_length", values={"own": "3,000 steps", "parent": "1000 epochs"})
    assert different_settings(row, PARENT) == [expected]
    assert different_settings(replace(row, changes=row.changes[1:]), PARENT) == []


def test_a_row_that_is_about_its_budget_is_not():
    row = variant(changes=[("set", "epochs", 3000)], epochs=3000)
    assert different_settings(row, PARENT) == []
    assert different_settings(variant(changes=[("add", "flip")], epochs=1000), PARENT) == []


def test_other_data_are_told_with_what_differs():
    data = Choice("data", None, "m:x", {"split_seed": 3})
    row = variant(changes=[("set", "data.split_seed", 3)], epochs=1000, data=data)
    assert different_settings(row, PARENT) == [Note("other_validation", values={"keys": ["split_seed"]})]


def test_pictures_of_another_size_are_validated_on_the_same_samples():
    def faces(**options):
        return variant(data=Choice("data", "facial_keypoints", None, options))

    assert same_validation(faces(size=48), faces(size=96))
    assert different_settings(faces(size=48), faces(size=96)) == [Note("other_data", values={"keys": ["size"]})]
    assert not same_validation(faces(size=48, missing="mask"), faces(size=96, missing="drop"))
    assert not same_validation(faces(), variant())
    mine = [variant(data=Choice("data", None, "m:x", {"size": size})) for size in (48, 96)]
    assert not same_validation(*mine)  # what the user's own function makes of it is not known


DEFAULT, HE = Choice("init", "default", None, {}), Choice("init", "he", None, {})
OWN, WIDE = (Choice("model", None, "nets:Net", {"width": width}) for width in (8, 16))
MLP, CONVNET = (Choice("model", name, None, {}) for name in ("mlp", "convnet"))


@pytest.mark.parametrize(
    ("model", "init", "parents_model", "parents_init", "unpaired"),
    [
        (WIDE, DEFAULT, OWN, DEFAULT, True),
        (OWN, DEFAULT, MLP, DEFAULT, True),
        (MLP, DEFAULT, OWN, DEFAULT, True),
        (OWN, DEFAULT, OWN, DEFAULT, False),
        (WIDE, HE, OWN, HE, False),
        (WIDE, HE, OWN, DEFAULT, False),  # the row is about its initial values
        (CONVNET, DEFAULT, MLP, DEFAULT, False),
    ],
)
def test_networks_of_the_users_own_that_differ_do_not_start_alike(model, init, parents_model, parents_init, unpaired):
    row = variant(model=model, init=init)
    assert unpaired_init(row, variant(model=parents_model, init=parents_init)) == unpaired


def test_a_row_says_that_its_init_is_not_paired(make_study):
    study = make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", [0.3, 0.5, 0.55])})
    models = zip(study.rows, (OWN, WIDE), strict=True)
    rows = [
        replace(r, variant=replace(r.variant, settings=r.variant.settings.replace(model=m, init=DEFAULT)))
        for r, m in models
    ]
    parent, child = gather(replace(study, rows=tuple(rows))).rows
    assert (parent.notes, child.notes) == ((), (Note("init_not_paired"),))
    assert [row.notes for row in gather(study).rows] == [(), ()]

    def notes(mine, theirs):
        given = [
            replace(r, runs=tuple(replace(run, first_weights=d) for run, d in zip(r.runs, digests, strict=True)))
            for r, digests in zip(rows, (theirs, mine), strict=True)
        ]
        return gather(replace(study, rows=tuple(given))).rows[1].notes

    assert notes("abc", "abc") == ()
    for mine, theirs in (("abd", "abc"), ([None] * 3, "abc"), ([None] * 3, [None] * 3)):
        assert notes(mine, theirs) == (Note("init_not_paired"),)


def test_a_row_says_that_its_own_training_starts_from_another_loss(make_study):
    def notes(mine, theirs, own=True):
        study = make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", [0.3, 0.5, 0.55])})
        trainer = trainer_choice("target", target="train:main")
        rows = [
            replace(
                row,
                variant=replace(
                    row.variant, settings=row.variant.settings.replace(**{"trainer": trainer} if own else {})
                ),
                runs=tuple(replace(run, first_loss=loss) for run, loss in zip(row.runs, losses, strict=True)),
            )
            for row, losses in zip(study.rows, (theirs, mine), strict=True)
        ]
        return gather(replace(study, rows=tuple(rows))).rows[1].notes

    assert notes([2.5, 2.25, 2.0], [2.5, 2.25, 2.0]) == ()
    assert notes([None, None, 2.0], [2.5, 2.25, 2.0]) == ()
    assert notes([2.5, 2.125, 2.0], [2.5, 2.25, 2.0]) == (Note("start_not_paired", seeds=(1,)),)
    assert notes([3.5, 3.25, 3.0], [2.5, 2.25, 2.0]) == (Note("start_not_paired"),)
    assert notes([3.5, 3.25, 3.0], [2.5, 2.25, 2.0], own=False) == ()


NETS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, slope=0.0, wider=False):
        super().__init__()
        self.flat = nn.Flatten()
        if wider:
            self.before = nn.Linear(64, 64)
        self.{name} = nn.Linear(64, 16)
        self.act = nn.LeakyReLU(slope)
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        x = self.flat(x)
        return self.out(self.act(self.{name}(self.before(x) if hasattr(self, "before") else x)))
"""


@pytest.mark.parametrize("stack", ["auto", "off"])
def test_first_weights_are_compared_not_settings(tmp_path, stack):
    """Really trained: other arguments and names with the same weights are paired, other draws are not."""
    for module, name in (("net", "hidden"), ("renamed", "first")):
        (tmp_path / f"{module}.py").write_text(NETS.replace("{name}", name))
    (tmp_path / "r.yaml").write_text(
        f"data: digits\nseeds: 2\nbaseline: {{name: base, model: {{target: 'net:Net'}}, loss: cross_entropy, stack: {stack},\n"
        "  optimizer: {name: sgd, lr: 0.1}, epochs: 1, batch_size: 512}\nvariants:\n"
        "  - {name: leaky, from: base, set: {model: {target: 'net:Net', slope: 0.2}}}\n"
        "  - {name: named, from: base, set: {model: {target: 'renamed:Net', slope: 0.1}}}\n"
        "  - {name: wider, from: base, set: {model: {target: 'net:Net', wider: true}}}\n"
    )
    table = api.run(tmp_path / "r.yaml", root=tmp_path / "runs")
    found = {row.variant: {note.kind for note in row.notes} & {"init_not_paired"} for row in table.rows}
    assert found == {"base": set(), "leaky": set(), "named": set(), "wider": {"init_not_paired"}}
    store = Store(tmp_path / "runs")
    records = {row.variant.name: row.runs for row in make_plan(Recipe.load(tmp_path / "r.yaml"), store).record().rows}
    weights = {name: [run.first_weights for run in runs] for name, runs in records.items()}
    assert weights["base"] == weights["leaky"] == weights["named"] != weights["wider"]
    assert len({*weights["base"], *weights["wider"]}) == 4


def test_losses_are_told_apart_by_name_and_by_settings():
    other, tuned = Choice("loss", None, "m:tversky", {}), Choice("loss", None, "m:x", {"alpha": 0.3})
    named = Note("other_loss", values={"metric": "valid_loss", "own": "tversky", "parent": "x"})
    assert different_losses(variant(loss=other), PARENT, "valid_loss") == named
    changed = Note("other_loss_settings", values={"metric": "valid_loss", "keys": ["alpha"]})
    assert different_losses(variant(loss=tuned), PARENT, "valid_loss") == changed
    assert different_losses(variant(), PARENT, "valid_loss") is None


def origins_of(*provenances):
    return Origins.of([one.origin for one in provenances])


def test_versions_and_devices_of_a_row_and_its_parent():
    here = Provenance(torch="2.13.0", device="cpu", python="3.11.9", ablate="0.1.0")
    there = replace(here, torch="2.12.1", device="cuda:0", device_name="H100")
    assert different_origins(origins_of(here, here), origins_of(there)) == [
        Note("other_torch", values={"own": ["2.13.0"], "parent": ["2.12.1"]}),
        Note("other_device", values={"own": ["cpu"], "parent": ["H100"]}),
    ]
    one = origins_of(here)
    assert different_origins(one, one) == different_origins(origins_of(Provenance()), origins_of(there)) == []
    later = replace(here, ablate="0.2.0")
    assert mixtures(origins_of(here, later)) == [Note("mixed_ablate", values={"names": ["0.1.0", "0.2.0"]})]


def test_a_table_tells_it_in_the_row(make_study, make_run):
    study = make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", [make_run(i + 10, 0.4) for i in range(3)])})
    paired = make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", [0.3, 0.5, 0.55])})
    told = {make_run(seed).fingerprint: Provenance(torch="2.13.0") for seed in range(20)}
    assert [row.unlike for row in gather(paired, provenances=lambda names: map(told.__getitem__, names)).rows] == [
        (),
        (),
    ]
    assert gather(study).rows[1].delta_parent is None


@pytest.mark.parametrize(("metric", "taken"), [("valid_loss", False), ("train_loss", False), ("accuracy", True)])
def test_losses_of_two_kinds_are_not_compared(make_study, make_run, metric, taken):
    def runs(values):
        return [
            make_run(i, results={"selected": {"valid_loss": v, "train_loss": v, "accuracy": v}})
            for i, v in enumerate(values)
        ]

    study = make_study({"a": (None, runs([0.5, 0.6, 0.7])), "b": ("a", runs([0.4, 0.45, 0.6]))}, Compare(metric))
    parent, child = study.rows
    loss = Choice("loss", None, "m:other", {})
    other = replace(child.variant, settings=child.variant.settings.replace(loss=loss))
    row = gather(replace(study, rows=(parent, replace(child, variant=other)))).rows[1]
    assert (row.delta_parent is not None, row.delta_baseline is not None) == (taken, taken)
    note = Note("other_loss", values={"metric": metric, "own": "other", "parent": "x"})
    assert (note in row.notes) == (not taken)


def test_rows_on_other_data_get_no_verdict_and_take_no_share_in_holm(make_study):
    draw = np.random.default_rng(3)
    parent = list(0.5 + 0.01 * draw.standard_normal(5))
    losses = {name: [v - shift + 0.001 * draw.standard_normal() for v in parent] for name, shift in GAINS.items()}
    study = make_study({"a": (None, parent), **{name: ("a", values) for name, values in losses.items()}})
    data = Choice("data", None, "m:x", {"target": "price"})
    rows = [
        replace(record, variant=replace(record.variant, settings=record.variant.settings.replace(data=data)))
        if record.variant.name == "other"
        else record
        for record in study.rows
    ]
    found = {row.variant: row for row in gather(replace(study, rows=tuple(rows))).rows}
    alone = {row.variant: row for row in gather(replace(study, rows=study.rows[:3])).rows}
    other = found["other"]
    assert (other.verdict, other.p, other.p_adjusted, other.detectable) == (None,) * 4
    assert other.delta_parent == pytest.approx(-0.3, abs=0.01)
    assert other.unlike == (Note("other_validation", values={"keys": ["target"]}),)
    for name in ("b", "c"):
        assert found[name] == alone[name]
        assert found[name].verdict == "helps"
    assert {row.variant: row.verdict for row in gather(study).rows}["other"] == "helps"


def test_losses_of_targets_in_other_units_give_no_difference(make_study, make_run):
    scaled = TargetScaling((2.0,), (3.0,))
    runs = [make_run(i, 0.1 + i, target_scaling=scaled) for i in range(3)]
    study = make_study({"a": (None, [0.5, 0.6, 0.7]), "b": ("a", runs)})
    row = gather(study).rows[1]
    assert row.delta_parent is None
    assert row.notes == (Note("other_units", values={"metric": "valid_loss"}),)
    same = make_study({"a": (None, runs), "b": ("a", [replace(run, results=runs[0].results) for run in runs])})
    assert gather(same).rows[1].delta_parent is not None


def test_a_trick_that_scales_targets_makes_losses_unlike():
    from ablate.registry import lookup

    trick = lookup("trick", "normalise_targets").settings
    row = variant(tricks=(Choice("trick", "normalise_targets", None, trick()),))
    other = variant(tricks=(Choice("trick", "normalise_targets", None, trick(to="unit")),))
    scaled = Note("other_scaling", values={"metric": "valid_loss"})
    assert different_losses(row, variant(), "valid_loss") == different_losses(row, other, "valid_loss") == scaled
    assert different_losses(row, row, "valid_loss") is None


def test_rows_with_other_numbers_of_steps_are_told(make_study, make_run):
    parent = [make_run(i, 0.5 + i, steps=50 * 75) for i in range(3)]
    child = [make_run(i, 0.4 + i, steps=50 * 60) for i in range(3)]
    rows = gather(make_study({"a": (None, parent), "b": ("a", child), "c": ("a", parent)})).rows
    assert rows[1].unlike == (Note("other_steps", values={"own": 60, "parent": 75}),)
    assert rows[2].unlike == ()
    assert rows[1].steps == 3000


def test_rows_with_other_samples_are_told_instead_of_their_steps(make_study, make_run):
    parent = [replace(make_run(i, 0.5 + i, steps=50 * 27), fingerprint=f"a{i}") for i in range(3)]
    child = [replace(make_run(i, 0.4 + i, steps=50 * 86), fingerprint=f"b{i}") for i in range(3)]
    study = make_study({"a": (None, parent), "b": ("a", child)})

    def provenances(names):
        for name in names:
            train = 842 if name.startswith("a") else 2741
            yield Provenance(facts=Facts(data={"train": train, "valid": 210}))

    assert gather(study, provenances=provenances).rows[1].unlike == (
        Note("other_samples", values={"split": "train", "own": 2741, "parent": 842}),
    )
    joined = study.rows[1].variant.settings.replace(trainer=trainer_choice("joined", members=("a",)))
    rows = (study.rows[0], replace(study.rows[1], variant=replace(study.rows[1].variant, settings=joined)))
    unlike = gather(replace(study, rows=rows), provenances=provenances).rows[1].unlike
    assert "other_samples" not in [note.kind for note in unlike]


def test_samples_that_the_folds_of_a_row_do_not_share_are_not_counted():
    folds = origins_of(*(Provenance(facts=Facts(data={"train": n, "valid": 20})) for n in (80, 81)))
    other = origins_of(Provenance(facts=Facts(data={"train": 10, "valid": 30})))
    assert different_samples(folds, other) == [
        Note("other_samples", values={"split": "valid", "own": 20, "parent": 30})
    ]
    assert different_samples(folds, origins_of(Provenance())) == []


def test_the_test_part_is_shown_and_no_verdict_stands_on_it(make_study, make_run):
    from ablate.report.columns import default_keys
    from ablate.report.summary import summary

    def tested(losses):
        values = ({"train_loss": x, "valid_loss": x, "test_loss": x + 0.1} for x in losses)
        return [make_run(i, results={"selected": v, "last": v, "best": v}) for i, v in enumerate(values)]

    rows = {"a": (None, tested([0.5, 0.6, 0.7])), "b": ("a", tested([0.4, 0.3, 0.5]))}
    table = gather(make_study(rows))
    assert default_keys(table)[-1] == "test_loss"
    assert table.rows[0].value("test_loss") == pytest.approx(0.7)
    assert any(line.startswith("Test columns") for line in summary(table))
    warned = gather(make_study(rows, Compare("test_loss")))
    assert warned.rows[1].delta_parent == pytest.approx(-0.2)
    assert default_keys(warned).count("test_loss") == 1
    assert any("Verdicts are based on test_loss" in line for line in summary(warned))
    assert not any(line.startswith("Test columns") for line in summary(warned))
