"""Weight decay as a trick: a rule on settings that reaches the optimizer's groups."""

from __future__ import annotations

import pytest
import torch

from ablate.optimizers.build import parameter_groups
from ablate.recipe.settings import Choice, Settings
from ablate.registry import lookup
from ablate.tricks.trick import NoEffect

WEIGHT_DECAY = lookup("trick", "weight_decay").settings


def settings(name="sgd", **options):
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init", "loss")}
    optimizer = Choice("optimizer", name, None, lookup("optimizer", name).settings(**options))
    return Settings(**choices, optimizer=optimizer)


def groups(settings):
    """What torch's optimizer holds: for each group, the parameters' names and the decay."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    named = settings.optimizer.options
    optimizer = named.build(parameter_groups(named, model.named_parameters()))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [([names[id(p)] for p in group["params"]], group["weight_decay"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_the_rate_reaches_the_optimizer(name):
    before = settings(name, lr=0.05)
    after = WEIGHT_DECAY(rate=0.02).on_settings(before)
    assert groups(after) == [(["0.weight", "0.bias", "1.weight", "1.bias"], 0.02)]
    assert after.optimizer.options.lr == 0.05
    assert before.optimizer.options.weight_decay == 0


def test_biases_and_norms_can_be_left_out():
    after = WEIGHT_DECAY(rate=0.02, biases_and_norms=False).on_settings(settings())
    assert groups(after) == [(["0.bias", "1.weight", "1.bias"], 0), (["0.weight"], 0.02)]
    assert after.dump()["optimizer"]["groups"] == [{"match": "1d", "lr": None, "weight_decay": 0.0}]


def test_a_schedule_is_handed_on():
    after = WEIGHT_DECAY(rate={"linear": [0, 0.1]}).on_settings(settings())
    assert after.dump()["optimizer"]["weight_decay"] == {"linear": [0.0, 0.1], "per": "step"}


def test_the_same_again_is_no_effect():
    once = WEIGHT_DECAY(rate=0.02, biases_and_norms=False).on_settings(settings())
    with pytest.raises(NoEffect, match=r"is already 0\.02"):
        WEIGHT_DECAY(rate=0.02, biases_and_norms=False).on_settings(once)
    assert WEIGHT_DECAY(rate=0.03).on_settings(once).optimizer.options.weight_decay == 0.03


def test_groups_of_the_recipe_are_not_cut_up():
    grouped = settings(groups=[{"match": "0.*", "lr": 0.001}])
    assert WEIGHT_DECAY().on_settings(grouped).optimizer.options.weight_decay == 1e-4
    with pytest.raises(
        ValueError, match=r"weight_decay\.biases_and_norms \(=False\) cannot be combined with optimizer\.groups"
    ):
        WEIGHT_DECAY(biases_and_norms=False).on_settings(grouped)


def test_an_optimizer_of_the_users_own_is_refused():
    own = settings().replace(optimizer=Choice("optimizer", None, "mine:Optimizer", {}))
    able = r"Use one of adadelta, adagrad, adam, adamax, adamw, .*sgd, vsgd, or set it there"
    with pytest.raises(ValueError, match=r"cannot change the weight decay of optimizer \(=Optimizer\)\. " + able):
        WEIGHT_DECAY().on_settings(own)
