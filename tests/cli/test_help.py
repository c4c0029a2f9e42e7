"""Help: an example in every command, that works; switches without types; shared options that are the same everywhere."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from typing import Annotated

import pytest
import typer

from ablate.cli.app import COMMANDS, build, run_command
from ablate.cli.options import Json, Layout, RecipePath, Selection, Without, expanded

GROUP = typer.main.get_command(build())


def helped(*words, capsys):
    assert run_command([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_that_its_options_take(name, capsys):
    text = helped(name, capsys=capsys)
    doc = inspect.cleandoc(getattr(import_module(f"ablate.cli.{name}"), name).__doc__)
    example = doc.rpartition("Example: ")[2]
    assert " ".join(example.split()) in " ".join(text.split())
    program, command, *words = shlex.split(example)
    assert (program, command) == ("ablate", name)
    GROUP.commands[name].make_context(name, list(words))  # raises for an option or argument that there is not


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_switches_have_no_type_and_arguments_no_braces(name, capsys):
    text = helped(*filter(None, [name]), capsys=capsys)
    assert "<bool>" not in text
    assert not re.search(r"[{}]", text)


def test_what_holds_for_all_commands_is_in_the_first_help(capsys):
    text = helped(capsys=capsys)
    assert {"--debug", "--version", "--install-completion", "--help"} <= set(re.findall(r"--[a-z-]+", text))
    assert [word for word in COMMANDS if not re.search(rf"│ {word} ", text)] == []


def test_a_dataclass_of_options_stands_for_all_of_them():
    seen = []

    def command(
        recipe: RecipePath,
        selection: Annotated[Selection, Without("only", "runs")],
        layout: Layout,
        as_json: Json = False,
    ) -> int:
        """Do nothing."""
        seen.append((recipe, selection, layout, as_json))
        return 0

    names = [parameter.name for parameter in inspect.signature(expanded(command)).parameters.values()]
    shared = [field.name for field in fields(Selection) if field.name not in ("only", "runs")]
    assert names == ["recipe", *shared, *(field.name for field in fields(Layout)), "as_json"]
    app = typer.Typer()
    app.command()(expanded(command))
    words = ["r.yaml", "--seeds", "3", "--set", "a=1", "--set", "b=2", "--notes"]
    typer.main.get_command(app).main(words, standalone_mode=False)
    [(recipe, selection, layout, as_json)] = seen
    assert (str(recipe), as_json) == ("r.yaml", False)
    assert selection == Selection(seeds="3", sets=["a=1", "b=2"])
    assert layout == Layout(notes=True)
    with pytest.raises(Exception, match="--only"):
        typer.main.get_command(app).main(["r.yaml", "--only", "x"], standalone_mode=False)


def test_shells_complete_commands_options_and_values(tmp_path):
    def completed(line):
        environment = {
            **os.environ,
            "_ABLATE_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
        }
        done = subprocess.run(
            [sys.executable, "-m", "ablate"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    assert {"plan", "plot", "predict"} <= set(completed("ablate p"))
    assert "--seeds" in completed("ablate plan --se")
    assert completed("ablate table --format js") == ["json"]


@pytest.mark.parametrize("words", [["--help"], ["table", "--help"], ["--version"]])
def test_help_is_quick_as_it_reads_no_recipe_and_no_registry(words, tmp_path):
    """What costs more than all the rest of ``ablate --help``: numpy, YAML, and the settings of a recipe."""
    driver = (
        "import sys\nfrom ablate.cli.app import run_command\n"
        "run_command(sys.argv[1:])\n"
        "print([name for name in ('numpy', 'ruamel', 'ablate.recipe', 'ablate.registry') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", driver, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"
