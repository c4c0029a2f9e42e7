"""Predictions of new inputs: prepared as in training, in the unit of the targets, in the format that Kaggle asks for."""

from __future__ import annotations

import csv
import io
import shutil

import numpy as np
import pytest
import torch

from ablate import api
from ablate.cli.app import run_command
from ablate.data.faces import POINTS
from ablate.data.load import load_parts
from ablate.execution.predictions import predictions_csv, trained_runs
from ablate.execution.worker import train_job
from ablate.recipe import Recipe
from ablate.store.store import Store

EYES = ["left_eye_center", "right_eye_center"]
REST = [name for name in POINTS if name not in EYES]

FACES = f"""
study: faces
data: {{name: facial_keypoints, path: faces.npz, size: 12}}
metrics: [rmse_pixels]
seeds: 2
baseline:
  name: all
  model: {{name: mlp, hidden: [6]}}
  loss: mse
  optimizer: {{name: sgd, lr: 0.05}}
  batch_size: 16
  epochs: 2
  add: [standardise]
variants:
  - {{name: eyes, set: {{data.columns: [{", ".join(EYES)}]}}}}
  - {{name: rest, from: all, set: {{data.columns: [{", ".join(REST)}]}}}}
  - {{name: both, from: all, joined: [eyes, rest]}}
"""

TABLE = """
study: prices
data: {name: csv, path: houses.csv, target: price}
metrics: [rmse]
compare: {metric: rmse}
baseline:
  name: plain
  model: {name: mlp, hidden: []}
  loss: mse
  optimizer: {name: sgd, lr: 0.2}
  epochs: 60
  add: [standardise, normalise_targets]
"""


def predicted(study, variant, path):
    """The lines of the CSV that ``ablate predict`` writes."""
    networks = trained_runs(study.plan(), Store(study.root), variant, seed=None, ensemble=False)
    return list(csv.DictReader(io.StringIO(predictions_csv(networks, path))))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, study_in, write_faces):
    """A folder with the faces' recipe, trained, and three new pictures as Kaggle has them."""
    folder = tmp_path_factory.mktemp("faces")
    images = write_faces(folder, 40)
    (folder / "faces.yaml").write_text(FACES)
    study_in(folder / "runs", Recipe.load(folder / "faces.yaml")).command(training=train_job)
    lines = ["ImageId,Image", *(f"{i + 1},{' '.join(map(str, images[i].ravel()))}" for i in range(3))]
    (folder / "test.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def faces(trained, tmp_path, study_in):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return study_in(tmp_path / "runs", Recipe.load(tmp_path / "faces.yaml"))


def predict(study, folder, row, asked, out) -> list[str]:
    """The command that answers what ``asked`` lists, as Kaggle's table has it: (row, picture, coordinate)."""
    table = folder / "IdLookupTable.csv"
    table.write_text("RowId,ImageId,FeatureName,Location\n" + "".join(f"{r},{i},{name},\n" for r, i, name in asked))
    files = {"--data": folder / "test.csv", "--runs": study.root, "--lookup": table, "-o": out}
    return ["predict", str(folder / "faces.yaml"), row, *(str(word) for pair in files.items() for word in pair)]


@pytest.mark.parametrize("row", ["all", "both"])
def test_a_submission_has_kaggles_rows_and_columns(faces, tmp_path, row, capsys):
    asked = [
        (1, 1, "left_eye_center_x"),
        (2, 1, "nose_tip_y"),
        (3, 3, "right_eye_center_x"),
        (4, 2, "mouth_center_bottom_lip_y"),
    ]
    out = tmp_path / "submission.csv"
    assert run_command(predict(faces, tmp_path, row, asked, out)) == 0, capsys.readouterr().err
    lines = list(csv.reader(out.open()))
    assert lines[0] == ["RowId", "Location"]
    assert [line[0] for line in lines[1:]] == ["1", "2", "3", "4"]
    full = predicted(faces, row, tmp_path / "test.csv")
    assert [line["ImageId"] for line in full] == ["1", "2", "3"]
    for (_, image, name), line in zip(asked, lines[1:], strict=True):
        assert float(line[1]) == pytest.approx(float(full[image - 1][name]), rel=1e-4)
        assert 0 <= float(line[1]) <= 96


def test_new_inputs_are_prepared_by_what_was_measured_in_training(faces):
    """The same faces give what the row was judged by: without the standardised inputs they would not."""
    data = load_parts(faces.recipe.variant("all").settings.data, faces.recipe.folder)
    record = faces.plan().runs_of("all")[1].record
    found = api.predict(faces.recipe, "all", data.valid.inputs.numpy(), seed=1, root=faces.root)
    error = torch.from_numpy(found) - data.valid.targets
    assert float(error.square().mean()) == pytest.approx(record.results["selected"]["valid_loss"], rel=1e-5)
    both = [api.predict(faces.recipe, "all", data.valid.inputs.numpy(), seed=s, root=faces.root) for s in (0, 1)]
    mean = api.predict(faces.recipe, "all", data.valid.inputs.numpy(), ensemble=True, root=faces.root)
    np.testing.assert_allclose(mean, (both[0] + both[1]) / 2, rtol=1e-6)
    first = api.predict(faces.recipe, "all", data.valid.inputs.numpy(), root=faces.root)
    np.testing.assert_array_equal(first, both[0])
    joined = api.predict(faces.recipe, "both", data.valid.inputs.numpy(), root=faces.root)
    eyes = api.predict(faces.recipe, "eyes", data.valid.inputs.numpy(), root=faces.root)
    np.testing.assert_array_equal(joined[:, :4], eyes)


def test_normalised_targets_come_back_in_their_unit(tmp_path, stub_study):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 100, (80, 2))
    price = 300_000 + 2_000 * x[:, 0] - 500 * x[:, 1]
    rows = "".join(f"{a},{b},{p}\n" for (a, b), p in zip(x, price, strict=True))
    (tmp_path / "houses.csv").write_text("rooms,age,price\n" + rows)
    (tmp_path / "prices.yaml").write_text(TABLE)
    (tmp_path / "new.csv").write_text("age,note,rooms\n0,a,0\n0,b,100\n")
    study = stub_study()
    study.recipe = Recipe.load(tmp_path / "prices.yaml")
    study.command(training=train_job)
    lines = predicted(study, "plain", tmp_path / "new.csv")
    assert [float(line["price"]) for line in lines] == pytest.approx([300_000, 500_000], rel=0.02)
    (tmp_path / "new.csv").write_text("age\n0\n")
    with pytest.raises(ValueError, match="has no column 'rooms'"):
        predicted(study, "plain", tmp_path / "new.csv")


