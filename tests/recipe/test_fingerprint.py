"""A run is known by what decides its numbers, and by nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic.fields import FieldInfo

from ablate.recipe import Recipe, code_files, fingerprint, identity, run_fingerprint
from ablate.recipe import contents as contents_module
from ablate.recipe.contents import cache_folder, content_hash
from ablate.recipe.settings import Settings, Training
from ablate.registry import _entries

ROW = "{name: a, add: [flip, {dropout: 0.5}], set: {optimizer.lr: {linear: [0.1, 0.01]}, epochs: 6}}"


def of(recipe, row=-1, seed=0, fold=None):
    return fingerprint(recipe.variants[row].settings, seed, fold, folder=recipe.folder)


@pytest.fixture
def base(rows):
    return of(rows(ROW))


def test_its_form(base):
    assert re.fullmatch("[0-9a-f]{32}", base)


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ("{name: b, description: other words, add: [flip, {dropout: 0.5}], set: {optimizer.lr: {linear: [0.1, 0.01]}, epochs: 6}}", ""),
        ("{set: {epochs: 6, optimizer.lr: {per: step, linear: [1e-1, 0.010]}}, add: [{dropout: {hidden: 0.5}}, flip], name: a}  # why", ""),
        ("{name: a, add: [{dropout: 0.5}, {name: flip, share: 0.5}], set: {epochs: 6, optimizer.lr: {linear: [0.1, 0.01]}}}", ""),
        (ROW.replace("flip", "mine"), "tricks: {mine: {add: [flip]}}\n"),
        (ROW.replace("epochs: 6", "epochs: 6, workers: 3, loader: streamed"), ""),
        (ROW, "study: other\nseeds: 3\ncompare: {metric: accuracy}\ndescription: other\n"),
    ],
)  # fmt: skip
def test_what_does_not_count(rows, base, row, more):
    assert of(rows(row, more=more)) == base


def test_a_new_setting_makes_no_run_stale(rows, base, monkeypatch):
    recipe = rows(ROW)
    settings = recipe.variants[-1].settings
    whole = settings.dump
    grown = whole() | {"unheard_of": 3}
    grown["optimizer"] = grown["optimizer"] | {"unheard_of": [1, 2]}
    for owner, default in ((Training, 3), (type(settings.optimizer.options), (1, 2))):
        field = FieldInfo(annotation=object, default=default)
        monkeypatch.setattr(owner, "__pydantic_fields__", owner.__pydantic_fields__ | {"unheard_of": field})
        monkeypatch.setattr(owner, "unheard_of", default, raising=False)
    monkeypatch.setattr(Settings, "dump", lambda self: json.loads(json.dumps(grown)))
    assert of(recipe) == base
    grown["unheard_of"] = 4
    assert of(recipe) != base


def test_the_order_of_metrics_does_not_count(load):
    text = "baseline: {model: mlp, loss: mse, optimizer: sgd, data: digits, metrics: [%s]}\n"
    assert of(load(text % "accuracy, rmse_pixels")) == of(load(text % "rmse_pixels, accuracy"))
    assert of(load(text % "accuracy")) != of(load(text % "rmse_pixels, accuracy"))


@pytest.mark.parametrize(
    "row",
    [
        ROW.replace("epochs: 6", "epochs: 7"),
        ROW.replace("0.5}", "0.4}"),
        ROW.replace("flip", "shift"),
        ROW.replace("linear", "cosine"),
        ROW.replace("epochs: 6", "epochs: 6, data.split_seed: 1"),
        ROW.replace("epochs: 6", "epochs: 6, select: best"),
    ],
)
def test_what_counts(rows, base, row):
    assert of(rows(row)) != base


def test_seeds_and_folds_count(rows, base):
    recipe = rows(ROW)
    found = {of(recipe, seed=seed, fold=fold) for seed in (0, 1, 2) for fold in (None, 0, 1)}
    assert len(found) == 9
    assert base in found


def test_seeds_of_a_variant_share_its_identity(rows, base):
    recipe = rows(ROW)
    assert run_fingerprint(identity(recipe.variants[-1].settings, folder=recipe.folder), 0) == base


@pytest.mark.parametrize("key", [("trick", "dropout"), ("schedule", "linear"), ("model", "mlp"), ("data", "digits")])
def test_the_version_of_everything_in_use_counts(rows, base, monkeypatch, key):
    entry = _entries[key]
    monkeypatch.setitem(_entries, key, dataclasses.replace(entry, version=entry.version + 1))
    assert of(rows(ROW)) != base


def test_the_version_of_what_is_not_in_use_does_not(rows, base, monkeypatch):
    entry = _entries["trick", "shift"]
    monkeypatch.setitem(_entries, ("trick", "shift"), dataclasses.replace(entry, version=9))
    assert of(rows(ROW)) == base


def test_the_engines_version_counts(rows, base, monkeypatch):
    import sys

    monkeypatch.setattr(sys.modules["ablate.recipe.fingerprint"], "ENGINE_VERSION", 99)
    assert of(rows(ROW)) != base


# data

DATA = "{name: a, set: {data: {name: npz, path: %s}}}"


def test_contents_of_files_count_and_names_do_not(rows, tmp_path):
    np.savez(tmp_path / "one.npz", x=np.zeros(3))
    (tmp_path / "two.npz").write_bytes((tmp_path / "one.npz").read_bytes())
    one, two = of(rows(DATA % "one.npz")), of(rows(DATA % "two.npz"))
    assert one == two
    np.savez(tmp_path / "two.npz", x=np.ones(3))
    assert of(rows(DATA % "two.npz")) != one


def old(path: Path) -> Path:
    """Make a file old enough for its time of change to be trusted."""
    os.utime(path, (1e9, 1e9))
    return path


def test_a_file_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "data.csv"
    file.write_text("1,2\n")
    old(file)
    first = content_hash(file)
    reads: list[Path] = []
    real = contents_module._hash_file
    monkeypatch.setattr(contents_module, "_hash_file", lambda path: reads.append(path) or real(path))
    assert content_hash(file) == first
    assert reads == []
    file.write_text("1,2,3\n")
    assert content_hash(old(file)) != first
    assert reads == [file]


def test_a_young_file_is_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "data.csv"
    file.write_text("1,2\n")
    os.utime(file, (4e9, 4e9))  # a file from the future is young whatever the clock says
    content_hash(file)
    assert not list(cache_folder().rglob("*.json"))


def test_a_folder_is_its_names_and_contents(tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    for name in ("a", "b"):
        (tmp_path / name / "cats").mkdir(parents=True)
        (tmp_path / name / "cats" / "1.png").write_text("meow")
        (tmp_path / name / "2.png").write_text("woof")
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    (tmp_path / "b" / "2.png").rename(tmp_path / "b" / "3.png")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")


@pytest.mark.parametrize("damage", ["not json", "[]", '{"hash": 1}'])
def test_a_damaged_or_locked_cache_costs_time_only(tmp_path, monkeypatch, damage):
    monkeypatch.setenv("ABLATE_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "data.csv"
    file.write_text("1,2\n")
    first = content_hash(old(file))
    [place] = cache_folder().rglob("*.json")
    place.write_text(damage)
    assert content_hash(file) == first
    monkeypatch.setenv("ABLATE_CACHE", str(file))  # a file where the folder should be
    assert content_hash(file) == first


def test_data_that_has_gone(tmp_path):
    with pytest.raises(ValueError, match=r"data \(=.*gone.csv\)"):
        content_hash(tmp_path / "gone.csv")


# the user's code

TARGET = "{name: a, set: {model: {target: 'nets.mine:Net', width: 3}}}"
CODE = {
    "nets/__init__.py": "",
    "nets/mine.py": "import math\nimport numpy as np\nfrom . import blocks\nfrom .blocks import one\nfrom deep.er.down import below\n\n\nclass Net: ...\n",
    "nets/blocks.py": "import shared\n\none = 1\n",
    "shared.py": "two = 2\n",
    "deep/er/down.py": "below = 3\n",
    "unused.py": "four = 4\n",
}


@pytest.fixture
def code(tmp_path: Path):
    def write(**changes: str) -> None:
        for name, text in (CODE | {key.replace("__", "/") + ".py": text for key, text in changes.items()}).items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    write()
    return write


def test_code_files(rows, code, tmp_path):
    recipe = rows(TARGET)
    found = [path.relative_to(tmp_path).as_posix() for path in code_files(recipe.variant("a").settings, recipe.folder)]
    assert found == ["deep/er/down.py", "nets/__init__.py", "nets/blocks.py", "nets/mine.py", "shared.py"]
    assert code_files(recipe.variant("net1").settings, recipe.folder) == ()


@pytest.mark.parametrize("name", ["nets__mine", "nets__blocks", "shared", "deep__er__down"])
def test_code_counts_and_so_do_its_local_imports(rows, code, name):
    before = of(rows(TARGET))
    text = CODE[name.replace("__", "/") + ".py"]
    code(**{name: "# a comment\n" + text.replace("\n\n", "\n# another\n\n")})
    assert of(rows(TARGET)) == before
    code(**{name: text + "more = 5\n"})
    assert of(rows(TARGET)) != before


def test_code_that_is_not_imported_does_not_count(rows, code):
    before = of(rows(TARGET))
    code(unused="five = 5\n")
    assert of(rows(TARGET)) == before


def test_the_folder_itself_does_not_count(rows, code, tmp_path):
    before = of(rows(TARGET))
    recipe = rows(TARGET)
    other = tmp_path / "elsewhere"
    for name, text in CODE.items():
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text(text)
    assert fingerprint(recipe.variant("a").settings, 0, folder=other) == before


def test_an_environment_below_the_folder_is_not_the_users_code(rows, tmp_path, monkeypatch):
    place = tmp_path / ".venv" / "lib" / "site-packages"
    place.mkdir(parents=True)
    (place / "installed_thing.py").write_text("class Net: ...\n")
    monkeypatch.setenv("PYTHONPATH", str(place))
    recipe = rows("{name: a, set: {model: {target: 'installed_thing:Net'}}}")
    assert code_files(recipe.variant("a").settings, recipe.folder) == ()


NET = "{name: a, set: {model: {target: 'own.nets:Net'}}}"


@pytest.fixture
def outside(tmp_path, monkeypatch, text_of):
    """A package in another folder than the recipe's, on the path."""
    place = tmp_path / "src" / "own"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("")
    (place / "nets.py").write_text(
        "import json\nimport numpy\nfrom ablate import Trick\nfrom own import parts\n\nclass Net: ...\n"
    )
    (place / "parts.py").write_text("one = 1\n")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "r.yaml").write_text(text_of(NET))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    return place, tmp_path / "experiments" / "r.yaml"


