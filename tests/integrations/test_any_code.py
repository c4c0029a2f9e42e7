"""The recipes in recipes/any_code: their numbers are those of the same code without ablate, and their glue is short."""

from __future__ import annotations

import ast
import importlib
import json
import random
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "recipes" / "any_code"

SMALL = {
    "char_gpt": ["args.steps=12", "args.every=4", "args.width=8", "args.context=16", "args.dropout=0.1"],
    "cifar_style": ["epochs=3", "args.images=60", "args.width=4", "args.flip=1", "args.batch_size=20"],
    "lightning": ["epochs=3"],
    "transformers": ["epochs=3", "args.size=100"],
}
"""Settings with which a recipe trains in seconds."""

COMMANDS = {f"{name}_command": SMALL[name] for name in ("char_gpt", "cifar_style")}
"""Recipes that start a script as it is."""

LIBRARIES = {"lightning": ("lightning",), "transformers": ("transformers", "accelerate")}

slow = [pytest.param(name, marks=pytest.mark.slow) if name in LIBRARIES else name for name in SMALL]


@pytest.fixture
def path(request, needs):
    """The path of a recipe, if the libraries that it needs are there."""
    for library in LIBRARIES.get(request.param, ()):
        needs(library)
    return FOLDER / f"{request.param}.yaml"


def module_of(path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module(Recipe.load(path).variant("base").settings.trainer.options.module)


def test_all_recipes_of_the_folder_are_tested():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*SMALL, *COMMANDS}


@pytest.mark.parametrize("name", SMALL)
def test_main_is_all_that_ablate_needs(name):
    recipe = Recipe.load(FOLDER / f"{name}.yaml")
    assert len(recipe.variants) == 4
    text = (FOLDER / f"{recipe.variant('base').settings.trainer.options.module}.py").read_text()
    [main] = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    lines = text.splitlines()
    glue = [line for line in lines[main.lineno - 1 : main.end_lineno] if line.strip()]
    assert len(glue) <= 15
    rest = lines[: main.lineno - 1] + lines[main.end_lineno :]
    assert not [line for line in rest if "ablate" in line or "run." in line]


# the same code alone


def seed_everything(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def alone(path, seed, tmp_path, monkeypatch):
    """The losses of the recipe's own training, called as its project does: one (train, valid) for each point."""
    module, losses = module_of(path, monkeypatch), []
    monkeypatch.chdir(tmp_path)  # Lightning saves checkpoints there
    seed_everything(seed)
    if path.stem == "lightning":

        class Record(module.L.Callback):
            def on_train_epoch_end(self, trainer, model):
                losses.append(tuple(float(trainer.callback_metrics[f"{part}_loss"]) for part in ("train", "val")))

        module.fit(module.Classifier(1e-3, 16), module.Digits(), 3, "cpu", [Record()])
    elif path.stem == "transformers":
        trainer = module.train(
            str(tmp_path), epochs=3, size=100, seed=seed, learning_rate=2e-3, lr_scheduler_type="constant", use_cpu=True
        )
        history = trainer.state.log_history
        train, valid = ([line[key] for line in history if key in line] for key in ("loss", "eval_loss"))
        losses = list(zip(train, valid, strict=True))
    else:
        own = [f"{name}={value}" for name, value in Recipe.load(path).variant("base").settings.args.items()]
        words = [f"--{one.removeprefix('args.')}" for one in [*own, *SMALL[path.stem]]]
        args = module.parser().parse_args([*words, f"--seed={seed}"])
        module.train(args, lambda **line: losses.append((line["train_loss"], line["valid_loss"])))
    return losses


@pytest.mark.parametrize("path", slow, indirect=True)
def test_losses_are_bit_equal_to_those_of_the_training_alone(path, train, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    lines = train(path, seed=2, sets=SMALL[path.stem]).lines
    expected = alone(path, 2, tmp_path, monkeypatch)
    assert [(line["train_loss"], line["valid_loss"]) for line in lines] == expected
    assert len({losses for losses in expected}) == 3


@pytest.mark.parametrize("path", ["char_gpt", *slow[2:]], indirect=True)
def test_a_resumed_run_equals_an_uninterrupted_one(path, train):
    whole = train(path, sets=SMALL[path.stem], due_at=(2,))
    again = train(path, sets=SMALL[path.stem], state=whole.saved[0])
    assert again.lines == whole.lines[2:]
    assert again.outcomes == whole.outcomes


@pytest.mark.parametrize(
    ("name", "words"), [("char_gpt", ["train", "loss", "val", "loss"]), ("cifar_style", ["|"] * 5)]
)
def test_scripts_run_alone(name, words, monkeypatch, capsys):
    flags = [f"--{one.removeprefix('args.')}" for one in SMALL[name]]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *flags])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) in (3, 4)
    assert all(words == [word for word in line.replace(",", "").split() if word in words] for line in shown[1:])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_gives_the_losses_that_its_script_prints(name, train, monkeypatch):
    path = FOLDER / f"{name}.yaml"
    base = Recipe.load(path, sets=COMMANDS[name]).variant("base").settings
    glue = re.search(r"^trainer:\n( .*\n)+", path.read_text(encoding="utf-8"), re.M)[0]
    assert len(glue.splitlines()) <= 15
    lines = train(path, seed=2, sets=COMMANDS[name]).lines
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    flags = [f"--{key}={value}" for key, value in base.args.items()]
    flags += ["--seed=2", *([f"--epochs={base.epochs}"] if base.epochs else [])]
    script = shlex.split(base.trainer.options.command)[1]
    alone = subprocess.run([sys.executable, script, *flags], cwd=FOLDER, capture_output=True, text=True, check=True)
    printed = [re.findall(r"(?<!\w)[\d.]+", line) for line in alone.stdout.splitlines()]
    expected = [[float(number) for number in numbers] for numbers in printed if numbers]
    metrics = [[value for key, value in line.items() if key not in ("epoch", "at")] for line in lines]
    places = [line["at"]["step"] if "at" in line else line["epoch"] for line in lines]
    assert [[place, *values] for place, values in zip(places, metrics, strict=True)] == expected
    assert len(lines) == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_variants_of_the_function(name):
    command, function = (Recipe.load(FOLDER / f"{one}.yaml") for one in (name, name.removesuffix("_command")))
    assert [(v.name, v.description, v.settings.args, v.settings.epochs) for v in command.variants] == [
        (v.name, v.description, v.settings.args, v.settings.epochs) for v in function.variants
    ]


