"""An `IterableDataset` as the training set, against loops written by hand in float64, and with a kill in the middle."""

from __future__ import annotations

import importlib
import random
import sys
from itertools import chain, count, islice

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ablate.cli.app import run_command
from ablate.data import iterable
from ablate.data.load import load_parts
from ablate.engine.assembly import assemble
from ablate.engine.construction import seed_globals
from ablate.engine.contract import Assignment
from ablate.engine.replicas import CannotStack
from ablate.engine.training import train
from ablate.planning import networks
from ablate.planning.failure_reason import diagnosis
from ablate.recipe import Recipe
from ablate.rng.noise import key

CODE = '''
import random
from itertools import count

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

WEIGHT = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)

def sample(x):
    return {"x": x, "y": (x @ WEIGHT)[None]}

class Endless(IterableDataset):
    """Draws from all three global generators, and seeds one of its own as torch's documentation shows."""
    def __iter__(self):
        own = torch.Generator().manual_seed(torch.initial_seed())
        for _ in count():
            x = torch.randn(3, dtype=torch.float64) + np.random.rand() + random.random()
            yield sample(x + torch.rand(3, generator=own, dtype=torch.float64))

class Finite(IterableDataset):
    """21 samples in another order in each pass; 32 are taken in an epoch."""
    def __init__(self, size=21):
        self.size = size
    def __iter__(self):
        order = torch.randperm(self.size)
        for number in order.tolist():
            yield sample(torch.arange(3, dtype=torch.float64).sin() * number / 9)

class Ragged(IterableDataset):
    def __iter__(self):
        for number in count():
            yield torch.randn(number % 4 + 1, dtype=torch.float64), number % 2

class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, index):
        return self.rows[index]

class Valid(IterableDataset):
    def __iter__(self):
        for number in range(6):
            yield sample(torch.arange(3, dtype=torch.float64) - number)

def endless():
    return Endless(), Rows(list(Valid()))

def finite():
    return Finite(), Valid()

def ragged():
    return {"train": Ragged(), "valid": Rows([(torch.ones(2, dtype=torch.float64), 1), (torch.ones(3, dtype=torch.float64), 0)]), "outputs": 2}

def padded(samples):
    x = nn.utils.rnn.pad_sequence([x for x, _ in samples], batch_first=True)
    return {"x": torch.nn.functional.pad(x, (0, 4 - x.shape[1])), "y": torch.tensor([y for _, y in samples])}

class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 1)
    def forward(self, x):
        return self.two(self.one(x).tanh())

class Four(nn.Module):
    def __init__(self):
        super().__init__()
        self.top = nn.Linear(4, 2)
        self.drop = nn.Dropout(0.3)
    def forward(self, x):
        return self.top(self.drop(x) + torch.rand(1, dtype=x.dtype))  # draws from the global generator, too

# what cannot be
def infinite_valid():
    return Endless(), Endless()
class Itself(IterableDataset):
    def __iter__(self):
        return self
    def __next__(self):
        return sample(torch.ones(3, dtype=torch.float64))
def itself():
    return Itself(), Valid()
def empty():
    return Finite(0), Valid()
def map_style():
    return Rows(list(Valid())), Valid()
class Labels(IterableDataset):
    def __iter__(self):
        while True:
            yield torch.ones(3, dtype=torch.float64), 1
def uncounted():
    return Labels(), Rows([(torch.ones(3, dtype=torch.float64), 1)])
class Own(IterableDataset):
    made = torch.Generator()
    def __iter__(self):
        while True:
            yield sample(torch.randn(3, generator=self.made, dtype=torch.float64))
def own():
    return Own(), Valid()
'''

RECIPE = """
study: streams
seeds: 3
baseline:
  precision: float64
  name: base
  data: {{target: "stream_code:{data}"}}
  model: {{target: "stream_code:{model}"}}
  loss: {loss}
  optimizer: {{name: sgd, lr: 0.05, momentum: 0.5}}
  batch_size: 8
  epochs: 3
  batch: {batch}
{more}
"""

