"""Each file of a store is damaged in many ways: every command says so in one line and goes on, or ends with one line;
none fails, and `run` trains again what has no readable status.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ablate.cli.app import run_command
from ablate.engine.contract import Facts
from ablate.evidence.gather import table_of
from ablate.execution.ensembles import ensembles
from ablate.notes.note import Note
from ablate.planning.changed import changed as changed_rows
from ablate.planning.changed import flat, untracked
from ablate.planning.cleaning import find_spare
from ablate.planning.networks import known_networks
from ablate.planning.plan import make_plan
from ablate.planning.run_status import watch
from ablate.recipe import Recipe
from ablate.report.curves import Curves
from ablate.report.formats import render
from ablate.report.notes import lines_by_variant
from ablate.store.disk import StoreWarning
from ablate.store.store import Store
from ablate.tracking import describe
from ablate.tracking.ledger import Ledger

pytestmark = pytest.mark.filterwarnings("ignore::ablate.store.disk.StoreWarning")

VALUES: tuple[Any, ...] = (None, True, -1, 10**30, 1e308, -1.5, "x", "", [], [1], ["x"], {}, {"x": 1}, {"x": {"x": []}})
"""In place of each value."""

TEXTS = {
    "empty": b"",
    "zeros": bytes(200),
    "binary": bytes(range(256)),
    "latin-1": '{"status": "é"}'.encode("latin-1"),
    "deep": b"[" * 100_000,
    "deep objects": b'{"rows":' * 5000 + b"1" + b"}" * 5000,
    "number": b"3",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "long number": b'{"seed": ' + b"1" * 10_000 + b"}",
    "infinite": b'{"seconds": 1e999}',
    "not a number": b'{"seconds": NaN, "status": NaN, "rows": NaN}',
}
FILES = (
    *("status.json", "metrics.jsonl", "provenance.json", "identity.json"),
    *("study.json", "looks.jsonl", "prior.jsonl", "published.json", "networks.json", "ensembles.json"),
)


def changes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in a JSON value, with each value that is put there."""
    for other in VALUES:
        if type(other) is not type(value) or other != value:
            yield path, other
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, below in items:
        yield from changes(below, (*path, key))


def changed(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], other)
    return copy


def without(value: Any) -> Iterator[Any]:
    """The value without each of its keys."""
    for key, below in value.items() if isinstance(value, dict) else ():
        yield {k: v for k, v in value.items() if k != key}
        yield from ({**value, key: less} for less in without(below))


