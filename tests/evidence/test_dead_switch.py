"""Changes that did nothing in the first step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ablate.evidence.gather import gather
from ablate.evidence.inert_changes import acts_at_once
from ablate.notes.note import Note
from ablate.recipe.settings import Choice
from ablate.registry import lookup

LOSSES = [0.5, 0.6, 0.7]
FIRST = [2.31, 2.29, 2.35]
SAID = Note("no_effect_at_first", values={"parent": "a"})


def trick(name, **options):
    return Choice("trick", name, None, lookup("trick", name).settings.model_validate(options))


@pytest.fixture
def pair(make_study, make_run):
    """A row whose settings differ from its parent's by ``changed``, with these first losses."""

    def make(first, **changed):
        parent = [make_run(i, loss, first_loss=f) for i, (loss, f) in enumerate(zip(LOSSES, FIRST, strict=True))]
        child = [
            make_run(i, loss - 0.1 * i, first_loss=f) for i, (loss, f) in enumerate(zip(LOSSES, first, strict=True))
        ]
        study = make_study({"a": (None, parent), "b": ("a", child)})
        record = study.rows[1]
        variant = replace(record.variant, settings=record.variant.settings.replace(**changed))
        return gather(replace(study, rows=(study.rows[0], replace(record, variant=variant)))).rows[1]

    return make


def test_a_trick_that_should_act_at_once_and_does_not_is_told(pair):
    assert SAID in pair(FIRST, tricks=(trick("dropout", hidden=0.5),)).notes
    rounding = [value * (1 + 1e-7) for value in FIRST]
    assert SAID in pair(rounding, tricks=(trick("flip"),)).notes


def test_one_seed_that_differs_clears_it(pair):
    assert SAID not in pair([*FIRST[:2], 2.36], tricks=(trick("dropout"),)).notes
    assert SAID not in pair([*FIRST[:2], None], tricks=(trick("dropout"),)).notes


def test_what_acts_later_is_not_expected_to_show(pair):
    assert SAID not in pair(FIRST, epochs=100).notes
    assert SAID not in pair(FIRST, tricks=(trick("max_norm"),)).notes
    assert SAID not in pair(FIRST, tricks=(trick("early_stop"),)).notes
    assert SAID not in pair(FIRST, tricks=(trick("freeze", layers="hidden*"),)).notes
    assert SAID not in pair(FIRST, optimizer=Choice("optimizer", None, "m:other", {})).notes
    assert SAID not in pair(FIRST, tricks=(trick("dropout", hidden={"linear": [0.0, 0.5]}),)).notes


def test_which_settings_act_at_once(pair, make_study):
    settings = make_study({"a": (None, [0.5])}).rows[0].variant.settings
    other = Choice("model", None, "m:other", {})
    assert acts_at_once(settings.replace(model=other), settings)
    assert acts_at_once(settings.replace(batch_size=32), settings)
    assert not acts_at_once(settings.replace(select="best"), settings)
    assert not acts_at_once(settings.replace(tricks=(Choice("trick", None, "m:mine", {}),)), settings)
    both = settings.replace(tricks=(trick("flip"), trick("max_norm")))
    assert acts_at_once(settings, both)
    assert not acts_at_once(settings.replace(tricks=(trick("flip"),)), both)


def test_rows_that_are_twins_throughout_are_said_to_be_so_only(make_study, make_run):
    runs = [make_run(i, loss, first_loss=f) for i, (loss, f) in enumerate(zip(LOSSES, FIRST, strict=True))]
    study = make_study({"a": (None, runs), "b": ("a", runs)})
    changed = replace(study.rows[1].variant, settings=study.rows[1].variant.settings.replace(batch_size=7))
    notes = gather(replace(study, rows=(study.rows[0], replace(study.rows[1], variant=changed)))).rows[1].notes
    assert notes == (Note("identical"),)