NAMED = "{inputs: x, targets: y, per_epoch: 4}"


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "stream_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("stream_code", None)
    yield importlib.import_module("stream_code")
    sys.modules.pop("stream_code", None)


def recipe(folder, data="endless", model="Line", loss="mse", batch=NAMED, more=""):
    (folder / "r.yaml").write_text(RECIPE.format(data=data, model=model, loss=loss, batch=batch, more=more))
    return Recipe.load(folder / "r.yaml")


def training(folder, report, seeds, resume=None, **changes):
    settings = recipe(folder, **changes).variants[-1].settings
    parts = load_parts(settings.data, folder, double=True, form=settings.batch)
    train(Assignment(settings, seeds, folder), parts, report, resume)
    return report


def passes(dataset, seed):
    """Every sample of a seed, in a list of its own generators: the rule of docs/recipe.md, written out."""
    for number in count():
        torch.manual_seed(start := key(seed, f"data/pass/{number}"))
        np.random.seed(start % 2**32)
        random.seed(start)
        yield from dataset


def by_hand(code, data, seed):
    made = getattr(code, data)()
    samples = list(islice(passes(made[0], seed), 3 * 32))
    valid = [torch.stack([row[name] for row in code.Valid()]) for name in ("x", "y")]
    seed_globals(seed, "model")
    network = code.Line().double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.5)
    found = []
    for epoch in range(3):
        total = 0.0
        for start in range(epoch * 32, epoch * 32 + 32, 8):
            rows = samples[start : start + 8]
            optimizer.zero_grad()
            loss = F.mse_loss(network(torch.stack([row["x"] for row in rows])), torch.stack([row["y"] for row in rows]))
            loss.backward()
            optimizer.step()
            total += loss.item() / 4
        with torch.no_grad():
            found.append((total, F.mse_loss(network(valid[0]), valid[1]).item()))
    return found


@pytest.mark.parametrize("data", ["endless", "finite"])
def test_losses_are_those_of_a_loop_by_hand_for_each_seed(data, code, tmp_path, heard):
    before = torch.get_rng_state()
    report = training(tmp_path, heard(), (0, 1), data=data)
    torch.set_rng_state(before)
    for place, seed in enumerate((0, 1)):
        ours = [(line["train_loss"], line["valid_loss"]) for line in report.lines[place]]
        for mine, expected in zip(ours, by_hand(code, data, seed), strict=True):
            assert mine == pytest.approx(expected, rel=1e-6)


RAGGED = {"data": "ragged", "model": "Four", "loss": "cross_entropy"}
RAGGED["batch"] = '{inputs: x, targets: y, per_epoch: 4, collate: {target: "stream_code:padded"}}'


@pytest.mark.parametrize("changes", [{}, {"data": "finite"}, RAGGED], ids=["endless", "finite", "ragged"])
@pytest.mark.parametrize("killed", [1, 2])
def test_a_training_that_was_killed_goes_on_bit_by_bit(changes, killed, code, tmp_path, heard):
    class Kept(heard):
        def due(self, epoch):
            return epoch == killed

        def checkpoint(self, state):
            torch.save(dict(state), tmp_path / "state.pt")

    whole = training(tmp_path, Kept(), (0, 1), **changes)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = training(tmp_path, heard(), (0, 1), state, **changes)

    def numbers(lines):
        return [{name: value for name, value in line.items() if name not in ("time", "seconds")} for line in lines]

    for seed in (0, 1):
        assert numbers(resumed.lines[seed]) == numbers(whole.lines[seed])[killed:]
    assert resumed.outcomes == whole.outcomes
    for which, weights in whole.kept.items():
        assert all(torch.equal(value, resumed.kept[which][name]) for name, value in weights.items())


def test_a_seed_does_not_depend_on_the_others_and_seeds_differ(code, tmp_path, heard):
    together = training(tmp_path, heard(), (0, 1))
    alone = training(tmp_path, heard(), (1,))
    losses = [[line["train_loss"] for line in lines] for lines in chain(together.lines.values(), alone.lines.values())]
    assert losses[1] == losses[2] != losses[0]
    settings = recipe(tmp_path).variants[0].settings
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    with pytest.raises(CannotStack, match="its own order"):
        assemble(Assignment(settings, (0, 1), tmp_path), parts)


