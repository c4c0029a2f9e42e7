"""Networks that compute their own loss, against loops written by hand in float64, and with a kill in the middle."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from ablate.cli.app import run_command
from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.construction import seed_globals
from ablate.engine.contract import Assignment
from ablate.engine.replicas import CannotStack
from ablate.engine.training import train
from ablate.planning import networks
from ablate.planning.failure_reason import diagnosis
from ablate.recipe import Recipe

CODE = """
import dataclasses
from typing import Optional
import torch
from torch import nn
from torch.nn import functional as F

N, VALID = 40, 12

def sentences():
    make = torch.Generator().manual_seed(1)
    ids, labels = torch.randint(11, (N + VALID, 5), generator=make), torch.randint(3, (N + VALID,), generator=make)
    both = {"input_ids": ids, "attention_mask": (ids > 1).double(), "labels": labels}
    return {"train": {k: v[:N] for k, v in both.items()}, "valid": {k: v[N:] for k, v in both.items()}, "outputs": 3}

@dataclasses.dataclass
class Output:
    loss: Optional[torch.Tensor]
    logits: torch.Tensor

class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.top = nn.Embedding(11, 8), nn.Linear(8, 3)
    def logits(self, ids, mask):
        return self.top((self.table(ids) * mask[..., None]).mean(1))
    def loss(self, logits, labels):
        return None if labels is None else F.cross_entropy(logits, labels) + 0.01 * logits.square().mean()

class Objects(Body):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.logits(input_ids, attention_mask)
        return Output(self.loss(logits, labels), logits)

class Dicts(Body):
    def forward(self, batch, labels=None):
        logits = self.logits(batch["input_ids"], batch["attention_mask"])
        return {"logits": logits} if labels is None else {"loss": self.loss(logits, labels), "logits": logits}

class Tuples(Body):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.logits(input_ids, attention_mask)
        return (logits,) if labels is None else (self.loss(logits, labels), logits)

class MinGpt(Body):
    def forward(self, batch, labels=None):
        logits = self.logits(batch["input_ids"], batch["attention_mask"])
        return logits, self.loss(logits, labels)

class Branches(Dicts):
    def forward(self, batch, labels=None):
        if labels is not None and labels.sum() < 0:
            raise ValueError
        return super().forward(batch, labels)

def bert():
    from transformers import BertConfig, BertForSequenceClassification
    config = BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                        num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return BertForSequenceClassification(config)

# what cannot be
class Without(Body):
    def forward(self, batch, labels=None):
        return {"logits": self.logits(batch["input_ids"], batch["attention_mask"])}
class Several(Dicts):
    def loss(self, logits, labels):
        return None if labels is None else F.cross_entropy(logits, labels, reduction="none")
class Noisy(Dicts):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout(0.1)
    def logits(self, ids, mask):
        return self.drop(super().logits(ids, mask))
def pairs():
    made = sentences()
    rows = {k: [({n: v[i] for n, v in made[k].items() if n != "labels"}, made[k]["labels"][i]) for i in range(len(made[k]["labels"]))]
            for k in ("train", "valid")}
    return rows | {"outputs": 3}
class Unasked(Body):
    def forward(self, batch):
        return self.logits(batch["input_ids"], batch["attention_mask"])
