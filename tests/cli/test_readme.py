"""The README's recipe is the shipped one, its commands exist, and its snippets work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)
    return next(text for text in blocks if containing in text)


def test_recipe_is_the_shipped_one():
    shipped = (ROOT / "recipes" / "digits.yaml").read_text(encoding="utf-8")
    assert block("yaml", "study: digits") in shipped


def test_commands_exist():
    from ablate.cli.app import COMMANDS

    named = set(re.findall(r"`ablate (\w+)", README))
    assert named
    assert named <= {command.__name__ for command in COMMANDS}


def test_linked_pages_exist():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if not target.startswith("https://")]
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target


def test_table_has_the_recipes_rows():
    from ablate.recipe import Recipe

    table = README.split("<!-- table: digits -->")[1].split("\n\n")[1]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert rows == [variant.name for variant in Recipe.load(ROOT / "recipes" / "digits.yaml").variants]


RECIPE = """
data: digits
baseline: {name: net1, model: {name: mlp, hidden: [4]}, loss: cross_entropy, optimizer: sgd, epochs: 1}
variants: [{name: net4, set: {optimizer.lr: 0.05}}]
"""


def test_python_snippet_works(tmp_path, monkeypatch, capsys):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "digits.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(block("python", "ablate.run(recipe)"), "study.py", "exec", dont_inherit=True), names)
    first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (first[0], first[2:]) == ("net1", ["None", "None"])
    assert second[0] == "net4"
    assert float(second[2]) == pytest.approx(float(second[1]) - float(first[1]))
    assert not names["network"].training


def test_trick_snippet_works():
    import torch

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise
    from ablate.tricks.trick import Context

    names: dict[str, type] = {}
    exec(compile(block("python", "class Fade"), "tricks.py", "exec", dont_inherit=True), names)
    spec = Spec((1, 2, 2), 1, "regression")
    trick = names["Fade"](most=0.5)
    trick.bind(Context(spec, (0,), 1, 1))
    inputs = torch.ones(4, 1, 2, 2)
    batch = trick.on_batch(Batch(inputs, torch.zeros(4, 1), torch.zeros(4, 1), spec), Noise((0,), "x"))
    assert 0.5 <= batch.inputs.min() < batch.inputs.max() <= 1


def test_trick_snippet_takes_a_schedule():
    import torch

    from ablate.data.dataset import Batch, Spec
    from ablate.rng.noise import Noise
    from ablate.tricks.trick import Context

    names: dict[str, type] = {}
    exec(compile(block("python", "class Fade"), "tricks.py", "exec", dont_inherit=True), names)
    spec = Spec((1, 2, 2), 1, "regression")
    trick = names["Fade"](most={"linear": [0, 0.5]})
    trick.bind(Context(spec, (0,), 2, 5))
    ones = Batch(torch.ones(4, 1, 2, 2), torch.zeros(4, 1), torch.zeros(4, 1), spec)
    assert torch.equal(trick.on_batch(ones, Noise((0,), "x")).inputs, torch.ones(4, 1, 2, 2))
    trick.now.set(9)
    assert trick.on_batch(ones, Noise((0,), "x")).inputs.max() < 1
