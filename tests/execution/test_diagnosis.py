"""A job that fails says why and where, in one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

import ablate as library
from ablate.notes.note import Note
from ablate.planning.failure_reason import LIMIT, diagnosis
from ablate.registry import lookup
from ablate.trees import pick


def raised(call, *arguments) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        call(*arguments)
    return caught.value


@pytest.fixture
def users_code(tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n\ndef shapes(x):\n    return x @ x\n\ndef rule(x):\n    raise ValueError(f'x (={x}) must be 1.')\n"
        "\ndef long():\n    raise KeyError('k' * 999)\n"
    )
    spec = importlib.util.spec_from_file_location("mine", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_users_line_is_named(users_code):
    status, reason = diagnosis(raised(users_code.shapes, torch.ones(2, 3)))
    assert status == "failed"
    assert reason.startswith("RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert reason.endswith("(mine.py, line 4, in shapes)")
    assert diagnosis(raised(users_code.rule, 2))[1] == "x (=2) must be 1 (mine.py, line 7, in rule)"


def test_a_long_message_is_cut_and_keeps_its_place(users_code):
    reason = diagnosis(raised(users_code.long))[1]
    assert len(reason) == LIMIT
    assert reason.endswith("k… (mine.py, line 10, in long)")


def test_what_a_recipe_names_is_named():
    error = raised(lookup("loss", "cross_entropy").settings(), torch.ones(2, 3), torch.tensor([0, 5]))
    error.__traceback__ = error.__traceback__.tb_next  # this file is the user's own as far as can be told
    reason = diagnosis(error)[1]
    assert reason.startswith(
        "IndexError: Target 5 is out of bounds; the network has fewer outputs than there are classes"
    )
    assert reason.endswith("(loss cross_entropy)")


def test_what_torch_says_of_shapes_and_gradients_is_explained():
    wrong = nn.Linear(63, 10)
    assert "the argument 'input_shape'" in diagnosis(raised(wrong, torch.ones(2, 8)))[1]
    constant = nn.Linear(2, 1)(torch.ones(2, 2)).detach().mean()
    assert "the loss does not depend on the weights" in diagnosis(raised(constant.backward))[1]


def test_a_rule_of_the_librarys_own_says_all():
    error = raised(lookup("loss", "mse").settings(), torch.ones(2, 3), torch.ones(2, 4))
    error.__traceback__ = error.__traceback__.tb_next
    assert diagnosis(error)[1].endswith("Set the network's outputs to the number of targets")


def test_a_path_that_leads_to_nothing_is_a_rule_of_its_own():
    error = raised(pick, {"loss": torch.ones(())}, "losses", "loss.part")
    assert diagnosis(error)[1].startswith("loss.part (=losses) is not in a dict with 'loss' ()")


def test_a_batch_of_one_under_batch_norm_is_explained():
    error = raised(nn.BatchNorm1d(3).train(), torch.ones(1, 3))
    assert "change batch_size" in diagnosis(error)[1]


@pytest.mark.parametrize(
    "error", [MemoryError("x"), torch.OutOfMemoryError("x"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_a_status(error):
    assert diagnosis(error)[0] == "out_of_memory"


DATA = """
import torch

def load(where=(3, 7)):
    inputs = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
    inputs[list(where), 1] = float("nan")
    targets = (inputs[:, 0] > 0.5).long()
    return (inputs, targets), (inputs[:2], targets[:2])
"""


def test_a_row_that_diverged_on_inputs_that_are_no_numbers_says_so(tmp_path):
    (tmp_path / "gappy.py").write_text(DATA)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("""
data: {target: gappy:load}
seeds: 2
baseline: {model: {name: mlp, hidden: [3]}, loss: cross_entropy, optimizer: sgd, epochs: 1}
variants:
  - {name: whole, set: {data.where: []}}
""")
    bad, whole = library.run(recipe, root=tmp_path / "runs").rows
    assert bad.status == "diverged"
    values = {"count": 2, "total": 20, "split": "train", "first": 3}
    assert Note("not_finite_inputs", values=values) in bad.notes
    assert "not_finite_inputs" not in [note.kind for note in whole.notes]
    assert whole.status == "finished"