"""

RECIPE = """
study: own losses
seeds: 3
baseline:
  precision: float64
  shuffle: false
  stack: 3
  name: base
  data: {{target: "loss_code:{data}"}}
  model: {model}
  loss: {loss}
  optimizer: {{name: sgd, lr: 0.1, momentum: 0.5}}
  batch_size: 16
  epochs: 3
  batch: {batch}
  metrics: [accuracy]
{more}
"""

ONE = "{inputs: [input_ids, attention_mask], targets: labels, output: logits}"
NAMED = "{inputs: [input_ids, attention_mask], targets: labels, call: unpack, output: logits}"
FIRST = "{inputs: [input_ids, attention_mask], targets: labels, call: unpack, output: 0}"

# model → loss, batch, whether its seeds stack, the loss and the logits as a loop by hand has them
KINDS = {
    "Objects": ("from_model", NAMED, lambda net, ids, mask, y: (lambda out: (out.loss, out.logits))(net(ids, mask, y))),
    "Dicts": ("from_model", ONE, lambda net, ids, mask, y: tuple(net({"input_ids": ids, "attention_mask": mask}, y).values())),
    "Tuples": ("from_model", FIRST, lambda net, ids, mask, y: net(ids, mask, labels=y)),
    "MinGpt": ("{name: from_model, part: 1}", ONE.replace("logits", "0"), lambda net, ids, mask, y: net({"input_ids": ids, "attention_mask": mask}, y)[::-1]),
    "Branches": ("from_model", ONE, lambda net, ids, mask, y: tuple(net({"input_ids": ids, "attention_mask": mask}, y).values())),
    "bert": ("from_model", NAMED, lambda net, ids, mask, y: (lambda out: (out.loss, out.logits))(net(ids, mask, labels=y))),
}  # fmt: skip


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "loss_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("loss_code", None)
    yield importlib.import_module("loss_code")
    sys.modules.pop("loss_code", None)


def prepared(folder, model, loss="from_model", batch=ONE, more="", data="sentences"):
    named = model if model == "mlp" else f'{{target: "loss_code:{model}"}}'
    (folder / "r.yaml").write_text(RECIPE.format(data=data, model=named, loss=loss, batch=batch, more=more))
    return folder / "r.yaml"


def training(folder, model, seeds, report, resume=None, more=""):
    loss, batch, _ = KINDS[model]
    settings = Recipe.load(prepared(folder, model, loss, batch, more)).variants[-1].settings
    parts = load_parts(settings.data, folder, double=True, form=settings.batch)
    train(Assignment(settings, seeds, folder), parts, report, resume)
    return report


def by_hand(code, model, seed, size=16):
    """Training loss, validation loss and accuracy of each epoch of a loop written out."""
    made, computed = code.sentences(), KINDS[model][2]
    seed_globals(seed, "model")
    network = getattr(code, model)().double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.5)
    train, valid = (tuple(made[half].values()) for half in ("train", "valid"))
    found = []
    for _ in range(3):
        network.train()
        total = 0.0
        for start in range(0, code.N, size):
            rows = [values[start : start + size] for values in train]
            optimizer.zero_grad()
            loss, _ = computed(network, *rows)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows[0])
        network.eval()
        with torch.no_grad():
            loss, logits = computed(network, *valid)
        found.append((total / code.N, loss.item(), (logits.argmax(1) == valid[2]).double().mean().item()))
    return found


@pytest.mark.parametrize("model", KINDS)
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_losses_are_those_of_a_loop_by_hand_alone_and_in_a_stack(model, seeds, code, tmp_path, heard):
    report = training(tmp_path, model, seeds, heard())
    for place, seed in enumerate(seeds):
        ours = [(line["train_loss"], line["valid_loss"], line["accuracy"]) for line in report.lines[place]]
        for mine, expected in zip(ours, by_hand(code, model, seed), strict=True):
            assert mine == pytest.approx(expected, rel=1e-6)
    if len(seeds) > 1:
        stacked = [list(one) for one in report.facts.stack] == [[0, 1, 2]]
        reasons = [note.values["reason"] for note in report.facts.notes if note.kind == "not_stacked"]
        assert stacked == (model not in ("Branches", "bert"))
        assert any("branches on a tensor" in one for one in reasons) or model != "Branches"


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("killed", [1, 2])
def test_a_training_that_was_killed_goes_on_bit_by_bit(seeds, killed, code, tmp_path, heard):
    class Kept(heard):
        def due(self, epoch):
            return epoch == killed

        def checkpoint(self, state):
            torch.save(dict(state), tmp_path / "state.pt")

    whole = training(tmp_path, "Objects", seeds, Kept())
    resumed = training(tmp_path, "Objects", seeds, heard(), torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.outcomes == whole.outcomes
    for which, weights in whole.kept.items():
        assert all(torch.equal(value, resumed.kept[which][name]) for name, value in weights.items())


def test_batches_of_a_step_count_by_their_samples(code, tmp_path, heard):
    """40 samples in batches of 16, 16 and 8: a step of all three has the gradient of the mean over 40."""
    report = training(tmp_path, "Dicts", (0,), heard(), more="variants: [{name: one, add: [{accumulate: 3}]}]")
    for line, expected in zip(report.lines[0], by_hand(code, "Dicts", 0, size=40), strict=True):
        assert line["train_loss"] == pytest.approx(expected[0], rel=1e-6)
        assert line["valid_loss"] == pytest.approx(expected[1], rel=1e-6)


def test_tricks_on_the_loss_and_averaged_weights_work(code, tmp_path, heard):
    more = "variants: [{name: more, add: [ema, weight_decay, {l1: 0.01}]}]"
    alone = training(tmp_path, "Objects", (1,), heard(), more=more)
    stack = training(tmp_path, "Objects", (0, 1), heard(), more=more)
    for mine, other in zip(alone.lines[0], stack.lines[1], strict=True):
        assert mine["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-9)


def in_this_process(function, questions, failed):
    answers = []
    for question in questions:
        try:
            answers.append(function(*question))
        except Exception as error:
            answers.append(failed(diagnosis(error)[1]))
    return answers


WRONG = {
    "no loss": ({"model": "Without"}, "loss (=from_model) requires a network that returns its loss, a 0-d tensor, when it is called with the targets, but it returns a dict with 'logits' ("),
    "a loss of each sample": ({"model": "Several"}, "but it returns a tensor of shape (16,) as its loss. Set loss.part to the place of the loss, or use another loss"),
    "a network that takes no targets": ({"model": "Unasked"}, "loss (=from_model) requires a network that accepts the targets, but Unasked.forward takes"),
    "a part that is not there": ({"model": "Dicts", "loss": "{name: from_model, part: losses}"}, "loss.part (=losses) is not in a dict with 'loss' () and 'logits' ("),
    "a built-in network": ({"model": "mlp", "batch": "{inputs: input_ids, targets: labels}"}, "loss (=from_model) requires a network that computes its own loss, but model (=mlp) does not. Use a model with a target, or another loss."),
    "targets without a name": ({"model": "Objects", "data": "pairs", "batch": "{call: unpack, output: logits}"}, "loss (=from_model) with batch.call (=unpack) requires a name for the targets, but batch.targets is not set"),
    "predictions that change after the loss": ({"model": "Noisy", "more": "variants: [{name: more, add: [mc_dropout]}]"}, "trick (=mc_dropout) cannot be combined with loss (=from_model)"),
    "a metric of all that it returns": ({"model": "Dicts", "batch": "{inputs: [input_ids, attention_mask], targets: labels}"}, "metric (=accuracy) requires predictions that are one tensor, but the network returns a dict with 'logits'"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_by_plan_in_one_line(wrong, code, tmp_path, capsys, monkeypatch):
    changes, message = WRONG[wrong]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "asked", lambda *question: in_this_process(*question))
    prepared(tmp_path, **changes)
    assert run_command(["plan", "r.yaml"]) == 2
    said = capsys.readouterr().err
    assert len([one for one in said.splitlines() if message in one]) == 1, said
    assert "bug in ablate" not in said


def test_a_network_whose_seeds_branch_on_targets_does_not_stack(code, tmp_path):
    settings = Recipe.load(prepared(tmp_path, "Branches")).variants[0].settings
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    with pytest.raises(CannotStack, match="branches on a tensor's value"):
        assemble(Assignment(settings, (0, 1), tmp_path), parts)


@pytest.mark.slow
def test_it_is_run_and_the_trained_network_predicts_without_targets(code, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path, "Objects", batch=NAMED)
    assert run_command(["plan", "r.yaml"]) == 0, capsys.readouterr().err
    assert run_command(["run", "r.yaml", "--no-mlflow"]) == 0
    import ablate

    trained = ablate.load("r.yaml", "base", 0)
    sample = {
        "input_ids": torch.zeros(2, 5, dtype=torch.int64),
        "attention_mask": torch.ones(2, 5, dtype=torch.float64),
    }
    assert trained.eval()(sample).shape == (2, 3)
    assert run_command(["ensemble", "r.yaml"]) != 0
    assert "loss (=from_model) is unknown for the mean prediction" in capsys.readouterr().err
