"""A variant is its parent's list of changes plus its own, replayed in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.registry import Card, Entry, _entries
from ablate.tricks.trick import NoEffect, Trick


def tricks(recipe, name):
    return {c.label: c.dump() for c in recipe.variant(name).settings.tricks}


def test_from_defaults_to_the_row_above(rows):
    recipe = rows("{name: a, set: {epochs: 5}}", "{name: b, add: [flip]}", "{name: c, from: net1, add: [flip]}")
    assert [(v.parent, v.settings.epochs) for v in recipe.variants] == [(None, 4), ("net1", 5), ("a", 5), ("net1", 4)]


def test_within_a_row_the_order_is_remove_add_set(rows):
    recipe = rows(
        "{name: a, add: [{dropout: {hidden: 0.5}}]}",
        "{name: b, set: {tricks.dropout.hidden: 0.3}, add: [{dropout: {conv: 0.1}}], remove: [dropout]}",
    )
    assert tricks(recipe, "b")["dropout"] == {"name": "dropout", "conv": 0.1, "hidden": 0.3, "existing": None}
    assert [str(c) for c in recipe.variant("b").changes] == [
        "− dropout",
        "+ dropout {conv: 0.1}",
        "tricks.dropout.hidden = 0.3",
    ]


def test_the_forms_of_add(rows):
    recipe = rows("{name: a, add: [flip, {dropout: {hidden: 0.5}}, {name: shift, pixels: 2}, {weight_decay: 0.1}]}")
    assert {name: plain for name, plain in tricks(recipe, "a").items() if name != "weight_decay"} == {
        "flip": {"name": "flip", "share": 0.5, "alternate": False},
        "dropout": {"name": "dropout", "conv": 0.0, "hidden": 0.5, "existing": None},
        "shift": {**tricks(recipe, "a")["shift"], "name": "shift", "pixels": 2},
    }
    assert tricks(recipe, "a")["weight_decay"]["rate"] == 0.1


def test_a_schedule_is_a_bare_value_too(rows):
    recipe = rows("{name: a, add: [{weight_decay: {linear: [0.1, 0.0]}}]}")
    assert tricks(recipe, "a")["weight_decay"]["rate"] == {"linear": [0.1, 0.0], "per": "step"}


def test_adding_a_present_trick_replaces_all_its_settings(rows):
    recipe = rows("{name: a, add: [{dropout: {conv: 0.2, hidden: 0.5}}]}", "{name: b, add: [{dropout: {hidden: 0.1}}]}")
    assert tricks(recipe, "b") == {"dropout": {"name": "dropout", "conv": 0.0, "hidden": 0.1, "existing": None}}


def test_remove_deletes_the_entry_and_replays_the_rest(rows):
    recipe = rows(
        "{name: a, set: {model: {name: convnet, channels: [8]}}}",
        "{name: b, add: [flip], set: {model.channels: [16], epochs: 9}}",
        "{name: c, add: [shift]}",
        "{name: d, remove: [flip]}",
    )
    assert list(tricks(recipe, "d")) == ["shift"]
    assert recipe.variant("d").settings.model.dump()["channels"] == [16]
    assert recipe.variant("d").settings.epochs == 9


def test_removing_a_trick_takes_its_later_settings_along(rows):
    recipe = rows(
        "{name: a, add: [dropout], set: {tricks.dropout.hidden: 0.3}}",
        "{name: b, set: {tricks.dropout.hidden: 0.4}, add: [flip]}",
        "{name: c, remove: [dropout]}",
    )
    assert list(tricks(recipe, "c")) == ["flip"]


BUNDLES = """\
tricks:
  strong: {add: [{dropout: 0.5}, flip], set: {epochs: 9, tricks.flip.share: 1}, description: much of all}
  stronger: {add: [strong, {shift: 1}]}