def test_the_users_code_counts_wherever_it_is(outside):
    place, path = outside
    recipe = Recipe.load(path)
    before = of(recipe)
    found = [file.name for file in code_files(recipe.variants[-1].settings, recipe.folder)]
    assert found == ["__init__.py", "nets.py", "parts.py"]  # not numpy's, not ablate's
    (place / "parts.py").write_text("one = 2\n")
    assert of(Recipe.load(path)) != before


def test_a_linked_file_counts(rows, tmp_path, tmp_path_factory):
    real = tmp_path_factory.mktemp("elsewhere") / "real.py"
    real.write_text("class Net: ...\n")
    (tmp_path / "linked.py").symlink_to(real)
    row = "{name: a, set: {model: {target: 'linked:Net'}}}"
    before = of(rows(row))
    real.write_text("class Net: a = 1\n")
    assert of(rows(row)) != before


def test_modules_are_those_that_a_job_would_find(tmp_path, monkeypatch, text_of):
    for name in ("mine", "yours"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(f"class Net: name = '{name}'\n")
    (tmp_path / "mine" / "r.yaml").write_text(text_of("{name: a, set: {model: {target: 'model:Net'}}}"))
    monkeypatch.chdir(tmp_path / "yours")
    monkeypatch.syspath_prepend(str(tmp_path / "yours"))  # as 'python script.py' and 'python -m' do
    recipe = Recipe.load(tmp_path / "mine" / "r.yaml")
    assert code_files(recipe.variants[-1].settings, recipe.folder) == (tmp_path / "mine" / "model.py",)


@pytest.mark.parametrize("name", ["code", "numpy"])
def test_a_file_that_a_library_hides_is_a_problem(wrong_rows, tmp_path, name):
    (tmp_path / f"{name}.py").write_text("class Net: ...\n")
    [line] = wrong_rows(f"{{name: a, set: {{model: {{target: '{name}:Net'}}}}}}")
    assert line == f"r.yaml:10:37: model.target (={name}:Net) … {name}.py …"


def test_circular_imports_end(rows, tmp_path):
    (tmp_path / "ping.py").write_text("import pong\n")
    (tmp_path / "pong.py").write_text("import ping\n")
    recipe = rows("{name: a, set: {model: {target: 'ping:Net'}}}")
    assert [p.name for p in code_files(recipe.variant("a").settings, recipe.folder)] == ["ping.py", "pong.py"]


def test_code_that_is_no_python_is_a_problem_of_the_recipe(wrong_rows, tmp_path):
    (tmp_path / "broken.py").write_text("def f(:\n")
    [line] = wrong_rows("{name: a, set: {model: {target: 'broken:Net'}}}")
    assert line.startswith("r.yaml:10:37: model.target (=broken:Net) cannot be used: ")
    assert "broken.py has a syntax error on line 1" in line


def test_a_misspelt_name_in_the_users_module_is_a_problem_of_the_recipe(rows, wrong_rows, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch.nn import Linear as Layer\nclass Net: ...\nif True:\n    Wide = Net\n"
    )
    [line] = wrong_rows("{name: a, set: {model: {target: 'nets:Nett'}}}")
    there = tmp_path / "nets.py"
    assert line == f"r.yaml:10:37: model.target (=nets:Nett) is not defined in {there}. Did you mean 'nets:Net'?"
    for name in ("Net", "Net.small", "Wide", "Layer", "entirely_else"):
        assert rows(f"{{name: a, set: {{model: {{target: 'nets:{name}'}}}}}}").variant("a")
    for more in ("from others import *\n", "globals()['Nett'] = Net\n", "def __getattr__(name): ...\n"):
        there.write_text("class Net: ...\n" + more)
        assert rows("{name: a, set: {model: {target: 'nets:Nett'}}}").variant("a")


def test_files_that_are_arguments_of_a_target_count(rows, tmp_path):
    (tmp_path / "mine.py").write_text("def load(**words): ...\n")
    (tmp_path / "prices.csv").write_text("1\n")
    (tmp_path / "folder").mkdir()
    row = "{name: a, set: {data: {target: 'mine:load', parts: [prices.csv, {more: folder}], word: other, none: ''}}}"
    before = of(rows(row))
    assert of(rows(row)) == before
    (tmp_path / "folder" / "download.bin").write_text("2\n")
    assert of(rows(row)) == before
    (tmp_path / "prices.csv").write_text("1,2\n")
    assert of(rows(row)) != before
    (tmp_path / "prices.csv").write_text("1\n")
    assert of(rows(row)) == before
