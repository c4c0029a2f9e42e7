"""The examples in docs/any-code.md are complete: each trains, and its variants can be planned."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.recipe import Recipe
from ablate.trainers.shared.run import Run

PAGE = (Path(__file__).parents[2] / "docs" / "any-code.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S))
LIBRARIES = {
    "Lightning": ("lightning",),
    "Hugging Face": ("transformers", "accelerate"),
    "skorch": ("skorch",),
    "Keras": ("keras",),
}
EXAMPLES = [name for name, text in SECTIONS.items() if "```yaml" in text]


def write(section, folder):
    """Write the files of a section's example; returns the recipe's path."""
    blocks = re.findall(r"^```\w+\n# ([\w.]+)\n(.*?)^```", SECTIONS[section], flags=re.M | re.S)
    for name, text in blocks:
        (folder / name).write_text(text)
    return folder / "train.yaml"


def test_the_page_has_an_example_for_each_way():
    assert EXAMPLES == ["A function", "A script", "Lightning", "Hugging Face", "skorch", "Keras", "The built-in loop"]
    listed = re.findall(r"^\d\. \[(.*?)\]", PAGE, flags=re.M)
    assert listed == EXAMPLES


@pytest.mark.parametrize(
    "section",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in LIBRARIES else name
        for name in EXAMPLES[:-1]
        if name != "A script"
    ],
)
def test_an_example_trains_and_resumes(section, tmp_path, train, needs, monkeypatch):
    for library in LIBRARIES.get(section, ()):
        needs(library)
    monkeypatch.delitem(sys.modules, "train", raising=False)
    recipe = write(section, tmp_path)
    variant = Recipe.load(recipe).variants[-1].name
    whole = train(recipe, variant, sets=["epochs=3"], due_at=(2,))
    assert [set(line) >= {"train_loss", "valid_loss"} for line in whole.lines] == [True] * 3
    assert whole.lines[-1]["valid_loss"] < whole.lines[0]["valid_loss"]
    again = train(recipe, variant, sets=["epochs=3"], state=whole.saved[0])
    assert again.lines == whole.lines[2:]
    monkeypatch.delitem(sys.modules, "train")


def test_the_example_of_the_built_in_loop_is_valid(tmp_path):
    assert len(Recipe.load(write("The built-in loop", tmp_path)).variants) == 2


def test_the_page_names_all_that_run_offers():
    names = {name for name in {*dir(Run), "seed", "device", "fold"} if not name.startswith("_")} - {"finish", "outcome"}
    assert names == set(re.findall(r"`run\.(\w+)", SECTIONS["What `run` offers"]))


def test_the_script_gives_the_numbers_that_it_prints(tmp_path, train):
    recipe = write("A script", tmp_path)
    report = train(recipe, "nesterov", sets=["epochs=2"], seed=1)
    words = ["--lr", "0.1", "--width", "128", "--nesterov", "--epochs", "2", "--seed", "1"]
    by_hand = subprocess.run(
        [sys.executable, "train.py", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    printed = [list(map(float, re.findall(r"[\d.]+", line))) for line in by_hand.stdout.splitlines()]
    assert [[line[key] for key in ("epoch", "train_loss", "valid_loss")] for line in report.lines] == printed
