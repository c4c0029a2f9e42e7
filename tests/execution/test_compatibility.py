"""Losses and metrics that the data does not allow are refused when planned, all together, in one line each."""

from __future__ import annotations

import pytest

from ablate.data.dataset import Spec
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe, RecipeError
from ablate.registry import lookup
from ablate.store.disk import Disk
from ablate.store.store import Store

TEXT = """
metrics: [{metric}]
baseline: {{name: a, model: mlp, data: {data}, loss: {loss}, optimizer: sgd}}
variants: [{{name: b, set: {{epochs: 3}}}}, {{name: c, set: {{loss: {other}}}}}]
compare: {{metric: {metric}}}
"""


def plan(tmp_path, **words):
    (tmp_path / "r.yaml").write_text(TEXT.format(**words))
    return make_plan(Recipe.load(tmp_path / "r.yaml"), Store(tmp_path / "runs", disk=Disk()))


def test_what_does_not_fit_is_said_once_before_anything_trains(tmp_path):
    with pytest.raises(RecipeError) as error:
        plan(tmp_path, data="digits", loss="mse", other="cross_entropy", metric="rmse")
    first, second = str(error.value).splitlines()
    assert first.endswith("a: loss (=mse) requires continuous values as targets, but the targets are class indices.")
    assert second.endswith(
        "a: metric (=rmse) requires continuous values as targets, but the targets are class indices."
    )
    assert "r.yaml:3:" in first
    with pytest.raises(RecipeError, match=r"c: loss \(=cross_entropy\) requires class indices") as error:
        plan(tmp_path, data="facial_keypoints", loss="mse", other="cross_entropy", metric="mae")
    assert len(error.value.problems) == 1


def test_networks_and_losses_of_overlap_must_answer_for_what_has_a_class(tmp_path):
    with pytest.raises(RecipeError) as error:
        plan(tmp_path, data="shapes", loss="cross_entropy", other="mse", metric="iou")
    first, second = [line.partition(": ")[2] for line in str(error.value).splitlines()]
    assert first == (
        "a: model (=mlp) predicts classes for the whole sample, but the targets are classes for each of 32×32 positions. "
        "Use unet or fcn, or rnn, lstm or gru with 'predict: each'."
    )
    assert second == "c: loss (=mse) requires continuous values as targets, but the targets are class indices."
    with pytest.raises(RecipeError) as error:
        plan(tmp_path, data="digits", loss="dice_ce", other="cross_entropy", metric="dice")
    first, second = [line.partition(": ")[2] for line in str(error.value).splitlines()]
    assert (
        first
        == "a: loss (=dice_ce) requires segmentation masks, but the targets are one class per sample. Use cross_entropy."
    )
    assert second == "a: metric (=dice) requires segmentation masks, but the targets are one class per sample. Use f1."


def test_what_fits_is_planned(tmp_path):
    assert len(plan(tmp_path, data="digits", loss="cross_entropy", other="focal", metric="f1").runs) == 3
    assert len(plan(tmp_path, data="facial_keypoints", loss="mse", other="huber", metric="rmse_pixels").runs) == 3


def test_a_trick_that_does_not_suit_the_data_is_refused_when_planned(tmp_path):
    (tmp_path / "r.yaml").write_text(
        """
data: facial_keypoints
baseline: {name: a, model: mlp, loss: mse, optimizer: sgd}
variants:
  - {name: balanced, add: [balanced_sampling]}
  - {name: again, set: {epochs: 3}}
  - {name: smooth, from: a, add: [label_smoothing]}
  - {name: flipped, from: a, add: [flip]}
  - {name: pictures, from: a, add: [flip], set: {data: diabetes}}
metrics: [mae]
compare: {metric: mae}
"""
    )
    with pytest.raises(RecipeError) as error:
        make_plan(Recipe.load(tmp_path / "r.yaml"), Store(tmp_path / "runs", disk=Disk()))
    lines = str(error.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["balanced", "smooth", "pictures"]
    assert "trick (=balanced_sampling) requires class" in lines[0]
    assert "r.yaml:5:" in lines[0]
    assert "trick (=label_smoothing) requires class indices as targets" in lines[1]
    assert "trick (=flip) requires images (C, H, W) or volumes" in lines[2]


MISFITS = """
data: digits
baseline: {name: a, model: mlp, loss: cross_entropy, optimizer: sgd}
variants:
  - {name: deep, set: {model: {name: convnet, channels: [4, 4, 4]}}}
  - {name: halved, set: {model: {name: resnet, channels: [4, 4, 4, 4, 4]}}}
  - {name: read, set: {model: {name: lstm, embedding: 8}, data: wine}}
  - {name: persons, from: a, set: {data: {name: digits, group: person}}}
"""


def test_sizes_tokens_and_groups_that_do_not_fit_are_refused_when_planned(tmp_path):
    (tmp_path / "r.yaml").write_text(MISFITS)
    with pytest.raises(RecipeError) as error:
        make_plan(Recipe.load(tmp_path / "r.yaml"), Store(tmp_path / "runs", disk=Disk()))
    lines = [line.split(": ", 1)[1] for line in str(error.value).splitlines()]
    assert [line.split(": ")[0] for line in lines] == ["deep", "halved", "read", "persons"]
    assert "model.pools: the pooling size after conv2 (=2) is larger than its input (1x1)" in lines[0]
    assert "model.channels (4 halvings in resnet) must leave at least one pixel of the 8x8" in lines[1]
    assert "model.embedding (=8) expects tokens, but the inputs are numeric" in lines[2]
    assert "data.group (=person)" in lines[3]
    with pytest.raises(ValueError, match=r"data.group \(=name\) must be 'person'"):
        lookup("data", "facial_keypoints").settings(group="name").check()


def test_what_only_reading_tells_is_left_to_the_reader(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,who\n1,0.5,a\n2,0.25,b\n3,1.5,c\n")
    (tmp_path / "r.yaml").write_text(
        "data: {name: csv, path: t.csv, target: y, group: nobody}\nbaseline: {name: a, model: mlp, loss: mse, optimizer: sgd}\nvariants: []\n"
    )
    assert len(make_plan(Recipe.load(tmp_path / "r.yaml"), Store(tmp_path / "runs", disk=Disk())).runs) == 1


@pytest.mark.parametrize("name", ["mixup", "noise", "standardise", "zero_center", "whitening"])
def test_tokens_are_not_measurements(name):
    spec = Spec((5,), 3, "classification", vocabulary=("<unknown>", "a", "b"))
    with pytest.raises(ValueError, match=rf"trick \(={name}\) requires .* but the data are tokens"):
        lookup("trick", name).settings().check(spec)
