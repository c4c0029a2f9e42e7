from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits

from ablate.data.dataset import Part
from ablate.data.load import known_spec, load_parts
from ablate.data.scikit_learn import Digits
from ablate.recipe.settings import Choice
from ablate.registry import entries


def test_digits_are_scikit_learns():
    parts = Digits(test=0.1).load()
    assert parts.test is not None
    assert parts.notes == {"samples": 1797, "train": 1258, "valid": 359, "test": 180}
    source = load_digits()
    for part in (parts.train, parts.valid, parts.test):
        assert torch.equal(part.inputs[:, 0] * 16, torch.from_numpy(source.images[part.rows]).float())
        assert torch.equal(part.targets, torch.from_numpy(source.target[part.rows]))
    assert parts.spec == Digits().spec()
    with pytest.raises(ValueError, match=r"^data\.group \(=writer\): this dataset has no groups"):
        Digits(group="writer").load()


def test_a_choice_is_loaded_by_name_and_its_facts_without_loading():
    choice = Choice("data", "digits", None, Digits(valid=0.5))
    parts = load_parts(choice, None)
    assert len(parts.valid) == 898
    assert known_spec(choice) == parts.spec
    assert known_spec(Choice("data", None, "module:function", {})) is None


def test_taking_samples_keeps_what_belongs_to_them():
    part = Part(torch.arange(4.0), torch.arange(4), rows=torch.arange(4) + 10, groups=torch.tensor([0, 0, 1, 1]))
    taken = part.take(torch.tensor([3, 0]))
    assert taken.inputs.tolist() == [3, 0]
    assert taken.rows.tolist() == [13, 10]
    assert taken.groups.tolist() == [1, 0]


def test_cataloguing_data_imports_nothing_heavy():
    code = """
import importlib, pkgutil, sys
import ablate.data
for module in pkgutil.iter_modules(ablate.data.__path__, "ablate.data."):
    importlib.import_module(module.name)
print([name for name in ("torch", "pandas", "sklearn", "numpy") if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize("entry", entries("data"), ids=lambda entry: entry.name)
def test_every_data_set_has_a_card_and_a_contract(entry):
    assert 5 <= len(entry.card.summary.split()) <= 14
    assert entry.settings.__doc__
    for name, field in entry.settings.model_fields.items():
        assert field.description, f"{name} has no description"
