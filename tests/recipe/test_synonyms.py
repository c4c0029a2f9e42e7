"""The field's words for our settings: an unknown key names ours, and every name that we give exists."""

from __future__ import annotations

import re

import pytest

from ablate.recipe import Recipe, RecipeError
from ablate.recipe.replay import SECTIONS
from ablate.registry import entries
from ablate.registry.synonyms import SYNONYMS, WORDS, synonym

BASE = """
data: digits
baseline: {{model: {{name: mlp, hidden: [4]}}, loss: cross_entropy, optimizer: {{name: sgd, lr: 0.1{inside}}}{beside}}}
variants: [{{name: a{row}}}]
"""


def wrong(tmp_path, sets=(), **parts):
    path = tmp_path / "r.yaml"
    path.write_text(BASE.format(**{"inside": "", "beside": "", "row": ", add: [flip]", **parts}))
    with pytest.raises(RecipeError) as caught:
        Recipe.load(path, sets=sets)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "ours"),
    [
        ("max_steps", "steps"),
        ("amp", "precision"),
        ("fp16", "precision"),
        ("grad_accum", "add: [accumulate]"),
        ("early_stopping", "add: [early_stop]"),
        ("learning_rate", "optimizer.lr"),
        ("lr", "optimizer.lr"),
        ("scheduler", "optimizer.lr: {cosine: [0.1, 0]}"),
        ("train_loader", "data"),
        ("batchsize", "batch_size"),
        ("bs", "batch_size"),
        ("wd", "optimizer.weight_decay"),
        ("weight_decay", "optimizer.weight_decay"),
        ("momentum", "optimizer.momentum"),
        ("criterion", "loss"),
    ],
)
def test_a_word_of_the_field_in_the_baseline_names_ours(tmp_path, word, ours):
    assert f"baseline.{word} is not a key of the baseline. Did you mean '{ours}'?" in wrong(
        tmp_path, beside=f", {word}: 1"
    )


def test_a_word_of_the_field_elsewhere(tmp_path):
    assert "Did you mean 'lr'?" in wrong(tmp_path, inside=", learning_rate: 0.1")
    assert "Did you mean 'weight_decay'?" in wrong(tmp_path, inside=", wd: 0.1")
    assert "Did you mean 'early_stop'?" in wrong(tmp_path, row=", add: [early_stopping]")
    assert "Did you mean 'set: {optimizer.lr: …}'?" in wrong(tmp_path, row=", learning_rate: 0.2")
    assert "Did you mean 'optimizer.lr'?" in wrong(tmp_path, sets=["learning_rate=0.1"])
    assert "Did you mean 'batch_size'?" in wrong(tmp_path, row=", set: {bs: 8}")


@pytest.mark.parametrize(
    ("parts", "ours"),
    [
        ({"row": ", add: [normalize]"}, "standardise"),
        ({"row": ", add: [standardize]"}, "standardise"),
        ({"row": ", add: [normalize_targets]"}, "normalise_targets"),
        ({"row": ", add: [color_pca]"}, "colour_pca"),
        ({"row": ", add: [{flip: {p: 0.5}}]"}, "share"),
        ({"row": ", add: [{train_fraction: {fraction: 0.5}}]"}, "share"),
        ({"row": ", add: [{freeze: {layers: '*', except: output.*}}]"}, "but"),
        ({"row": ", add: [{ema: {bn_stats: live}}]"}, "norms"),
        ({"row": ", add: [{ema: {norms: running}}]"}, "live"),
        ({"row": ", set: {data: {name: facial_keypoints, missing_values: kaggle}}"}, "lacking"),
        ({"row": ", set: {data: {name: images, path: x, grayscale: true}}"}, "grey"),
        ({"row": ", set: {model: {name: lstm, bidirectional: true}}"}, "both_ways"),
        ({"row": ", ensemble: [a, b]"}, "joined"),
        ({"row": ", set: {optimizer.lr: {piecewise: [[0, 1], [2, 0.1]]}}"}, "points"),
        ({"row": ", set: {optimizer.lr: {points: [[0, 1], [2, 0.1]], staircase: true}}"}, "stairs"),
        ({"row": ", set: {optimizer.lr: {one_cycle: [0.1, 1, 0.1], pct_start: 0.3}}"}, "rise"),
    ],
)
def test_another_name_for_a_trick_a_setting_or_a_value_names_ours(tmp_path, parts, ours):
    assert f"Did you mean '{ours}'?" in wrong(tmp_path, **parts)


def test_an_unknown_word_lists_what_there_is(tmp_path):
    said = wrong(tmp_path, beside=", zzzz: 1")
    listed = said.partition("Available: ")[2]
    assert set(SECTIONS) <= set(re.findall(r"\w+", listed))
    assert re.search(r"optimizer\.zzzz .*Available: .*\blr\b.*\bmomentum\b", wrong(tmp_path, inside=", zzzz: 1"))
    assert re.search(r"'zzzz' .*Available: .*\bepochs\b", wrong(tmp_path, sets=["zzzz=1"]))


def test_no_word_of_the_field_is_one_of_ours_for_something_else():
    ours = {*SECTIONS, *(entry.name for entry in entries("trick"))}
    for word, candidates in SYNONYMS.items():
        assert word not in ours or word in candidates, word


def test_every_name_that_is_given_exists():
    tricks = {entry.name for entry in entries("trick")}
    settings = {name for entry in entries() for name in entry.settings.model_fields}
    schedules, rows, values = {entry.name for entry in entries("schedule")}, {"joined"}, {"live"}
    for ours in (one for line in WORDS for one in line.split(" | ")):
        if found := re.fullmatch(r"add: \[(\w+)\]", ours):
            assert found[1] in tricks
        elif found := re.match(r"optimizer\.(\w+)", ours):
            assert found[1] in settings
        else:
            assert ours in {*SECTIONS, *tricks, *settings, *schedules, *rows, *values, "seeds"}


def test_a_word_that_is_no_name_of_ours_is_left_alone():
    assert synonym("lr", ["valid_loss", "accuracy"]) is None
    assert synonym("optimizer", ["loss"]) is None