@pytest.mark.parametrize(
    ("row", "asked", "text"),
    [
        ("eyes", (1, 1, "nose_tip_x"), "requests 'nose_tip_x', which this variant does not predict."),
        ("all", (1, 9, "nose_tip_x"), "requests image 9 (row 1), which is not in --data."),
        ("gone", (1, 1, "nose_tip_x"), "variant (=gone) is not defined in"),
    ],
)
def test_what_cannot_be_answered_is_one_line_and_writes_nothing(faces, tmp_path, row, asked, text, capsys):
    assert run_command(predict(faces, tmp_path, row, [asked], tmp_path / "x.csv")) == 2
    said = capsys.readouterr().err
    assert text in said.replace("\n", " ")
    assert not (tmp_path / "x.csv").exists()


def test_a_row_that_is_not_trained_cannot_predict(faces):
    Store(faces.root).clear(faces.plan().runs_of("eyes")[0].fingerprint)
    with pytest.raises(
        ValueError, match=r"variant \(=eyes\) must be trained first, because both combines its predictions"
    ):
        api.predict(faces.recipe, "both", np.zeros((1, 1, 12, 12), np.float32), root=faces.root)
    with pytest.raises(ValueError, match=r"variant \(=both\) combines eyes, rest and has no network"):
        api.load(faces.recipe, "both", root=faces.root)
    with pytest.raises(ValueError, match=r"shape \[1, 12, 12\] .* shape \[1, 8, 8\]"):
        api.predict(faces.recipe, "all", np.zeros((1, 1, 8, 8), np.float32), root=faces.root)


def test_the_picture_of_predictions_has_the_validation_faces_and_both_kinds_of_points(faces, tmp_path):
    from ablate.report.draw_predictions import read_predictions

    shown = read_predictions(faces.plan().record(), Store(faces.root))
    data = load_parts(faces.recipe.variant("all").settings.data, faces.recipe.folder)
    assert shown.variant == "both"
    assert np.array_equal(shown.images, data.valid.inputs[:8, 0].numpy())
    np.testing.assert_allclose(shown.truth.reshape(8, 30), data.valid.targets[:8].numpy() * 48 + 48, rtol=1e-5)
    raw = api.predict(faces.recipe, "both", data.valid.inputs[:8].numpy(), root=faces.root)
    np.testing.assert_allclose(shown.predicted.reshape(8, 30), raw * 48 + 48, rtol=1e-5)
    words = ["plot", str(tmp_path / "faces.yaml"), "--kind", "predictions", "--runs", str(faces.root), "-o"]
    assert [run_command([*words, str(tmp_path / f"{i}.png")]) for i in (1, 2)] == [0, 0]
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
