"""Planted faults, and which check finds each of them, as `docs/check.md` says; healthy trainings, in which no check finds much."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ablate.planning.helper_process import diagnosis
from ablate.planning.preflight import Examined, examine, names_of_checks, raised
from ablate.recipe import Recipe

HERE = Path(__file__).parent

DIGITS = {"data": "digits", "model": {"name": "mlp", "hidden": [32]}, "loss": "cross_entropy"}
OWN = {"data": {"target": "planted:table"}, "model": {"name": "mlp", "hidden": [32]}, "loss": "mse"}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}


@dataclass(frozen=True)
class Fault:
    """A fault, the settings that plant it, and the check that must find it; none if the page says that it is missed."""

    what: str
    settings: dict = field(default_factory=dict)
    check: str = ""


def own(model: str = "", **settings) -> dict:
    """Digits with a network of `planted.Net`."""
    return DIGITS | ({"model": {"target": "planted:Net", "fault": model}} if model else {}) | settings


def data(name: str, **arguments) -> dict:
    return {"data": {"target": f"planted:{name}", **arguments}}


FAULTS = [
    Fault("a learning rate of 50", DIGITS | {"optimizer": SGD | {"lr": 50}}, "learning_rate"),
    Fault("a learning rate of 1e-9", DIGITS | {"optimizer": SGD | {"lr": 1e-9}}, "learning_rate"),
    Fault("a softmax before cross_entropy", own("softmax"), "output_and_loss"),
    Fault("a log_softmax before cross_entropy", own("log_softmax"), "output_and_loss"),
    Fault("a sigmoid before bce", own("sigmoid", loss="bce"), "output_and_loss"),
    Fault("a softmax inside a custom loss", DIGITS | {"loss": {"target": "planted:nll_of_softmax"}}, "overfits"),
    Fault("a layer that gets no gradient (detach)", own("detached"), "gradients"),
    Fault("a layer that the forward pass does not use", own("unused"), "gradients"),
    Fault("everything frozen", own("frozen"), "first_step"),
    Fault("an argmax before the loss", own("argmax"), "first_step"),
    Fault("an optimizer without the last layer", DIGITS | {"optimizer": {"target": "planted:Headless"}}, "optimizer_parameters"),
    Fault("training targets off by one class", DIGITS | data("off_by_one"), "labels"),
    Fault("classes counted from 1", DIGITS | data("from_one"), "first_step"),
    Fault("pixels from 0 to 255 with a learning rate for 0 to 1", DIGITS | data("pixels"), "input_scale"),
    Fault("a view that mixes the batch axis", own("view"), "independent_samples"),
    Fault("dropout that stays on in evaluation", own("dropout"), "evaluation_repeats"),
    Fault("augmentation of the validation set", DIGITS | data("augmented_validation"), "evaluation_repeats"),
    Fault("batch norm with a batch size of 2", DIGITS | {"model": {"target": "planted:normed"}, "batch_size": 2}, "norm_batch_size"),
    Fault("batch norm whose statistics never move", DIGITS | {"model": {"target": "planted:lazy_norm"}}, "evaluation_gap"),
    Fault("ReLUs that are dead because of a bias of -10", own("dead"), "activations"),
    Fault("tanh units saturated by large weights", own("saturated"), "activations"),
    Fault("vanishing gradients in a deep sigmoid network", DIGITS | {"model": {"target": "planted:deep_sigmoid"}}, "gradient_flow"),
    Fault("initial weights 30 times too large", own("exploding"), "loss_at_start"),
    Fault("a network that ignores its inputs", own("ignores"), "gradients"),
    Fault("a receptive field of 3 pixels before average pooling", DIGITS | {"model": {"target": "planted:textures"}}, "receptive_field"),
    Fault("validation samples in the training set", DIGITS | data("copies"), "duplicates"),
    Fault("groups on both sides of the split", DIGITS | {"data": "planted_groups"}, "duplicates"),
    Fault("constant inputs", DIGITS | data("constant"), "input_scale"),
    Fault("inputs that are noise", DIGITS | data("noise"), "labels"),
    Fault("a column of NaN", OWN | data("table", fault="nan column"), "input_scale"),
    Fault("a constant column", OWN | data("table", fault="constant column"), "input_scale"),
    Fault("columns in different units", DIGITS | {"data": "wine"}, "input_scale"),
    Fault("targets in units of 10,000", OWN | data("table", fault="units"), "target_scale"),
    Fault("targets in units of 0.0001", OWN | data("table", fault="tiny"), "target_scale"),
    Fault("a column that contains the target", OWN | data("table", fault="leak"), "leaking_column"),
    Fault("shuffled training labels", DIGITS | data("shuffled"), "labels"),
    Fault("shuffled validation labels", DIGITS | data("shuffled", split="valid"), "labels"),
    Fault("a class that the validation set lacks", DIGITS | data("without_class"), "classes"),
    Fault("training samples of one class only", DIGITS | data("one_class"), "classes"),
    Fault("a class that is 20 times rarer", DIGITS | data("rare"), "classes"),
    Fault("a loss that is a sum over the batch", DIGITS | {"loss": {"target": "planted:summed"}}, "loss_reduction"),
    Fault("a loss that broadcasts (N, 1) and (N,)", OWN | {"model": {"target": "planted:Flat"}, "loss": {"target": "planted:broadcast"}}, "first_step"),
    Fault("the logarithm of 0", own("log of zero"), "first_step"),
]  # fmt: skip


MISSED = [
    Fault("20% of the training labels are wrong", DIGITS | data("noisy_labels")),
    Fault("noisy copies of validation samples in the training set", DIGITS | data("near_copies")),
    Fault("validation images that are mirrored", DIGITS | data("mirrored")),
]


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
    "dicts, unpacked": DIGITS | data("dicts") | {"model": {"target": "planted:TwoInputs"}, "batch": {"inputs": ["left", "right"], "targets": "label", "call": "unpack", "output": "logits"}},
    "loss from the model": DIGITS | data("dicts") | {"model": {"target": "planted:TwoInputs"}, "loss": "from_model", "batch": {"inputs": ["left", "right"], "targets": "label", "call": "unpack", "output": "logits"}},
    "an IterableDataset": DIGITS | data("stream") | {"batch": {"per_epoch": 10}},
    "integers": DIGITS | data("ids") | {"model": {"target": "planted:Bag"}, "optimizer": ADAM},
    "two predictions in a dict": DIGITS | {"model": {"target": "planted:Heads"}, "loss": {"target": "planted:two_heads"}},
    "sam, accumulate": DIGITS | {"add": ["sam", {"accumulate": 2}]},
    "bf16": DIGITS | {"precision": "bf16"},
    "float64": DIGITS | {"precision": "float64"},
    "frozen layer": DIGITS | mlp(64, 64) | {"add": [{"freeze": "hidden1*"}]},
}  # fmt: skip


def written(settings: dict) -> str:
    """A recipe with these settings, and usual ones for the rest."""
    rest = {"optimizer": SGD, "epochs": 10, "batch_size": 64}
    baseline = {"name": "base", **rest, **{key: value for key, value in settings.items() if key != "data"}}
    return json.dumps({"study": "faults", "data": settings["data"], "seeds": 1, "baseline": baseline})


def checked(settings: dict, folder: Path, *, quick: bool = False) -> Examined:
    """What the checks say of a variant with these settings, in this process."""
    path = folder / "recipe.yaml"
    path.write_text(written(settings))
    shutil.copy(HERE / "planted.py", folder)
    recipe = Recipe.load(path)
    try:
        return examine(recipe.variants[0].settings, HERE, recipe.folds, recipe.checks, {}, quick, 20.0)
    except Exception as error:
        return raised(diagnosis(error)[1])


@pytest.fixture(scope="module", autouse=True)
def planted():
    """The module of the faults, with its dataset in the registry."""
    sys.path.append(str(HERE))
    import planted

    from ablate.registry import Card, _entries, register

    register("data", "planted_groups", card=Card("Groups on both sides."))(planted.Grouped)
    yield planted
    del _entries["data", "planted_groups"]
    sys.path.remove(str(HERE))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_a_planted_fault_is_found_by_the_check_that_is_for_it(fault, tmp_path):
    found = checked(fault.settings, tmp_path).found
    names = [one.check for one in found]
    assert fault.check in names
    if fault.check != "first_step":
        assert "The check itself failed." not in [one.finding.problem for one in found]
    assert all(one.finding.fix and one.finding.seen and one.finding.expected for one in found)


@pytest.mark.parametrize("fault", MISSED, ids=lambda fault: fault.what)
def test_a_fault_that_the_page_calls_missed_is_not_found(fault, tmp_path):
    assert checked(fault.settings, tmp_path).found == ()


def test_the_page_lists_all_faults_with_their_checks():
    page = (HERE.parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|$", page, flags=re.M)
    assert rows == [(fault.what, fault.check) for fault in FAULTS]
    assert f"{len(FAULTS)} of the {len(FAULTS) + len(MISSED)} planted faults" in page
    assert all(f"- {fault.what}" in page for fault in MISSED)


def test_the_page_names_all_checks():
    page = (HERE.parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    assert [name for name in names_of_checks() if f"`{name}`" not in page] == []


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_has_no_error_and_at_most_one_warning(name, tmp_path):
    found = checked(HEALTHY[name], tmp_path).found
    assert [one for one in found if one.finding.severity == "error"] == []
    assert len(found) <= 1, [(one.check, one.finding.seen) for one in found]
