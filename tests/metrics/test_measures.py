"""Metrics against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablate.data.dataset import Keypoints, Spec
from ablate.registry import lookup

ACCURACY, RMSE_PIXELS = (lookup("metric", name).settings() for name in ("accuracy", "rmse_pixels"))
CLASSES = Spec((4,), 3, "classification")
FACES = Spec((1, 32, 32), 6, "regression", keypoints=Keypoints(((0, 1),), ("left", "right", "nose")))


def test_accuracy():
    prediction = torch.tensor([[0.1, 0.7, 0.2], [0.9, 0.0, 0.1], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3]])
    value = ACCURACY.measure(prediction, torch.tensor([1, 0, 1, 2]), CLASSES)
    assert value.shape == ()
    assert value.item() == 0.5
    assert ACCURACY.better == "higher"


def test_accuracy_of_pixels():
    prediction = torch.zeros(2, 3, 4, 4)
    prediction[:, 1] = 1
    target = torch.ones(2, 4, 4, dtype=torch.int64)
    target[0, 0, :2] = 2
    assert ACCURACY.measure(prediction, target, CLASSES).item() == 30 / 32


def test_accuracy_needs_class_numbers():
    with pytest.raises(ValueError, match=r"metric \(=accuracy\) requires class indices") as error:
        ACCURACY.measure(torch.zeros(4, 3), torch.zeros(4, 3), CLASSES)
    assert "\n" not in str(error.value)


def test_rmse_is_in_pixels_of_the_original_picture_whatever_size_the_network_sees():
    draw = np.random.default_rng(0)
    truth = draw.uniform(0, 96, (20, 6))
    guess = truth + draw.normal(0, 2, truth.shape)
    truth[draw.random(truth.shape) < 0.3] = np.nan
    known = ~np.isnan(truth)
    expected = np.sqrt(np.mean((guess[known] - truth[known]) ** 2))
    value = RMSE_PIXELS.measure(torch.tensor((guess - 48) / 48), torch.tensor((truth - 48) / 48), FACES)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert RMSE_PIXELS.better == "lower"


def test_rmse_is_the_root_of_the_mean_squared_error_times_48():
    prediction, target = torch.rand(50, 6), torch.rand(50, 6)
    mse = torch.nn.functional.mse_loss(prediction, target).item()
    assert RMSE_PIXELS.measure(prediction, target, FACES).item() == pytest.approx(48 * mse**0.5, rel=1e-6)


def test_rmse_needs_keypoints():
    with pytest.raises(ValueError, match=r"metric \(=rmse_pixels\) requires keypoints as targets") as error:
        RMSE_PIXELS.measure(torch.zeros(2, 6), torch.zeros(2, 6), CLASSES)
    assert "\n" not in str(error.value)


def test_nothing_known_has_no_error():
    assert RMSE_PIXELS.measure(torch.zeros(2, 6), torch.full((2, 6), torch.nan), FACES).isnan()


def test_what_has_no_class_counts_nowhere_and_one_score_stands_for_two_classes():
    accuracy, error, f1 = (lookup("metric", name).settings() for name in ("accuracy", "error", "f1"))
    spec = Spec((4,), 2, "classification", ("no", "yes"))
    scores, truth = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]]), torch.tensor([1, 0, 0, 1])
    assert float(accuracy.measure(scores, truth, spec)) == 0.5
    two = torch.cat([torch.zeros(4, 1), scores], dim=1)
    for metric in (accuracy, error, f1):
        assert float(metric.measure(scores, truth, spec)) == float(metric.measure(two, truth, spec))
    truth = torch.tensor([1, 0, -100, -100])
    assert float(accuracy.measure(scores, truth, spec)) == 1 - float(error.measure(scores, truth, spec)) == 1.0
