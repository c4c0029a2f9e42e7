"""What a plan finds out about networks, in a helper process, and keeps."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace

import pytest

from ablate.planning import helper_process, networks
from ablate.planning.estimates import Estimates
from ablate.planning.helper_process import asked
from ablate.planning.networks import Network, known_networks, network_facts
from ablate.planning.plan import make_plan
from ablate.planning.plan_summary import outlook
from ablate.recipe import Recipe
from ablate.store.store import Store

RECIPE = """
study: own
data: digits
seeds: 3
baseline:
  name: plain
  model: {target: "nets:Plain"}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 1
variants:
  - {name: memory, set: {model: {target: "nets:Memory"}}}
  - {name: picky, from: plain, set: {model: {target: "nets:Picky"}}}
  - {name: alone, from: memory, set: {stack: "off", optimizer.lr: 0.2}}
"""

NETS = """
import atexit, os
from torch import nn

os.write(1, b"caf\\xe9, in Latin-1")
atexit.register(print, "more, after the answers")

class Plain(nn.Sequential):
    def __init__(self, outputs):
        super().__init__(nn.Flatten(), nn.Linear(64, outputs))

class Memory(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 6, batch_first=True), nn.Linear(6, outputs)
    def forward(self, x):
        return self.out(self.lstm(x[:, 0])[0][:, -1])

class Picky(Plain):
    def forward(self, x):
        return super().forward(x.missing)
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "own.yaml").write_text(RECIPE)
    return make_plan(Recipe.load(tmp_path / "own.yaml"), Store(tmp_path / "store"))


