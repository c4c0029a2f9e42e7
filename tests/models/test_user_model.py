"""A network by target: it is called with its arguments, and with the sizes that its signature asks for."""

from __future__ import annotations

import textwrap

import pytest
import torch

from ablate.models.user import build_target
from ablate.recipe.settings import Choice

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, outputs, width=3):
        super().__init__()
        self.sizes = (input_shape, outputs, width)

class Plain(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width

def function(outputs):
    return nn.Linear(4, outputs)

def tensor():
    return torch.zeros(3)

def anything(**rest):
    net = nn.Identity()
    net.rest = rest
    return net

number = 3
"""


@pytest.fixture
def choose(tmp_path):
    (tmp_path / "user_networks_of_a_test.py").write_text(textwrap.dedent(CODE))

    def build(attribute, **options):
        return build_target(
            Choice("model", None, f"user_networks_of_a_test:{attribute}", options), tmp_path, (1, 8, 8), 5
        )

    return build


def test_a_class_gets_the_sizes_that_its_constructor_names(choose):
    assert choose("Net", width=7).sizes == ((1, 8, 8), 5, 7)


def test_a_class_that_does_not_ask_gets_only_its_arguments(choose):
    assert choose("Plain", width=7).width == 7
    assert choose("anything", width=7).rest == {"width": 7}


def test_a_function_may_ask_for_one_of_them(choose):
    assert choose("function").weight.shape == (5, 4)


def test_the_recipes_arguments_win(choose):
    assert choose("function", outputs=2).weight.shape == (2, 4)


def test_a_layer_of_torch_can_be_the_network(tmp_path):
    layer = build_target(
        Choice("model", None, "torch.nn:Linear", {"in_features": 2, "out_features": 3}), tmp_path, (2,), 3
    )
    assert isinstance(layer, torch.nn.Linear)


@pytest.mark.parametrize(
    ("attribute", "options", "message"),
    [
        (
            "tensor",
            {},
            r"model\.target \(=user_networks_of_a_test:tensor\) must return an nn\.Module, but returned a Tensor",
        ),
        ("Plain", {}, r"cannot be called with the recipe's arguments: missing a required argument: 'width'"),
        ("Plain", {"widht": 3, "width": 2}, r"got an unexpected keyword argument 'widht'"),
        ("number", {}, r"must be a class or function"),
        ("Nett", {}, r"has no attribute 'Nett'"),
    ],
)
def test_errors_are_one_line(choose, attribute, options, message):
    with pytest.raises(ValueError, match=message) as error:
        choose(attribute, **options)
    assert "\n" not in str(error.value)