def test_tricks_without_positions_work_and_an_accumulated_step_takes_its_batches(code, tmp_path, heard):
    more = "variants: [{name: all, add: [{accumulate: 2}, ema]}]"
    report = training(tmp_path, heard(), (0,), more=more)
    assert report.facts.steps_per_epoch == 2
    assert len(report.lines[0]) == 3


def in_this_process(function, questions, failed):
    answers = []
    for question in questions:
        try:
            answers.append(function(*question))
        except Exception as error:
            answers.append(failed(diagnosis(error)[1]))
    return answers


WRONG = {
    "no length of an epoch": ({"batch": "{inputs: x, targets: y}"}, "train is an IterableDataset, so the length of an epoch is unknown. Set batch.per_epoch"),
    "an infinite validation set": ({"data": "infinite_valid"}, "valid (=Endless) must be finite and fit in memory, but has more than 1,000 samples"),
    "an iterator instead of an iterable": ({"data": "itself"}, "__iter__ must return a new iterator, but it returns the dataset itself"),
    "an empty stream": ({"data": "empty"}, "train yields no samples in iteration 1"),
    "batches of an epoch of a map-style dataset": ({"data": "map_style"}, "batch.per_epoch (=4) requires an IterableDataset as training set. Remove it"),
    "no batches": ({"batch": "{inputs: x, targets: y, per_epoch: 0}"}, "batch.per_epoch (=0) must be at least 1"),
    "classes that cannot be counted": ({"data": "uncounted", "batch": "{per_epoch: 4}", "loss": "cross_entropy"}, "cannot count the classes of an IterableDataset. Return 'outputs'"),
    "an order": ({"more": "  shuffle: false"}, "batch.per_epoch (=4) reads an IterableDataset in its own order, so shuffle (=false) has no effect. Remove shuffle."),
    "workers": ({"more": "  workers: 2"}, "so workers (=2) has no effect. Remove workers."),
    "resident": ({"more": "  loader: resident"}, "so loader (=resident) has no effect. Remove loader."),
    "a trick that needs positions": ({"more": "variants: [{name: some, add: [{train_fraction: 0.5}]}]"}, "trick (=train_fraction) requires a training set with positions, but it is an IterableDataset"),
    "folds": ({"more": "folds: 3"}, "is streamed and cannot be split into folds"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_by_plan_in_one_line(wrong, code, tmp_path, capsys, monkeypatch):
    changes, message = WRONG[wrong]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "asked", lambda *question: in_this_process(*question))
    monkeypatch.setattr(iterable, "MOST", 1000)
    fields = {"data": "endless", "model": "Line", "loss": "mse", "batch": NAMED, "more": ""} | changes
    (tmp_path / "r.yaml").write_text(RECIPE.format(**fields))
    assert run_command(["plan", "r.yaml"]) == 2
    said = capsys.readouterr().err
    assert len([one for one in said.splitlines() if message in one]) == 1, said
    assert "bug in ablate" not in said


def test_plan_and_table_note_a_stream_that_is_not_paired(code, tmp_path, capsys, monkeypatch, heard):
    note = "the training stream differs if it is read again with the same seed"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "asked", lambda *question: in_this_process(*question))
    for data, noted in (("own", True), ("endless", False)):
        report = training(tmp_path, heard(), (0,), data=data)
        assert ("not_repeatable" in [one.kind for one in report.facts.notes]) == noted
        assert run_command(["plan", "r.yaml"]) == 0
        captured = capsys.readouterr()
        assert (note in captured.err) == noted
        assert "Each seed reads the IterableDataset in its own order" in captured.err


@pytest.mark.slow
def test_a_stream_is_run_and_its_table_printed(code, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, data="own")
    assert run_command(["run", "r.yaml", "--no-mlflow"]) == 0
    assert run_command(["table", "r.yaml", "--notes"]) == 0
    assert "the training stream differs" in "".join(capsys.readouterr())