def test_a_plan_knows_size_work_and_what_cannot_stack(plan, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    assert known_networks(plan, store) == {}, "no process is started for it"
    facts = network_facts(plan, store)
    work = pytest.approx(64 * 640 / 1e6)
    assert replace(facts["plain"], receptive_field=None) == Network(parameters=650, work=work)
    assert "aten::lstm" in facts["memory"].stack_reason
    assert facts["alone"].stack_reason is None, "no stack is wanted there"
    assert "'Tensor' object has no attribute 'missing' (nets.py, line 21, in forward)" in facts["picky"].error
    kept = json.loads((store.study_folder("own") / "networks.json").read_text())
    assert {tuple(one) for one in kept.values()} == {
        ("parameters", "receptive_field", "work", "stack_reason", "moves_away", "repeats"),
        ("error",),
    }
    monkeypatch.setattr(networks, "ask", lambda *_: pytest.fail("asked again"))
    assert network_facts(plan, store) == facts
    known = known_networks(plan, store)
    assert {run.variant.name: known[run.identity] for run in plan.runs} == facts


def test_networks_that_differ_in_the_learning_rate_are_described_once(plan, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        networks,
        "asked",
        lambda function, questions, failed: [asked.append(q) or Network(parameters=1) for q in questions],
    )
    text = (
        RECIPE.replace('{target: "nets:Plain"}', "mlp").partition("variants:")[0]
        + """variants:
  - {name: fast, set: {optimizer.lr: 0.2}}
  - {name: slow, set: {optimizer.lr: 0.05}}
  - {name: wide, from: plain, set: {model: {name: mlp, hidden: [9]}}}
  - {name: scheduled, from: plain, set: {optimizer.lr: {linear: [0.1, 0.01]}}}
  - {name: memory, set: {model: {target: "nets:Memory"}}}
  - {name: memory fast, set: {optimizer.lr: 0.2}}
"""
    )
    (tmp_path / "own.yaml").write_text(text)
    facts = network_facts(
        make_plan(Recipe.load(tmp_path / "own.yaml"), Store(tmp_path / "store")), Store(tmp_path / "s")
    )
    assert len(facts) == 7
    assert len(asked) == 5, "plain, fast and slow are one question; custom code may see its learning rate"


def test_several_processes_answer_in_order_and_fail_alone(monkeypatch):
    monkeypatch.setattr(helper_process, "WORTHWHILE", 2)
    monkeypatch.setattr(helper_process, "cores", lambda: 3)
    questions = [(n,) for n in (1, 4, 9, 16, 25, 36, 49)]
    assert asked(math.isqrt, questions, str) == [1, 2, 3, 4, 5, 6, 7]
    wrong = asked(math.isqrt, [(4,), (-1,), (9,)], lambda error: f"failed: {error}")
    assert [wrong[0], wrong[2]] == [2, 3]
    assert "failed: isqrt() argument must be nonnegative" in wrong[1]
    assert asked(sys.exit, [("gone",)] * 4, str) == ["SystemExit: gone"] * 4
    dead = asked(os._exit, [(5,)] * 4, str)
    assert dead == ["exit code 5"] * 4


JOINED = """
study: joined
data: digits
baseline:
  name: all
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 1
variants:
  - {name: own, set: {model: {target: "nets:Gone"}}}
  - {name: both, from: all, joined: [all, own]}
"""


def test_a_joined_row_says_what_is_wrong_with_a_member(tmp_path):
    (tmp_path / "nets.py").write_text("import torch\nclass Gone(torch.nn.Module):\n    def __init__(self): self.lost\n")
    (tmp_path / "joined.yaml").write_text(JOINED)
    store = Store(tmp_path / "store")
    plan = make_plan(Recipe.load(tmp_path / "joined.yaml"), store)
    seen = {row.variant: row.error for row in outlook(plan, store, networks=True).rows}
    assert seen["all"] is None
    assert "has no attribute 'lost'" in seen["own"]
    assert seen["both"] == seen["own"]


def test_folds_of_one_seed_are_no_stack_that_could_not_be(plan, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    monkeypatch.setattr(
        networks, "ask", lambda _, settings: [Network(parameters=1, stack_reason="lstm") for _ in settings]
    )
    (tmp_path / "own.yaml").write_text(RECIPE + "folds: 3\n")
    for seeds, reason in ((1, None), (2, "lstm")):
        made = make_plan(Recipe.load(tmp_path / "own.yaml", seeds=seeds), store)
        assert {row.stack_reason for row in outlook(made, store, networks=True).rows} == {reason}


def test_a_size_that_is_not_known_stops_no_plan(plan, tmp_path):
    store = Store(tmp_path / "store")
    facts = {run.fingerprint: {"parameters": None, "stack_reason": None, "moves_away": []} for run in plan.runs}
    store.write_json(store.study_folder("own") / "networks.json", facts)
    assert Estimates(plan, store).cost(plan.runs[0]) == 1.0


def test_what_was_found_before_stacks_were_looked_at_is_looked_for_again(plan, tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    names = {run.variant.name: run.fingerprint for run in reversed(plan.runs)}
    path = store.study_folder("own") / "networks.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({names["plain"]: {"parameters": 1, "receptive_field": None}, names["picky"]: {"error": "broken"}})
    )
    monkeypatch.setattr(networks, "ask", lambda recipe, settings: [Network(parameters=2) for _ in settings])
    facts = network_facts(plan, store)
    assert facts["plain"].parameters == 2
    assert facts["picky"] == Network(error="broken")
    assert json.loads(path.read_text())[names["picky"]] == {"error": "broken"}


def test_a_pattern_that_takes_no_parameter_is_found(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "data: digits\nbaseline: {name: plain, model: mlp, loss: cross_entropy, optimizer: {name: sgd, groups: [{match: 'conv*', lr: 0.1}]}}\n"
        "variants: [{name: right, set: {optimizer.groups: [{match: 'out*', lr: 0.1}]}}]\n"
    )
    recipe = Recipe.load(tmp_path / "own.yaml")
    wrong, right = recipe.variants
    with pytest.raises(ValueError, match=r"optimizer.groups.0.match \(=conv\*\) matches no remaining parameters"):
        networks.describe(wrong.settings, tmp_path, None, {})
    assert networks.describe(right.settings, tmp_path, None, {}).parameters


def test_an_init_that_finds_nothing_to_set_is_found(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "data: digits\nbaseline: {name: plain, model: mlp, init: zero_gamma, loss: cross_entropy, optimizer: sgd}\n"
        "variants: [{name: lone, set: {model: autoencoder, init: {name: output_bias, of: zero_gamma}}},"
        " {name: right, set: {model: resnet, init: {name: output_bias, of: zero_gamma}}}]\n"
    )
    plain, lone, right = Recipe.load(tmp_path / "own.yaml").variants
    for variant in (plain, lone):
        with pytest.raises(ValueError, match="zero_gamma has no effect: the network has no residual branch"):
            networks.describe(variant.settings, tmp_path, None, {})
    assert networks.describe(right.settings, tmp_path, None, {}).parameters