"""


def test_a_bundle_is_its_changes(rows):
    recipe = rows("{name: a, add: [strong]}", more=BUNDLES)
    assert set(tricks(recipe, "a")) == {"dropout", "flip"}
    assert tricks(recipe, "a")["flip"]["share"] == 1
    assert recipe.variant("a").settings.epochs == 9
    assert [str(c) for c in recipe.variant("a").changes] == ["+ strong"]


def test_a_bundle_goes_as_a_whole_or_in_part(rows):
    recipe = rows(
        "{name: a, add: [flip]}",
        "{name: b, add: [stronger]}",
        "{name: c, remove: [dropout]}",
        "{name: d, from: b, remove: [strong]}",
        "{name: e, from: b, remove: [stronger], add: [dropout]}",
        more=BUNDLES,
    )
    assert set(tricks(recipe, "b")) == {"dropout", "flip", "shift"}
    assert set(tricks(recipe, "c")) == {"flip", "shift"}
    assert recipe.variant("c").settings.epochs == 9
    assert set(tricks(recipe, "d")) == {"flip", "shift"}
    assert tricks(recipe, "d")["flip"]["share"] == 0.5  # the row's own, from before the bundle
    assert recipe.variant("d").settings.epochs == 4
    assert set(tricks(recipe, "e")) == {"flip", "dropout"}


def test_set_replaces_and_never_merges(rows):
    recipe = rows("{name: a, set: {optimizer: {name: adam, lr: 0.01}}}", "{name: b, set: {model: mlp}}")
    assert "momentum" not in recipe.variant("a").settings.optimizer.dump()
    assert recipe.variant("b").settings.model.dump()["hidden"] == [100]  # the default, not the 10 from before


def test_set_goes_into_schedules_lists_and_tricks(rows):
    recipe = rows(
        "{name: a, add: [{dropout: {conv: [0.1, 0.2]}}], set: {optimizer.lr: {linear: [0.1, 0.01]}}}",
        "{name: b, set: {optimizer.lr.linear: [0.2, 0.02], tricks.dropout.conv.1: 0.3, tricks.dropout.hidden: 0.4}}",
    )
    assert recipe.variant("b").settings.optimizer.dump()["lr"] == {"linear": [0.2, 0.02], "per": "step"}
    assert tricks(recipe, "b")["dropout"] == {"name": "dropout", "conv": [0.1, 0.3], "hidden": 0.4, "existing": None}


def test_a_default_section_can_be_set_into(rows):
    recipe = rows("{name: a, set: {monitor.better: higher, init: he_normal}}")
    assert recipe.variant("a").settings.monitor.better == "higher"
    assert recipe.variant("a").settings.init.name == "he_normal"


def test_the_baseline_may_have_tricks(load):
    recipe = load("""\
        baseline:
          data: digits
          model: mlp
          loss: cross_entropy
          optimizer: sgd
          add: [flip]
        variants:
          - {name: a, add: [shift]}
          - {name: b, remove: [flip]}
        """)
    assert [list(tricks(recipe, v.name)) for v in recipe.variants] == [["flip"], ["flip", "shift"], ["shift"]]
    assert [str(c) for c in recipe.variant("baseline").changes] == ["+ flip"]


class Halve(Trick):
    """Half the batch: a rule on settings."""

    order = 10

    def on_settings(self, settings):
        if settings.batch_size == 1:
            raise NoEffect("batch_size (=1) cannot be halved. Remove halve.")
        return settings.replace(batch_size=settings.batch_size // 2)


class Odd(Trick):
    """One more in a batch; comes after halve, whichever is written first."""

    order = 60

    def on_settings(self, settings):
        return settings.replace(batch_size=settings.batch_size + 1)


@pytest.fixture
def rules(monkeypatch):
    from ablate.registry import entries

    entries()
    for name, trick in (("halve", Halve), ("odd", Odd)):
        monkeypatch.setitem(_entries, ("trick", name), Entry("trick", name, trick, Card("a rule for tests")))


@pytest.mark.usefixtures("rules")
@pytest.mark.parametrize("order", ["halve, odd", "odd, halve"])
def test_rules_on_settings_apply_in_hook_order(rows, order):
    settings = rows(f"{{name: a, add: [{order}], set: {{batch_size: 20}}}}").variant("a").settings
    assert settings.batch_size == 11
    assert [c.name for c in settings.tricks] == ["halve", "odd"]


@pytest.mark.usefixtures("rules")
def test_a_rule_without_effect_is_a_problem(wrong_rows):
    assert wrong_rows("{name: a, set: {batch_size: 1}}", "{name: b, add: [odd, halve]}") == [
        "r.yaml:11:26: tricks.halve: batch_size (=1) cannot be halved. Remove halve."
    ]


def test_tricks_stand_in_hook_order_whatever_the_recipe_says(rows):
    one, other = (
        rows(f"{{name: a, add: [{tricks}]}}")
        for tricks in ("weight_decay, dropout, flip", "flip, dropout, weight_decay")
    )
    assert one.variant("a").settings == other.variant("a").settings


def test_targets_keep_plain_values(rows, tmp_path: Path):
    (tmp_path / "mine.py").write_text("class Net: ...\n")
    recipe = rows(
        "{name: a, set: {model: {target: mine:Net, width: 3, lr: {linear: [1, 2]}}}, add: [{target: mine:Trick, p: 1e-3}]}",
        "{name: b, set: {'tricks.mine:Trick.p': 2, model.width: 4}}",
        "{name: c, remove: ['mine:Trick']}",
    )
    assert recipe.variant("a").settings.model.dump() == {"target": "mine:Net", "width": 3, "lr": {"linear": [1, 2]}}
    assert recipe.variant("b").settings.tricks[0].options == {"p": 2}
    assert recipe.variant("b").settings.model.options["width"] == 4
    assert recipe.variant("c").settings.tricks == ()
