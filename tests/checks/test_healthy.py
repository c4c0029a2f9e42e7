"""Healthy trainings: no errors, and at most one warning each."""

from __future__ import annotations

import pytest
from test_faults import DIGITS, OWN, SGD, checked, planted  # noqa: F401  the fixture

ADAM = {"name": "adam", "lr": 0.003}
CONV = {"name": "convnet", "channels": [8, 16], "pools": [1, 2], "hidden": [32]}
TABLE = {"data": "diabetes", "add": ["standardise", "normalise_targets"], "optimizer": ADAM | {"lr": 0.01}}
TEXT = {"data": {"name": "text", "length": 16, "limit": 400}, "loss": "cross_entropy", "optimizer": ADAM}
FACES = {"data": {"name": "facial_keypoints", "size": 16, "split_on": "complete"}, "loss": "mse", "optimizer": SGD}
SHAPES = {"data": {"name": "shapes", "size": 16, "count": 300, "valid": 0.5}, "optimizer": ADAM | {"lr": 0.01}}


def mlp(*hidden: int, **more) -> dict:
    return {"model": {"name": "mlp", "hidden": list(hidden), **more}}


HEALTHY = {
    "narrow": DIGITS | mlp(12),
    "wide": DIGITS | mlp(512),
    "tanh": DIGITS | mlp(64, 64, activation="tanh"),
    "sigmoid": DIGITS | mlp(64, activation="sigmoid") | {"optimizer": ADAM},
    "gelu": DIGITS | mlp(64, 64, activation="gelu") | {"optimizer": ADAM},
    "deep": DIGITS | mlp(48, 48, 48, 48, 48),
    "rmsprop": DIGITS | {"optimizer": {"name": "rmsprop", "lr": 0.001}},
    "adamw, cosine with warmup": DIGITS | {"optimizer": {"name": "adamw", "lr": {"warmup": "10%", "then": {"cosine": [0.005, 0]}}}},
    "muon": DIGITS | mlp(64, 64) | {"optimizer": {"name": "several", "parts": [{"match": "2d", "use": {"name": "muon", "lr": 0.02}}, {"match": "*", "use": ADAM}]}},
    "focal": DIGITS | {"loss": "focal"},
    "bce": DIGITS | {"loss": "bce", "optimizer": ADAM | {"lr": 0.01}},
    "mse_on_softmax": DIGITS | {"loss": "mse_on_softmax", "optimizer": ADAM},
    "convnet": DIGITS | {"model": CONV},
    "batch norm, dropout, shift, mixup": DIGITS | {"model": CONV, "add": ["batch_norm", {"dropout": 0.3}, "shift", "mixup"]},
    "layer norm": DIGITS | {"model": CONV, "add": ["layer_norm"]},
    "resnet": DIGITS | {"model": {"name": "resnet", "channels": [8, 16], "blocks": 1}},
    "weight decay, ema, clipping, label smoothing": DIGITS | {"add": [{"weight_decay": 1e-3}, "ema", "clip_norm", "label_smoothing"]},
    "attention": DIGITS | {"model": {"target": "planted:Attention"}, "optimizer": ADAM},
    "diabetes, mse": TABLE | mlp(32) | {"loss": "mse"},
    "diabetes, l1": TABLE | mlp(32, 32) | {"loss": "l1"},
    "diabetes, huber and sgd": TABLE | mlp(32) | {"loss": "huber", "optimizer": SGD | {"lr": 0.02}},
    "own table": OWN | {"optimizer": ADAM | {"lr": 0.01}},
    "wine": {"data": "wine", "loss": "cross_entropy", "add": ["standardise"], **mlp(16)},
    "breast cancer": {"data": "breast_cancer", "loss": "cross_entropy", "add": ["standardise"], **mlp(16)},
    "keypoints, mlp": FACES | mlp(64),
    "keypoints, convnet with flip": FACES | {"model": CONV, "add": ["flip"]},
    "gru on text": TEXT | {"model": {"name": "gru", "embedding": 16, "hidden": [32], "predict": "each"}},
    "lstm on text": TEXT | {"model": {"name": "lstm", "embedding": 16, "hidden": [32], "predict": "each"}},
    "unet": SHAPES | {"model": {"name": "unet", "channels": [8, 16], "convolutions": 1}, "loss": "cross_entropy"},
    "fcn, dice": SHAPES | {"model": {"name": "fcn", "channels": [8, 16], "convolutions": 1, "width": 16}, "loss": "dice_ce"},
    "autoencoder": {"data": {"name": "digits", "reconstruct": True}, "model": {"name": "autoencoder", "hidden": [64, 32], "code": 16}, "loss": "mse", "optimizer": ADAM},
    "frozen layer": DIGITS | mlp(64, 64) | {"add": [{"freeze": "hidden1*"}]},
}  # fmt: skip


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_has_no_error_and_at_most_one_warning(name, tmp_path):
    found = checked(HEALTHY[name], tmp_path).found
    assert [one for one in found if one.finding.severity == "error"] == []
    assert len(found) <= 1, [(one.check, one.finding.seen) for one in found]
