"""The catalogue: every name that practitioners' notes ask for, a page that is as new as the cards, and a trick written
by the book.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.recipe.replay import SECTIONS
from ablate.registry import KINDS, entries
from ablate.registry.described import settings_of
from ablate.report.catalogue import TITLES, as_page

ROOT = Path(__file__).parents[2]

NAMES = {
    "Optimisation": {
        "optimizer": "sgd adagrad adadelta rmsprop adam adamw nadam radam adamax muon vsgd adasecant",
        "schedule": "constant points exponential step multistep cosine cosine_restarts linear warmup polynomial one_cycle formula",
        "trick": "plateau restart scale_lr accumulate clip_norm clip_value max_norm weight_decay l1 ema swa lookahead sam",
        "watch": "noise_scale",
    },
    "Regularisation": {
        "trick": "dropout dropout2d dropout3d mc_dropout drop_path batch_norm layer_norm instance_norm group_norm label_smoothing "
        "early_stop train_fraction mixup cutmix flip rotate shift scale crop noise brightness contrast cutout random_erasing colour_pca"
    },
    "Data": {
        "trick": "zero_center standardise whitening normalise_targets class_weights balanced_sampling label_noise"
    },
    "What is watched": {
        "watch": "update_ratio gradient_norm dead_relus activation_variance confidence train_valid_ratio jitter speed noise_scale"
    },
    "Losses and metrics": {
        "loss": "mse l1 smooth_l1 huber cross_entropy bce mse_on_softmax focal dice dice_ce multi_task",
        "metric": "accuracy top_k error rmse rmse_pixels mae r2 dice iou perplexity ece f1",
    },
    "Networks": {
        "model": "mlp convnet resnet inception rnn lstm gru unet fcn autoencoder",
        "init": "gaussian uniform xavier_uniform xavier_normal he_normal he_uniform orthogonal lsuv zero_gamma output_bias",
        "trick": "activation separable from_weights freeze",
    },
    "Data that recipes name": {
        "data": "digits facial_keypoints curve shapes text images csv npz imbalanced multi_task wine breast_cancer diabetes"
    },
}
"""Section of the notes → kind → the names that it asks for."""

WORDS = {
    ("trick", "activation"): {"kind": "sigmoid tanh relu leaky_relu prelu rrelu elu gelu silu"},
    ("model", "mlp"): {"activation": "sigmoid tanh relu leaky_relu prelu rrelu elu gelu silu"},
    ("model", "convnet"): {
        "pool": "max average strided",
        "lrn": "",
        "spp": "",
        "kernels": "",
        "channels": "",
        "parameters": "",
    },
    ("model", "fcn"): {"head": "plain ppm aspp fpn pan"},
    ("model", "rnn"): {"embedding": "", "activation": "tanh relu"},
    ("data", "shapes"): {"dimensions": ""},
    ("data", "digits"): {"reconstruct": ""},
    ("optimizer", "sgd"): {"rate_in_velocity": "", "groups[].match": "", "groups[].lr": ""},
    ("loss", "multi_task"): {"tasks[].weight": "", "tasks[].loss": "mse cross_entropy", "balance": "none magnitude"},
}
"""What the notes ask for that is a setting of a name, and the words that it may be."""

SETTINGS = {"batch_size", "shuffle"}
"""Asked for there too, and settings rather than names."""


def run(*words: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False, env=environment
    )


def test_every_name_of_the_notes_is_there(tmp_path):
    done = run("-m", "ablate", "catalog", "--json", cwd=tmp_path)
    known = {(entry["kind"], entry["name"]) for entry in json.loads(done.stdout)}
    asked = {
        section: {(kind, name) for kind, names in kinds.items() for name in names.split()}
        for section, kinds in NAMES.items()
    }
    assert {section: names - known for section, names in asked.items()} == {section: set() for section in NAMES}
    assert [len(names) for names in asked.values()] == [38, 25, 7, 9, 23, 24, 13]
    assert set(SECTIONS) >= SETTINGS


def test_every_setting_of_the_notes_is_there(tmp_path):
    done = run("-m", "ablate", "catalog", "--json", cwd=tmp_path)
    known = {(entry["kind"], entry["name"]): entry["settings"] for entry in json.loads(done.stdout)}
    for name, asked in WORDS.items():
        choices = {setting["name"]: set(setting["choices"]) for setting in known[name]}
        for setting, words in asked.items():
            assert set(words.split()) <= choices[setting], (name, setting)


def test_a_card_names_what_a_setting_may_be(tmp_path):
    card = run("-m", "ablate", "catalog", "fcn", cwd=tmp_path).stdout
    assert "choices: plain, ppm, aspp, fpn, pan" in " ".join(card.split())
    told = run("-m", "ablate", "catalog", "shift", cwd=tmp_path).stdout
    assert "choices: edge, zero" in " ".join(told.split())
    average = run("-m", "ablate", "catalog", "f1", cwd=tmp_path).stdout
    assert "choices:" not in average, "its description names them all"


def test_the_page_is_as_new_as_the_cards():
    page = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    way = "docs/catalogue.md is older than the cards: ablate catalog --markdown > docs/catalogue.md"
    assert page == as_page(entries()), way


def test_the_page_has_every_name_once_under_its_kind():
    page = as_page(entries())
    for kind, (title, _) in TITLES.items():
        section = page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        names = re.findall(r"^### `(.*)`$", section, re.MULTILINE)
        assert names == [entry.name for entry in entries(kind) if entry.provider == "ablate"]
    assert all(len(line) <= 160 for line in page.splitlines())


@pytest.mark.parametrize(("flag", "start"), [("--markdown", "# Catalog"), ("--json", "[")])
def test_the_command_prints_either_form(flag, start, tmp_path):
    done = run("-m", "ablate", "catalog", "watch", flag, cwd=tmp_path)
    assert done.stdout.startswith(start)
    assert "update_ratio" in done.stdout
    assert "dropout2d" not in done.stdout


def test_both_forms_at_once_are_refused(tmp_path):
    done = run("-m", "ablate", "catalog", "--markdown", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("--json and --markdown ")


def test_a_trick_that_is_written_by_the_book_works(tmp_path):
    page = (ROOT / "docs" / "new-trick.md").read_text(encoding="utf-8")
    code, test = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "centre_gradients.py").write_text(code)
    (tmp_path / "test_centre_gradients.py").write_text(test)
    # one more folder for the room's files, as if this one were in it
    (tmp_path / "conftest.py").write_text(
        f"import ablate.tricks\nablate.tricks.__path__.append({str(tmp_path / 'room')!r})\n"
    )
    contract = (ROOT / "tests" / "test_contract.py").read_text(encoding="utf-8")
    (tmp_path / "test_contract.py").write_text(contract)
    words = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "-k",
        "centre_gradients or stack or unit",
        tmp_path,
    )
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) > 20

    recipe = "data: digits\nbaseline: {model: mlp, loss: cross_entropy, optimizer: sgd, epochs: 1, add: [{centre_gradients: 0.5}]}\n"
    (tmp_path / "recipe.yaml").write_text(recipe)
    command = (
        "import conftest, sys; from ablate.cli import main; sys.argv[1:] = ['plan', 'recipe.yaml', '--quick']; main()"
    )
    assert run("-c", command, cwd=tmp_path).returncode == 0


def test_values_that_a_setting_explains_are_its_values():
    """Where a description explains one value, as in ``channel: …; all: …``, it explains no other words."""
    explained = 0
    for kind in KINDS:
        for entry in entries(kind):
            for setting in settings_of(entry):
                words = set(re.findall(r"(?:^|; )([a-z][a-z0-9_-]*): ", setting["description"])) - {"null"}
                if words & set(setting["choices"]):
                    explained += 1
                    assert words <= set(setting["choices"]), (entry.name, setting)
    assert explained > 20