def damages(contents: bytes, lines: bool) -> Iterator[bytes]:
    """Damaged versions of a file."""
    yield from TEXTS.values()
    yield from (contents[: len(contents) * part // 7] for part in range(1, 7))
    first, *rest = contents.lstrip().splitlines(keepends=True) if lines else [contents]
    value = json.loads(first)
    trees = [*(changed(value, *change) for change in changes(value)), *without(value)]
    for tree in trees:
        yield json.dumps(tree).encode() + b"\n" + b"".join(rest)
    if lines:
        yield contents + contents  # epochs begin again
        yield first * 3


@pytest.fixture(autouse=True)
def asks_nobody(monkeypatch):
    """Ensembles are not computed."""
    monkeypatch.setattr(
        "ablate.execution.ensembles.ask", lambda plan, store, groups: [{"valid_loss": 0.5} for _ in groups]
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory, study_in, stub) -> tuple[Path, Path]:
    """A study with all of its files, and its recipe."""

    class Told(stub):
        """Says all that a training can say of itself."""

        def __call__(self, job, report, state):
            started = report.started
            report.started = lambda facts: started(FACTS)
            super().__call__(job, report, state)

    folder = tmp_path_factory.mktemp("finished")
    path = folder / "stub.yaml"
    path.write_text(RECIPE)
    study = study_in(folder / "runs", Recipe.load(path))
    study.command(training=Told())
    assert run_command(["table", str(path), "--runs", str(study.root)]) == 0
    of_study = study.root / "stub"
    run = study.plan().runs[0]
    (of_study / "networks.json").write_text(
        json.dumps(
            {
                run.fingerprint: {
                    "parameters": 3,
                    "receptive_field": [3, 3],
                    "work": 1.5,
                    "stack_reason": None,
                    "moves_away": ["flip"],
                }
            }
        )
    )
    (of_study / "ensembles.json").write_text(json.dumps({"0" * 32: {"valid_loss": 0.5}}))
    seed = {
        "run": "r",
        "name": "n",
        "digest": "d",
        "tags": ["t"],
        "seed": 0,
        "fold": None,
        "first": 1.5,
        "epoch": 3,
        "complete": True,
        "results": "",
        "not_finite": {"x": 1},
    }
    variant = {
        "run": "r",
        "name": "n",
        "digest": "d",
        "tags": [],
        "variant": "one",
        "settings": "s",
        "columns": {"x": None},
        "seeds": {"f": seed},
    }
    sent = {
        "study": {"run": "r", "name": "n", "digest": "", "tags": []},
        "files": {"a": "b"},
        "variants": [variant],
        "rendered": "",
        "publication": "",
    }
    (of_study / "published.json").write_text(json.dumps({"version": 1, "trackers": {"sqlite:///mlflow.db": sent}}))
    return study.root, path


RECIPE = """
study: stub
data: digits
seeds: 3
reach: {valid_loss: 0.5}
baseline:
  name: one
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 3
variants:
  - {name: two, set: {optimizer.lr: 0.2}}
"""
FACTS = Facts(
    parameters=7,
    steps_per_epoch=2,
    data={"train": 10, "valid": 5, "source": "here"},
    watch=("gradient_norm",),
    surgery={"dropout": ["layer"]},
    notes=[
        Note("text", values={"text": "a stub"}),
        Note("not_finite", values={"metric": "auc", "value": "nan", "at": "selected"}),
        Note("initial_weights", values={"source": "x", "taken": 1, "total": 2, "left": ["a"], "more": 0}),
        Note("initial_average", values={"steps": 5, "share": 0.5, "decay": 0.9}),
    ],
    stack=[[0, 1], [2]],
)


def of(root: Path, name: str) -> Path:
    folders = [root / "stub", *sorted((root / "store").iterdir())]
    return next(folder / name for folder in folders if (folder / name).exists())


def read_all(recipe: Recipe, store: Store) -> None:
    """What the commands that only read do with a study."""
    plan = make_plan(recipe, store)
    study = plan.record()
    table = table_of(study, store)
    for output in ("text", "json"):
        render(table, output, notes=True)
    lines_by_variant([*changed_rows(plan, store), *untracked(plan, store)])
    known_networks(plan, store)
    plan.to_do()
    watch(plan, store)
    curves = Curves(study, store)
    assert all(curves.of(row.variant.name) is not None for row in study.rows)
    for run in [run for row in study.rows for run in row.runs]:
        describe.of_seed(study, study.rows[0], run, store)
        dict(flat(store.identity(run.fingerprint)))
        list(describe.stretches(store.metrics(run.fingerprint), None))
    describe.of_variant(study, study.rows[0], store)
    ensembles(plan, store)
    Ledger(store, "stub").read("sqlite:///mlflow.db").find({"one": "s"})
    with suppress(ValueError):
        find_spare(store)


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 37])
@pytest.mark.parametrize("name", FILES)
def test_reading_never_fails(finished, name, every, tmp_path):
    root, path = finished
    shutil.copytree(root, tmp_path / "runs")
    recipe, store = Recipe.load(path), Store(tmp_path / "runs")
    file = of(store.root, name)
    damaged = list(dict.fromkeys(damages(file.read_bytes(), name.endswith("jsonl"))))
    assert len(damaged) > 50
    failed = []
    for contents in damaged[::every]:
        file.write_bytes(contents)
        try:
            read_all(recipe, store)
        except Exception as error:
            failed.append((contents[:2000], repr(error)))
    assert not failed


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_in_one_line(finished, name, tmp_path, capsys, monkeypatch, study_in, stub):
    root, path = finished
    shutil.copytree(root, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    file = of(tmp_path / "runs", name)
    file.write_bytes(b"[[]]\n" + file.read_bytes())
    study = study_in(tmp_path / "runs", Recipe.load(path))
    with pytest.warns(StoreWarning, match=rf"{name}\) .*counts as missing\.$"):
        read_all(study.recipe, Store(study.root))
    run_command(["table", str(path), "--runs", str(study.root)])
    err = capsys.readouterr().err
    assert err.count(f"{file}) ") == (
        name not in ("identity.json", "networks.json", "ensembles.json", "published.json")
    )
    training = stub()
    study.command(training=training, stack=1)
    assert len(training.trained) == (name == "status.json")
    assert len(study.finished()) == 6
