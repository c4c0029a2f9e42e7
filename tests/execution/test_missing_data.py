"""What is trained can be looked at after the files of its data have gone."""

from __future__ import annotations

import json

import pytest

from ablate import api
from ablate.cli.app import run_command
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe, RecipeError
from ablate.store.store import Store

RECIPE = """
study: gone
data: {name: facial_keypoints, path: faces.npz, size: 12}
seeds: 2
baseline:
  name: one
  model: {name: mlp, hidden: [4]}
  loss: mse
  optimizer: {name: sgd, lr: 0.1}
  epochs: 3
variants:
  - {name: two, set: {epochs: 2}}
"""


@pytest.fixture
def study(tmp_path, stub_study):
    """A trained study of a file that is no more; the stub reads none."""
    (tmp_path / "faces.npz").write_bytes(b"faces")
    path = tmp_path / "gone.yaml"
    path.write_text(RECIPE)
    made = stub_study()
    made.recipe = Recipe.load(path)
    made.command()
    (tmp_path / "faces.npz").unlink()
    return made


def statuses(study, **flags):
    recipe = Recipe.load(study.recipe.path, need_files=False, **flags)
    return [(run.variant.name, run.record.status) for run in make_plan(recipe, Store(study.root)).runs]


def test_rows_are_those_of_what_the_file_last_held(study):
    with pytest.raises(RecipeError, match=r"data\.path \(=faces\.npz\) does not exist\. Download it"):
        Recipe.load(study.recipe.path)
    assert [row.status for row in api.table(study.recipe.path, root=study.root).rows] == ["finished"] * 2
    # what differs in more than the file is told as ever
    study.recipe.path.write_text(RECIPE.replace("set: {epochs: 2}", "set: {epochs: 2, optimizer.lr: 0.2}"))
    assert statuses(study) == [("one", "finished")] * 2 + [("two", "stale")] * 2
    # another file of that name counts as what it is
    (study.recipe.folder / "faces.npz").write_bytes(b"other faces")
    assert [status for _, status in statuses(study)] == ["stale"] * 4


def test_nothing_is_known_of_a_file_that_nobody_trained_on(study):
    study.recipe.path.write_text(RECIPE.replace("faces.npz", "others.npz"))
    assert {status for _, status in statuses(study)} == {"finished"}, "a file that was renamed"
    (study.root / "gone" / "study.json").unlink()
    assert {status for _, status in statuses(study)} == {"queued"}


def test_nothing_is_trained_on_it(study):
    recipe = Recipe.load(study.recipe.path, need_files=False)
    with pytest.raises(ValueError, match=r"^the data \(=.*faces\.npz\) does not exist\.$"):
        api.run(recipe, root=study.root)
    assert run_command(["run", str(study.recipe.path), "--runs", str(study.root), "--no-mlflow"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ("table", "--format", "json"),
        ("status",),
        ("logs", "two"),
        ("diff", "one", "two"),
        ("export", "-o", "t.md"),
        ("plot", "-o", "t.svg"),
    ],
    ids=lambda words: words[0],
)
def test_commands_that_look_work_and_say_so(study, monkeypatch, capsys, words):
    monkeypatch.chdir(study.recipe.folder)
    name, *rest = words
    place = [] if name == "diff" else ["--runs", str(study.root)]
    assert run_command([name, "gone.yaml", *rest, *place]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines()[0].startswith("data.path (=faces.npz) does not exist.")
    if name == "table":
        assert [row["status"] for row in json.loads(said.out)["rows"]] == ["finished"] * 2
