"""Seeds that are added after a verdict was shown are a second look, and the table says so."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ablate.api import table
from ablate.notes.note import Note
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.report.formats import render
from ablate.store.disk import Disk, DiskError
from ablate.store.store import Store

RECIPE = """
study: looks
data: digits
seeds: 3
baseline: {name: base, model: mlp, loss: cross_entropy, optimizer: {name: sgd, lr: 0.1}, epochs: 3, metrics: [accuracy]}
variants:
  - {name: a, from: base, set: {optimizer.lr: 0.2}}
  - {name: b, from: base, set: {optimizer.lr: 0.3}}
"""


@pytest.fixture
def stored(tmp_path, make_run):
    """The recipe, and ``train(seeds, only)``, which stores finished runs."""
    path, store = tmp_path / "looks.yaml", Store(tmp_path / "runs")
    path.write_text(RECIPE)

    def train(seeds, only=None):
        for run in make_plan(Recipe.load(path, seeds=seeds, only=only), store).runs:
            shift = {"base": 0.0, "a": -0.1, "b": 0.02}[run.variant.name]
            loss = 0.5 + shift + 0.01 * ((run.seed * 7 + len(run.variant.name) * ord(run.variant.name[0])) % 5)
            values = {"train_loss": loss, "valid_loss": loss, "accuracy": 0.9 - loss / 10 + run.seed / 1000}
            known = make_run(run.seed, results={at: values for at in ("selected", "last", "best")}, epoch=3, epochs=3)
            store.write_status(replace(known, fingerprint=run.fingerprint))

    return path, store, train


def looked(found):
    """The notes on second looks by variant."""
    notes = {row.variant: [note.values for note in row.notes if note.kind == "second_look"] for row in found.rows}
    return {name: values for name, values in notes.items() if values}


def test_a_top_up_is_a_second_look(stored):
    path, store, train = stored
    train(3)
    before = {file: file.read_bytes() for file in store.root.glob("store/*/*")}
    for _ in range(3):
        assert looked(table(path, root=store.root)) == {}
    assert {file: file.read_bytes() for file in store.root.glob("store/*/*")} == before
    assert [one["variant"] for one in store.looks("looks")] == ["a", "b"]
    train(5, "base,a")
    found = table(Recipe.load(path, seeds=5), root=store.root)
    assert looked(found) == {"a": [{"before": 3, "now": 5}]}
    text = render(found, "text")
    assert "a: a second look: a verdict was shown for 3 of the 5 seeds before the others were added" in text
    # it stays one, also where the variant is shown alone
    assert looked(table(Recipe.load(path, seeds=5, only="a"), root=store.root)) == {"a": [{"before": 3, "now": 5}]}
    assert looked(table(path, root=store.root)) == {}


def test_the_first_look_at_all_seeds_is_the_verdict(stored):
    path, store, train = stored
    train(5)
    assert looked(table(Recipe.load(path, seeds=5), root=store.root)) == {}
    assert looked(table(path, root=store.root)) == {}  # at fewer of them, later
    assert looked(table(Recipe.load(path, seeds=5), root=store.root)) == {}


def test_tables_without_verdicts_are_no_looks(stored):
    path, store, train = stored
    train(2)
    table(Recipe.load(path, seeds=2), root=store.root)
    train(3, "base")
    table(path, root=store.root)  # unfinished
    assert store.looks("looks") == []
    train(3)
    assert looked(table(path, root=store.root)) == {}


def test_another_metric_or_changed_settings_are_another_question(stored):
    path, store, train = stored
    train(3)
    table(path, root=store.root)
    train(5)
    assert looked(table(Recipe.load(path, seeds=5, sets=["compare.metric=accuracy"]), root=store.root)) == {}
    path.write_text(RECIPE.replace("lr: 0.2", "lr: 0.25"))
    train(5)
    assert set(looked(table(Recipe.load(path, seeds=5), root=store.root))) == {"b"}


def test_incomplete_lines_and_a_store_that_is_only_read(stored):
    path, store, train = stored
    train(3)
    table(path, root=store.root)
    file = store.study_folder("looks") / "looks.jsonl"
    kept = store.looks("looks")
    file.write_bytes(file.read_bytes() + b'{"variant": "a", "ru')
    more = {"variant": "c", "metric": "valid_loss", "at": "last", "runs": ["f"]}
    store.add_looks("looks", [more])
    assert store.looks("looks") == [*kept, more]
    assert all(json.loads(line) for line in file.read_bytes().split(b"\n") if line and b'"ru' not in line[-5:])

    class Full(Disk):
        def append(self, path):
            raise DiskError("no space")

    from ablate.evidence.gather import table_of

    train(5)
    closed = Store(store.root, Full())
    record = make_plan(Recipe.load(path, seeds=5), closed).record()
    assert set(looked(table_of(record, closed))) == {"a", "b"}
    assert store.looks("looks") == [*kept, more]


def test_the_note_reads_in_seeds():
    from ablate.report.notes import sentence

    said = sentence(Note("second_look", values={"before": 3, "now": 5}))
    assert said.startswith("a second look: a verdict was shown for 3 of the 5 seeds")
