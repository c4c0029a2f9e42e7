"""README.md and the pages in docs/: commands run, snippets work, headings and paths exist, the demo is the shipped
recipe.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ablate.cli.app import COMMANDS, run_command
from ablate.recipe import Recipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("recipe", "evidence", "new-trick", "mlflow", "reliability", "keypoints", "design", "any-code")
    ),
)
DEMO = ROOT / "recipes" / "faces.yaml"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

IN_CONSOLE = [line[2:].partition("  #")[0].strip() for line in re.findall(r"^\$ .*", README, flags=re.M)]
"""The commands of the ```console blocks."""

IN_TABLE = re.findall(r"`(ablate [^`]+)`", README[README.index("| Command |") : README.index("## Custom")])
"""The commands of the table."""

QUIETLY = ("--no-mlflow", "--jobs", "1")

WITH_MLFLOW = ("ablate table --from-mlflow", "ablate ui", "ablate sync")
"""Commands that tests/tracking runs against MLflow; here, only their words are checked."""


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return next(text for text in blocks if containing in text)


def test_readme_is_short():
    assert len(README.splitlines()) <= 130


def test_recipe_and_table_are_those_of_the_demo():
    assert block("yaml", "name: net2") in DEMO.read_text(encoding="utf-8")
    table = README.split("<!-- table: faces -->")[1].split("\n\n")[1]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [variant.name for variant in Recipe.load(DEMO).variants]


@pytest.mark.parametrize("page", PAGES)
def test_headings_and_paths_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target, heading in re.findall(r"\]\(([^)\s:]*)#([^)\s]+)\)", text):
        aim = ((ROOT / page).parent / target if target else ROOT / page).read_text(encoding="utf-8")
        titles = re.findall(r"^#+ (.*)", aim, flags=re.M)
        assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
    new = "ablate/tricks/centre_gradients.py", "tests/tricks/test_centre_gradients.py"
    for path in re.findall(r"`((?:ablate|tests|bench|recipes|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists() or path in new, path


def test_design_names_every_room():
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    house = design[design.index("```\nablate/") : design.index("recipes/    ")]
    for folder in (ROOT / "ablate").iterdir():
        assert not (folder / "__init__.py").exists() or f" {folder.name}/ " in house, folder.name


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder in which the console block on a study of one's own was followed, at a small scale; recipe.yaml is that
    study with the README's names.
    """
    desk = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        new, run = (shlex.split(line)[1:] for line in IN_CONSOLE if line.startswith("ablate "))
        assert run_command(new) == 0
        text = Path(run[-1]).read_text(encoding="utf-8")
        for long, short in (
            ("seeds: 3", "seeds: 2"),
            ("epochs: 10", "epochs: 1"),
            ("data: digits", "data: {name: digits, limit: 100}"),
            # dropout alone: then the leave-one-out design of the table has all its runs, and starts no second server
            ("set: {optimizer.lr: {cosine: [0.05, 0]}}", "from: plain, add: [{dropout: {hidden: 0.5}}]"),
        ):
            assert long in text
            text = text.replace(long, short)
        Path(run[-1]).write_text(text, encoding="utf-8")
        assert run_command([*run, *QUIETLY]) == 0
    for name, shown in (("plain", "net1"), ("shift", "net2"), ("cosine", "net4")):
        text = re.sub(f"(name|from): {name}\\b", rf"\1: {shown}", text)
    (desk / "recipe.yaml").write_text(re.sub("study: .*", "study: readme", text), encoding="utf-8")
    np.savez(desk / "new.npz", inputs=np.zeros((3, 1, 8, 8), np.float32))
    return desk


def test_commands_of_the_table_run(desk, capsys, monkeypatch):
    monkeypatch.chdir(desk)
    assert len(IN_TABLE) > 12
    for line in IN_TABLE:
        words = shlex.split(line)[1:]
        if not line.startswith(WITH_MLFLOW):
            assert run_command([*words, *(QUIETLY if words[0] == "run" else ())]) == 0, line
            shown = capsys.readouterr().out
            assert (desk / words[words.index("-o") + 1]).stat().st_size > 0 if "-o" in words else shown, line


def test_every_command_is_known_with_its_flags():
    import typer

    from ablate.cli.app import build

    group = typer.main.get_command(build())
    written = [line for line in (*IN_CONSOLE, *re.findall(r"`(ablate [^`]+)`", README)) if line.startswith("ablate ")]
    assert {line.split()[1] for line in written} >= {*COMMANDS} - {"clean", "schema"}
    for line in written:
        _, name, *words = shlex.split(line)
        command = group.commands[name]
        command.make_context(name, words, resilient_parsing=len(words) == 0)


def test_console_blocks_name_targets_of_make():
    """In a dry run: the tests train no demo and do not run themselves. `desk` follows the commands of ablate, the next
    test those of pip.
    """
    assert {line.split()[0] for line in IN_CONSOLE} == {"make", "pip", "ablate"}
    for target, does in (("demo", "ablate run recipes/faces.yaml"), ("test", "-m pytest")):
        assert f"make {target}" in IN_CONSOLE
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
        assert does in done.stdout


@pytest.mark.slow
def test_wheel_installs(tmp_path):
    """``pip wheel`` and ``pip install`` as written, offline: with this environment's setuptools, into a folder of its
    own.
    """
    wheel, install = (shlex.split(line)[1:] for line in IN_CONSOLE if line.startswith("pip "))
    source = tmp_path / "source"
    shutil.copytree(ROOT / "ablate", source / "ablate", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wheel, "--no-build-isolation"], cwd=source, check=True)
    subprocess.run([*pip, *install, "--no-deps", "--target", str(tmp_path / "there")], cwd=source, check=True)
    assert install[-1] == f"ablate_runner-{VERSION}-py3-none-any.whl"
    files = {str(path.relative_to(source)) for path in (source / "ablate").rglob("*.py")}
    assert files <= set(zipfile.ZipFile(source / install[-1]).namelist())
    command = [sys.executable, "-P", "-m", "ablate", "--version"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path / "there")}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == VERSION


def test_python_snippet_works(desk, capsys, monkeypatch):
    monkeypatch.chdir(desk)
    (desk / "recipes").mkdir()
    text = (desk / "recipe.yaml").read_text(encoding="utf-8")
    (desk / "recipes" / "faces.yaml").write_text(text.replace("seeds: 2", "seeds: 1"), encoding="utf-8")
    snippet = block("python", "ablate.run(recipe)").replace("seeds=3", "seeds=2")
    names: dict[str, object] = {}
    exec(compile(snippet, "study.py", "exec", dont_inherit=True), names)
    first, second, *_ = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (first[0], first[2:]) == ("net1", ["None", "None"])
    assert second[0] == "net2"
    assert float(second[2]) == pytest.approx(float(second[1]) - float(first[1]))
    assert not names["network"].training


@pytest.fixture
def fade():
    """The class of the trick in docs/recipe.md, and what a batch of ones becomes with it at a step."""
    import torch

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise
    from ablate.tricks.trick import Context

    names: dict[str, type] = {}
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(.*?class Fade.*?)```", page, flags=re.S)
    exec(compile(snippet, "tricks.py", "exec", dont_inherit=True), names)
    spec = Spec((1, 2, 2), 1, "regression")

    def faded(most: object, step: int) -> torch.Tensor:
        trick = names["Fade"](most=most)
        trick.bind(Context(spec, (0,), 2, 5))
        trick.now.set(step)
        ones = Batch(torch.ones(4, 1, 2, 2), torch.zeros(4, 1), torch.zeros(4, 1), spec)
        return trick.on_batch(ones, Noise((0,), "x")).inputs

    return faded


def test_trick_snippet_works(fade):
    inputs = fade(0.5, 0)
    assert 0.5 <= inputs.min() < inputs.max() <= 1


def test_trick_snippet_takes_a_schedule(fade):
    assert (fade({"linear": [0, 0.5]}, 0) == 1).all()
    assert fade({"linear": [0, 0.5]}, 9).max() < 1
