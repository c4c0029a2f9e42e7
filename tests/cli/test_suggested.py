"""Commands that are printed to be run: as a shell takes them, whatever the names are."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer

from ablate.cli.app import build
from ablate.cli.options import suggested

NAMES = ["-rf", "--help", "a b", "$x", "'", ";", "a=b", "--", "-", "--seeds", "*", "net2", '"', "\\", "#x", "été"]


def parsed(line: str) -> dict[str, object]:
    """The parameters that a command is given by a line."""
    program, command, *words = shlex.split(line)
    assert program == "ablate"
    group = typer.main.get_command(build())
    return group.commands[command].make_context(command, words).params


@pytest.mark.parametrize("name", NAMES)
def test_names_arrive(name):
    flags = ["--only", name, "--set", f"{name}.epochs=3", "--runs", name]
    for recipe in ("r.yaml", f"{name}.yaml"):
        found = parsed(suggested("logs", recipe, name))
        assert (found["recipe"], found["variant"]) == (Path(recipe), name)
        found = parsed(suggested("logs", recipe, name, flags=flags[2:]))
        assert (found["recipe"], found["variant"], found["sets"]) == (Path(recipe), name, [f"{name}.epochs=3"])
        found = parsed(suggested("sync", recipe, flags=flags))
        assert (found["recipe"], found["only"], found["runs"]) == (Path(recipe), name, Path(name))


def test_ordinary_commands_look_ordinary():
    assert suggested("logs", "r.yaml", "net2", flags=["--seeds", "3"]) == "ablate logs r.yaml net2 --seeds 3"
    assert suggested("logs", "r.yaml", "-rf", flags=["--seeds", "3"]) == "ablate logs r.yaml --seeds 3 -- -rf"


def test_no_other_place_builds_commands():
    """What was typed (`sys.argv`) is the only command that is printed as it came."""
    import ablate.cli

    folder = Path(inspect.getfile(ablate.cli)).parent
    used = {path.name: len(re.findall(r"shlex\.\w+", path.read_text())) for path in folder.glob("*.py")}
    assert {name: count for name, count in used.items() if count} == {"options.py": 1, "run.py": 1}


def test_a_failed_variant_is_suggested_so_that_its_log_can_be_read(ablate, tmp_path):
    (tmp_path / "mine.py").write_text("def fail(prediction, target): raise RuntimeError('no loss')\n")
    text = "data: {name: digits, limit: 60}\nmetrics: [accuracy]\ncompare: {metric: accuracy}\nbaseline:\n  name: plain\n  model: mlp\n  loss: cross_entropy\n"
    text += "  optimizer: {name: sgd, lr: 0.1}\n  epochs: 1\nvariants:\n"
    (tmp_path / "r.yaml").write_text(text + "  - {name: -rf, set: {loss: {target: 'mine:fail'}}}\n")
    done = ablate("run", "r.yaml", "--set", "plain.batch_size=32")
    assert done.code == 1
    line = done.err[done.err.index("run: ablate logs") + 5 :].splitlines()[0]
    log = ablate(*shlex.split(line)[1:])
    assert (log.code, "RuntimeError: no loss" in log.out) == (0, True)
