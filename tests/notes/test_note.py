from __future__ import annotations

import json

import pytest

from ablate.notes.note import KINDS, Note, as_notes
from ablate.report.notes import PIECES, SENTENCES, lines_by_variant, sentence, short_line

VALUES = {
    "text": "slow.", "reason": "no compiler", "count": 2, "total": 2000, "split": "train", "first": 3, "source": "net.pt",
    "taken": 1, "left": ["a", "b"], "more": 2, "steps": 9, "share": 0.5, "decay": 0.9, "metric": "auc", "value": "nan",
    "at": "last", "status": "out_of_memory", "names": ["1", "2"], "finished": 3, "planned": 5, "parent": "net1", "own": 1000,
    "keys": ["size"], "before": 3, "now": 5, "unit": "seed", "place": "params.seed", "texts": "a is 3", "differences": [{"what": "unknown"}], "metrics": ["auc"],
    "tricks": ["flip", "rotate"], "column": "column area", "low": 0.0, "high": 255.0, "train_low": 0.0, "train_high": 1.0,
    "columns": ["Unnamed: 0"], "skipped": 2, "ratio": 12, "effect": [-0.5, -0.75, -0.25], "cover": 97.5, "verdict": "helps", "whose": "its", "settings": "optimizer.lr = 0.1",
    "paths": ["optimizer.lr"], "tied": " (tied with 0.2)", "axis": "epoch", "best_at": 12.0, "last_at": 50.0, "best": 0.25, "last": 0.5,
    "train": 0.01, "start": 2.3, "percent": 12.5, "size": 1e-6,
}  # fmt: skip


def test_a_note_survives_json():
    note = Note("outlier", "net2", (3, 5), {"own": [1, 2.5, None]})
    assert Note.load(json.loads(json.dumps(note.dump()))) == note
    assert Note("identical").dump() == {"kind": "identical"}
    assert hash(note) == hash(Note.load(note.dump()))


def test_a_kind_of_a_later_version_is_text():
    assert Note.load({"kind": "something_new", "values": {"a": 1}}).kind == "text"


def test_sentences_of_users_are_text():
    assert as_notes(["mine", Note("new")]) == [Note("text", values={"text": "mine"}), Note("new")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unit", ["seed", "fold"])
def test_every_kind_has_a_text(kind, unit):
    for seeds in ((), (3,), (0, 4), tuple(range(12))):
        text = sentence(Note(kind, seeds=seeds, values=VALUES), unit)
        assert text
        assert "{" not in text
        assert not text.endswith(".")
        expected = {0: "", 1: f"{unit} 3", 2: f"{unit}s 0, 4", 12: f"12 {unit}s"}[len(seeds)]
        assert expected in text
    assert set(SENTENCES) == set(KINDS)
    assert short_line(kind, [("net2", Note(kind, values=VALUES))], 3).count("net2") == 1


def test_one_line_for_several_variants():
    epochs = [(f"net{i}", Note("other_epochs", values={"own": 20 * i, "parent": 8})) for i in (1, 2)]
    assert (
        short_line("other_epochs", epochs, 5)
        == "epochs differ from the parent's: net1 (20, parent: 8), net2 (40, parent: 8)."
    )
    many = short_line("other_epochs", epochs * 6, 20)
    assert many.endswith("and 8 more.")
    same = [(f"net{i}", Note("identical")) for i in range(3)]
    assert short_line("identical", same, 3).startswith("all variants: ")
    assert short_line("identical", same, 4).startswith("net0, net1, net2: ")
    mixed = [("a", Note("identical", seeds=(1,))), ("b", Note("identical", seeds=(1,))), ("c", Note("identical"))]
    line = short_line("identical", mixed, 4)
    assert line.startswith("a, b: ")
    assert "; c: " in line
    assert set(PIECES) <= set(KINDS)


def test_what_has_changed_in_a_recipe():
    found = [
        {"what": "setting", "name": "lr", "old": 0.1, "new": 0.2},
        {"what": "setting", "name": "gain", "new": 2},
        {"what": "code", "name": "own:net"},
        {"what": "engine", "old": 1, "new": 2},
    ]
    notes = [Note("stale", name, values={"differences": found}) for name in "ab"] + [Note("new", "c")]
    first, last = lines_by_variant(notes)
    assert first.startswith("a, b: ")
    for part in ("lr was 0.1 (now 0.2)", "gain was unset (now 2)", "own:net", "and 1 more"):
        assert part in first
    assert last == "c: new variant."
    more = Note("more_runs", "a", values={"count": 1, "unit": "seed"})
    assert lines_by_variant([more]) == ["a: 1 additional seed."]