# whole studies


@pytest.mark.slow
@pytest.mark.parametrize("path", list(SMALL), indirect=True)
def test_runs_at_a_small_scale(path, ablate):
    flags = [word for one in SMALL[path.stem] for word in ("--set", one)]
    done = ablate("run", path, "--seeds", "1", "--format", "json", *flags)
    assert done.code == 0, done.err
    rows = done.rows()
    assert [row["status"] for row in rows.values()] == ["finished"] * 4
    assert len({row["valid_loss"] for row in rows.values()}) >= 3  # the first steps may need no clipping


KILLED = """
import os, signal
from pathlib import Path
import MODULE

def main(run, **args):
    log, mark = run.log, Path(__file__).with_name("mark")
    def log_or_die(**values):
        if values.get("epoch") == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        log(**values)
    run.log = log_or_die
    MODULE.main(run, **args)
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", list(LIBRARIES), indirect=True)
def test_a_killed_run_continues_and_ends_alike(path, train, ablate, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    whole = train(path, sets=SMALL[path.stem]).lines
    module = module_of(path, monkeypatch)
    text = Path(module.__file__).read_text(encoding="utf-8")
    (tmp_path / Path(module.__file__).name).write_text(text, encoding="utf-8")
    (tmp_path / "killed.py").write_text(KILLED.replace("MODULE", module.__name__))
    mark = tmp_path / "mark"
    recipe = path.read_text().replace(f"{module.__name__}:main", "killed:main")
    (tmp_path / "killed.yaml").write_text(recipe)
    sets = [*SMALL[path.stem], "checkpoint.every=1 epoch"]
    flags = ["--only", "base", "--seeds", "1", "--threads", "1", *(word for one in sets for word in ("--set", one))]
    for _ in range(2):
        done = ablate("run", tmp_path / "killed.yaml", "--format", "json", *flags)
        if mark.exists() and done.rows()["base"]["status"] == "finished":
            break
    assert done.code == 0, done.err
    assert mark.exists()
    [folder] = {file.parent for file in tmp_path.rglob("metrics.jsonl")}
    assert "resumed after epoch 2" in (folder / "log.txt").read_text()
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "seconds")
    assert [{key: value for key, value in line.items() if key not in timed} for line in lines] == whole
