"""Every block of docs/recipe.md is a recipe, or part of the first recipe on the page."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import pytest

from ablate.data.load import known_spec
from ablate.planning.compatibility import check_fit
from ablate.planning.networks import describe
from ablate.recipe import Recipe, code_files, recipe_schema
from ablate.recipe.designs import DESIGNS
from ablate.recipe.problems import RecipeError
from ablate.recipe.replay import SECTIONS
from ablate.recipe.rows import KEYS as ROW_KEYS
from ablate.recipe.yaml_text import read_yaml
from ablate.registry import entries

PAGE = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
MODULE = (
    "class Net: ...\nclass Jitter: ...\ndef images(count): ...\ndef top_two(p, t): ...\ndef robust_loss(p, t): ...\n"
    "class Encoder: ...\ndef sentences(): ...\ndef padded(samples): ...\n"
)


def parts(text: str) -> dict[str, str]:
    """The lines of each top-level key."""
    found: dict[str, str] = {}
    for chunk in re.split(r"^(?=\w)", text, flags=re.MULTILINE):
        if chunk.strip():
            found[chunk.partition(":")[0]] = chunk.rstrip("\n") + "\n"
    return found


def whole(block: str) -> str:
    own = parts(block)
    return "".join((own if "baseline" in own else parts(BLOCKS[0]) | own).values())


def test_the_page_has_its_blocks():
    assert len(BLOCKS) > 10
    assert "baseline" in parts(BLOCKS[0])


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_blocks(number, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prices.csv").write_text("rooms,price\n3,100\n4,120\n")
    (tmp_path / "data" / "hands.npz").write_bytes(b"")
    (tmp_path / "pets").mkdir()
    (tmp_path / "my_networks.py").write_text(MODULE)
    (tmp_path / "train.py").write_text("def main(run, lr, width, augment): return run.epochs\n")
    text = whole(BLOCKS[number])
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    assert recipe.variants
    check_fit(recipe)
    for variant in recipe.variants:
        settings = variant.settings.replace(stack="off")
        if known_spec(settings.data) is not None and not code_files(settings, tmp_path):
            assert describe(settings, tmp_path, recipe.folds, {}).error is None
    jsonschema.Draft202012Validator(recipe_schema()).validate(read_yaml(text, "recipe.yaml").plain())


def test_the_errors_that_the_page_quotes_are_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = BLOCKS[0].replace("lr: 0.05", "lr: -0.1").replace("[dropout]", "[dropuot]")
    Path("recipe.yaml").write_text(wrong)
    with pytest.raises(RecipeError) as raised:
        Recipe.load(Path("recipe.yaml"))
    assert f"```text\n{raised.value}\n```" in PAGE


def test_what_the_page_says_of_its_rows(tmp_path):
    (tmp_path / "recipe.yaml").write_text(whole(BLOCKS[0]))
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    assert [v.name for v in recipe.variants] == ["plain", "dropout", "longer"]
    assert recipe.variant("longer").settings.trick("dropout") is not None
    assert recipe.variant("longer").settings.epochs == 60
    [groups] = [block for block in BLOCKS if "strong:" in block]
    (tmp_path / "recipe.yaml").write_text(whole(groups))
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    assert recipe.variant("net4").settings.replace(tricks=()) == recipe.variant("net5").settings


def test_what_the_page_says_of_designs(tmp_path):
    [written] = [block for block in BLOCKS if "flips added again" in block]
    (tmp_path / "recipe.yaml").write_text(whole(written))
    plain = [name for name, design in DESIGNS.items() if not design.crossed]
    rows = {name: [v.name for v in Recipe.load(tmp_path / "recipe.yaml", design=name).variants[1:]] for name in plain}
    for name in DESIGNS.keys() - plain:
        with pytest.raises(RecipeError, match="has the same settings as"):
            Recipe.load(tmp_path / "recipe.yaml", design=name)
    assert rows["leave-one-out"] == ["full", "without net2", "without net3", "without net5"]
    assert rows["one-at-a-time"] == ["only net2", "only net3", "only net5"]
    assert rows["ladder"] == ["net2", "+ net3", "+ net5"]
    flips = Recipe.load(tmp_path / "recipe.yaml", design="leave-one-out").variant("without net2").settings.trick("flip")
    assert flips is None
    for name in DESIGNS:
        assert f"| `{name}` |" in PAGE


def test_the_page_shows_every_schedule_and_names_every_watch():
    [block] = [block for block in BLOCKS if "name: warmup" in block]
    for entry in entries("schedule"):
        assert f"{{{entry.name}: " in block or entry.name == "constant", entry.name
    for entry in entries("watch"):
        assert f"| `{entry.name}` |" in PAGE
        assert all(f"`{name}`" in PAGE for name in entry.settings.names if name != entry.name)


def test_the_page_names_every_key():
    words = {*re.findall(r"`([a-z_]+)", PAGE), *re.findall(r"\b([a-z_]+):", "".join(BLOCKS))}
    top = {
        "study",
        "description",
        "data",
        "metrics",
        "seeds",
        "folds",
        "reach",
        "compare",
        "baseline",
        "tricks",
        "variants",
        "design",
    }
    assert {*top, *ROW_KEYS, *SECTIONS} - words == set()
    for flag in ("--seeds", "--only", "--set", "--design", "--scale"):
        assert f"`{flag}" in PAGE
