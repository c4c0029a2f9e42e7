"""``watch`` in a recipe: what it may hold, where its numbers appear, and what becomes of runs that lack them."""

from __future__ import annotations

import json
import re

import pytest

from ablate.recipe import Recipe, RecipeError

TEXT = """
study: seen
data: digits
metrics: [accuracy]
{watch}
seeds: 1
baseline:
  name: plain
  model: {{name: mlp, hidden: [8]}}
  loss: cross_entropy
  optimizer: {{name: sgd, lr: 0.1}}
  epochs: 2
  {own}
"""


@pytest.fixture
def write(tmp_path):
    def to_file(watch: str = "", own: str = ""):
        path = tmp_path / "seen.yaml"
        path.write_text(TEXT.format(watch=watch, own=own))
        return path

    return to_file


def test_it_stands_at_the_top_or_in_the_baseline(write):
    top = Recipe.load(write("watch: [gradient_norm, {jitter: 5}]")).variants[0].settings
    assert [choice.label for choice in top.watch] == ["gradient_norm", "jitter"]
    assert top.watch[1].options.epochs == 5
    assert Recipe.load(write("", "watch: [speed]")).variants[0].settings.watch[0].label == "speed"


WRONG = {
    "watch: speed": "must be a list, such as [gradient_norm]",
    "watch: [gradient_nrom]": "Did you mean 'gradient_norm'?",
    "watch: [speed, speed]": "watch[1] (=speed)",
    "watch: [{jitter: {metric: accuracyy}}]": "Did you mean 'accuracy'?",
    "watch: [{target: a:B}]": "watch[0].target",
    "watch: [{gradient_norm: {every: 0}}]": "must be at least 1",
}


@pytest.mark.parametrize("line", WRONG)
def test_what_is_wrong_is_said_with_its_place(write, line):
    with pytest.raises(RecipeError, match=r"seen.yaml:5:\d+: watch") as caught:
        Recipe.load(write(line))
    assert WRONG[line] in str(caught.value)
    assert len(caught.value.problems) == 1


def test_numbers_reach_the_record_and_the_table_and_are_not_made_up(write, ablate, tmp_path):
    assert ablate("run", write()).code == 0
    watching = write("watch: [gradient_norm, jitter]")
    again = ablate("run", watching)
    assert "1 run: 1 finished, 0 to train" in again.err
    assert re.search("plain: .*gradient_norm, jitter.*--fresh", again.err)
    assert re.search("plain: .*gradient_norm.*--fresh", ablate("plan", watching, "--quick").err)
    [row] = ablate("table", watching, "--format", "json").json()["rows"]
    assert row.get("gradient_norm") is None

    fresh = ablate("run", watching, "--fresh")
    assert "without watching" not in ablate("run", watching).err
    assert fresh.code == 0
    [row] = ablate("table", watching, "--format", "json").json()["rows"]
    [lines] = [path.read_text().splitlines() for path in (tmp_path / "runs" / "store").glob("*/metrics.jsonl")]
    assert row["gradient_norm"] == json.loads(lines[-1])["gradient_norm"] > 0
    assert row["gradient_norm/hidden1"] < row["gradient_norm"]
    shown = ablate("table", watching, "--columns", "variant,gradient_norm,jitter", "--format", "csv").out
    assert shown.splitlines()[0] == "variant,gradient_norm,jitter"


def test_a_row_that_only_watches_more_is_no_row(write):
    path = write()
    path.write_text(path.read_text() + "variants: [{name: seen, set: {watch: [speed]}}]\n")
    with pytest.raises(RecipeError, match=r"variants\[0\] \(=seen\) .* watch"):
        Recipe.load(path)
