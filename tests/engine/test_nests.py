"""Batches and predictions that are nests of tensors, in the style of real projects, against loops written by hand."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch
from torch.nn import functional as F

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
from ablate.recipe.fingerprint import facts

CODE = '''
"""Our own text, in the style of: a recommender, a VAE, a siamese network, a classifier of texts of variable length, a
dataclass with an image and a table, minGPT, Pytorch-UNet, a graph network, a Transformers model.
"""
import dataclasses
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset, TensorDataset

N, VALID = 40, 12

def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

def labels(count, *shape, seed=0):
    return torch.randint(count, shape, generator=torch.Generator().manual_seed(seed))

class Rows(Dataset):
    def __init__(self, rows):
        self.rows = rows
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, index):
        return self.rows[index]

# a recommender: dense and sparse features, called by name
def clicks():
    def half(n, seed):
        return {"dense": numbers(n, 5, seed=seed), "sparse": labels(7, n, 3, seed=seed), "click": labels(2, n, seed=seed).double()}
    return half(N, 1), half(VALID, 2)

class Recommender(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(7, width) for _ in range(3))
        self.dense = nn.Linear(5, width)
        self.top = nn.Linear(width * 4, 1)
    def forward(self, dense, sparse):
        parts = [table(sparse[:, i]) for i, table in enumerate(self.tables)]
        return self.top(torch.cat([self.dense(dense).relu(), *parts], 1))

# a VAE: three outputs, its own loss
def curves():
    x = numbers(N + VALID, 9)
    return Rows([{"x": one} for one in x[:N]]), Rows([{"x": one} for one in x[N:]])

class Vae(nn.Module):
    def __init__(self, hidden=4):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(9, 2 * hidden), nn.Linear(hidden, 9)
    def forward(self, x):
        mean, log = self.encoder(x).chunk(2, 1)
        return {"picture": self.decoder(mean), "mean": mean, "log": log}

def elbo(prediction, x):
    mean, log = prediction["mean"], prediction["log"]
    return F.mse_loss(prediction["picture"], x) + 0.1 * (mean**2 + log.exp() - 1 - log).mean()

def error(prediction, x):
    return (prediction["picture"] - x).abs().mean()

# pairs of pictures in a tuple
def pairs():
    x = numbers(N + VALID, 2, 8)
    y = (x[:, 0] * x[:, 1]).sum(1, keepdim=True)
    return TensorDataset(x[:N, 0], x[:N, 1], y[:N]), TensorDataset(x[N:, 0], x[N:, 1], y[N:])

class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(8, 5), nn.Linear(5, 1)
    def forward(self, pair):
        one, two = pair
        return self.head((self.body(one) - self.body(two)).abs())

# texts of different length, padded by a collate function
def texts():
    lengths = labels(6, N + VALID, seed=3) + 2
    rows = [(labels(9, int(n), seed=int(i)) + 1, int(n) % 2) for i, n in enumerate(lengths)]
    return {"train": Rows(rows[:N]), "valid": Rows(rows[N:]), "outputs": 2}

def padded(samples, value=0):
    tokens = nn.utils.rnn.pad_sequence([row for row, _ in samples], batch_first=True, padding_value=value)
    return {"tokens": tokens, "label": torch.tensor([label for _, label in samples])}

class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.top = nn.Embedding(10, 6, padding_idx=0), nn.Linear(6, 2)
    def forward(self, tokens):
        return self.top(self.table(tokens).sum(1) / (tokens > 0).sum(1, keepdim=True))

# a dataclass with an image and a table
@dataclasses.dataclass
class Patient:
    image: torch.Tensor
    table: torch.Tensor
    outcome: int = 0

def patients():
    image, table, y = numbers(N + VALID, 1, 6, 6), numbers(N + VALID, 4, seed=5), labels(3, N + VALID)
    rows = [Patient(*one) for one in zip(image, table, y.tolist())]
    return Rows(rows[:N]), Rows(rows[N:])

class Clinic(nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        side = input_shape["image"][-1]
        self.image = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(3 * (side - 2) ** 2, 5))
        self.table, self.top = nn.Linear(input_shape["table"][0], 5), nn.Linear(10, outputs)
    def forward(self, batch):
        return self.top(torch.cat([self.image(batch["image"]), self.table(batch["table"])], 1).relu())

# in the style of Transformers: an output object with logits and hidden states
@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    hidden: tuple = None

def sentences():
    ids, y = labels(11, N + VALID, 5), labels(4, N + VALID, seed=9)
    rows = [{"input_ids": a, "attention_mask": (a > 1).double(), "labels": b} for a, b in zip(ids, y)]
    return {"train": Rows(rows[:N]), "valid": Rows(rows[N:]), "outputs": 4}

# a language model: the targets are the inputs, one token later
def chunks():
    text = labels(12, N + VALID, 9)
    return {"train": (text[:N, :-1], text[:N, 1:]), "valid": (text[N:, :-1], text[N:, 1:]), "outputs": 12}

class Gpt(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.table, self.mix, self.top = nn.Embedding(12, 8), nn.Linear(8, 8), nn.Linear(8, outputs)
        self.register_buffer("mask", torch.tril(torch.ones(8, 8)))
    def forward(self, tokens):
        x = self.table(tokens)
        weights = (x @ x.transpose(1, 2)).masked_fill(self.mask == 0, -1e9).softmax(-1)
        return {"logits": self.top(self.mix(weights @ x).relu() + x).transpose(1, 2)}

# segmentation: a dict of an image and a mask, two heads
def scans():
    image = numbers(N + VALID, 1, 6, 6, seed=4)
    mask = (image[:, 0] > 0).long() + (image[:, 0] > 1).long()
    rows = [{"image": one, "mask": two, "name": "scan"} for one, two in zip(image, mask)]
    return Rows(rows[:N]), Rows(rows[N:])

class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head, self.deep = nn.Conv2d(5, 3, 1), nn.Conv2d(4, 3, 1)
    def forward(self, image):
        low = self.down(image).relu()
        return self.head(torch.cat([self.up(low), image], 1)), self.deep(low)

# graphs of different size, padded with empty nodes
def graphs():
    rows = []
    for i in range(N + VALID):
        n = 3 + i % 4
        edges = (labels(2, n, n, seed=i) + torch.eye(n)).clamp(max=1).double()
        rows.append((numbers(n, 3, seed=i), edges, edges.sum() / n**2))
    return Rows(rows[:N]), Rows(rows[N:])

def padded_graphs(rows):
    size = max(len(nodes) for nodes, _, _ in rows)
    nodes = torch.stack([nn.functional.pad(x, (0, 0, 0, size - len(x))) for x, _, _ in rows])
    edges = torch.stack([nn.functional.pad(e, (0, size - len(e), 0, size - len(e))) for _, e, _ in rows])
    return {"graph": (nodes, edges), "density": torch.stack([y for _, _, y in rows])[:, None]}

class Gcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 6), nn.Linear(6, 1)
    def forward(self, nodes, edges):
        degree = edges.sum(-1, keepdim=True).clamp(min=1)
        hidden = self.one(edges @ nodes / degree).relu()
        return self.two((edges @ hidden / degree).sum(1) / (degree > 1).sum(1).clamp(min=1))

class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.top = nn.Embedding(11, 8), nn.Linear(8, 4)
    def forward(self, input_ids=None, attention_mask=None):
        hidden = self.table(input_ids) * attention_mask[..., None]
        return Output(self.top(hidden.mean(1)), (hidden,))
'''

RECIPE = """
study: nests
seeds: 3
baseline:
  precision: float64
  shuffle: false
  stack: 3
  name: base
  data: {{target: "nests_code:{data}"}}
  model: {{target: "nests_code:{model}"}}
  loss: {loss}
  optimizer: {{name: sgd, lr: 0.1, momentum: 0}}
  batch_size: 16
  epochs: 3
  batch: {batch}
  metrics: {metrics}
"""

# data, model, loss, batch, metrics; the loop's batch → (inputs as arguments, targets), loss of the raw prediction
PROJECTS = {
    "recommender": ("clicks", "Recommender", "bce", "{inputs: [dense, sparse], targets: click, call: unpack}", "[]"),
    "vae": ("curves", "Vae", '{target: "nests_code:elbo"}', "{inputs: x, targets: x}", '[{target: "nests_code:error"}]'),
    "siamese": ("pairs", "Siamese", "mse", "{inputs: [0, 1], targets: 2}", "[rmse]"),
    "texts": ("texts", "Bag", "cross_entropy", '{inputs: tokens, targets: label, collate: {target: "nests_code:padded"}}', "[accuracy]"),
    "patients": ("patients", "Clinic", "cross_entropy", "{inputs: [image, table], targets: outcome}", "[accuracy]"),
    "gpt": ("chunks", "Gpt", "cross_entropy", "{output: logits}", "[]"),
    "unet": ("scans", "Unet", "cross_entropy", "{inputs: image, targets: mask, output: 0}", "[]"),
    "graphs": ("graphs", "Gcn", "mse", '{inputs: graph, targets: density, call: unpack, collate: {target: "nests_code:padded_graphs"}}', "[rmse]"),
    "transformer": ("sentences", "Transformer", "cross_entropy", "{inputs: [input_ids, attention_mask], targets: labels, call: unpack, output: logits}", "[accuracy]"),
}  # fmt: skip


@pytest.fixture
def code(tmp_path, monkeypatch):
    (tmp_path / "nests_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nests_code", None)
    yield importlib.import_module("nests_code")
    sys.modules.pop("nests_code", None)


def in_this_process(function, questions, failed):
    """What a helper process would answer, without starting one."""
    answers = []
    for question in questions:
        try:
            answers.append(function(*question))
        except Exception as error:
            answers.append(failed(diagnosis(error)[1]))
    return answers


def recipe(folder, name, **changes):
    fields = dict(zip(("data", "model", "loss", "batch", "metrics"), PROJECTS[name], strict=True)) | changes
    (folder / "r.yaml").write_text(RECIPE.format(**fields))
    return folder / "r.yaml"


def forwarded(code, name, network, rows):
    """The raw prediction and the targets of a batch, as a loop by hand has them; ``rows`` are samples."""

    def together(values):
        return torch.stack([torch.as_tensor(value) for value in values])

    match name:
        case "recommender":
            dense, sparse, click = (together(row[key] for row in rows) for key in ("dense", "sparse", "click"))
            return network(dense, sparse), click[:, None]
        case "vae":
            x = together(row["x"] for row in rows)
            return network(x), x
        case "siamese":
            one, two, y = map(together, zip(*rows, strict=True))
            return network((one, two)), y
        case "texts":
            batch = code.padded(rows)
            return network(batch["tokens"]), batch["label"]
        case "patients":
            image, table = together(row.image for row in rows), together(row.table for row in rows)
            return network({"image": image, "table": table}), together(row.outcome for row in rows)
        case "gpt":
            tokens, following = map(together, zip(*rows, strict=True))
            return network(tokens)["logits"], following
        case "unet":
            return network(together(row["image"] for row in rows))[0], together(row["mask"] for row in rows)
        case "graphs":
            batch = code.padded_graphs(rows)
            return network(*batch["graph"]), batch["density"]
        case "transformer":
            batch = {key: together(row[key] for row in rows) for key in rows[0]}
            return network(batch["input_ids"], attention_mask=batch["attention_mask"]).logits, batch["labels"]


LOSSES = {"bce": F.binary_cross_entropy_with_logits, "mse": F.mse_loss, "cross_entropy": F.cross_entropy}


def by_hand(code, name, seed):
    """The losses of each epoch of a loop written out."""
    data, model, loss, _, _ = PROJECTS[name]
    made = getattr(code, data)()
    splits = [made["train"], made["valid"]] if isinstance(made, dict) else list(made)
    if name == "recommender":
        splits = [[dict(zip(half, row, strict=True)) for row in zip(*half.values(), strict=True)] for half in splits]
    if name == "gpt":
        splits = [list(zip(*half, strict=True)) for half in splits]
    splits = [[half[i] for i in range(len(half))] for half in splits]
    seed_globals(seed, "model")
    arguments = {"Clinic": ({"image": (1, 6, 6), "table": (4,)}, 3), "Gpt": (12,)}.get(model, ())
    network = getattr(code, model)(*arguments).double()
    criterion = LOSSES.get(loss) or code.elbo
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    found = []
    for _ in range(3):
        network.train()
        total = 0.0
        for start in range(0, code.N, 16):
            rows = splits[0][start : start + 16]
            optimizer.zero_grad()
            value = criterion(*forwarded(code, name, network, rows))
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        network.eval()
        with torch.no_grad():
            prediction, targets = forwarded(code, name, network, splits[1])
            found.append((total / code.N, criterion(prediction, targets).item()))
    return found


@pytest.mark.parametrize("name", PROJECTS)
def test_losses_are_those_of_a_loop_by_hand_alone_and_in_a_stack(name, code, tmp_path, heard):
    settings = Recipe.load(recipe(tmp_path, name)).variants[0].settings
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    for seeds in ((0,), (0, 1, 2)):
        if name in ("texts", "graphs") and len(seeds) > 1:  # padded differently: its seeds are trained one by one
            continue
        report = heard()
        train(Assignment(settings, seeds, tmp_path), parts, report)
        assert list(report.facts.stack) == [list(seeds)]
        for place, seed in enumerate(seeds):
            ours = [(line["train_loss"], line["valid_loss"]) for line in report.lines[place]]
            for mine, expected in zip(ours, by_hand(code, name, seed), strict=True):
                assert mine == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recommender", "texts", "transformer"])
def test_each_is_planned_and_run(name, code, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe(tmp_path, name)
    assert run_command(["plan", "r.yaml"]) == 0, capsys.readouterr().err
    assert run_command(["run", "r.yaml", "--no-mlflow"]) == 0
    assert "3 to train" in capsys.readouterr().err
    assert run_command(["table", "r.yaml", "--format", "csv"]) == 0
    assert ",finished,3," in capsys.readouterr().out


CLICKS = "{inputs: [dense, sparse], targets: click, call: unpack}"
MORE = """
def ragged():
    return Rows([(torch.ones(i % 3 + 1), 0.5) for i in range(9)]), Rows([(torch.ones(2), 0.5)] * 3)
def flat(samples):
    return torch.cat([x for x, _ in samples]), torch.tensor([y for _, y in samples])
def bare():
    return Rows([{"x": torch.ones(2), "y": 1.0}] * 9), Rows([{"x": torch.ones(2), "y": 1.0}] * 3)
"""
WRONG = {
    "a part that samples do not have": (
        "recommender", {"batch": "{inputs: [dense, spares], targets: click}"},
        "batch.inputs (=spares) is not in a dict with 'dense' (40, 5), 'sparse' (40, 3) and 'click' (40,)",
    ),
    "a dict without batch": ("vae", {"batch": "{}"}, "sample 0 is a dict with 'x' (9,). It must be (input, target), or batch.inputs"),
    "targets that are not named": ("vae", {"batch": "{inputs: x}"}, "or batch.targets must name a part of it"),
    "samples of different length": ("vae", {"data": "ragged", "batch": "{}", "model": "Siamese"}, "All samples must have the same shape and type, or be collated (batch.collate)"),
    "a collated batch without an axis of samples": (
        "vae", {"data": "ragged", "batch": '{collate: {target: "nests_code:flat"}}'},
        "batch.collate returned a tensor of shape (2,) for 1 samples. The first axis of every tensor must be the samples",
    ),
    "a collate function that does not exist": ("texts", {"batch": '{collate: {target: "nests_code:pad"}}'}, "batch.collate.target (=nests_code:pad) is not defined in"),
    "a collate module that does not exist": ("texts", {"batch": '{collate: {target: "missing_code:pad"}}'}, "batch.collate.target (=missing_code:pad)"),
    "collate without a target": ("texts", {"batch": "{collate: {value: 0}}"}, "batch.collate (={value: 0}) must have the form {target: module:function}"),
    "an unknown key": ("vae", {"batch": "{input: x}"}, "batch.input is not a setting of batch. Did you mean 'inputs'?"),
    "not a mapping": ("vae", {"batch": "64"}, "batch (=64) must be a mapping, such as {inputs: image, targets: label}; the number of samples per step is batch_size."),
    "an output that is not there": ("transformer", {"batch": "{inputs: [input_ids, attention_mask], targets: labels, call: unpack, output: logit}"}, "batch.output (=logit) is not in an Output with 'logits'"),
    "a built-in loss of several outputs": ("vae", {"loss": "mse", "metrics": "[]"}, "loss (=mse) requires predictions that are one tensor, but the network returns a dict with 'picture'"),
    "a built-in metric of several outputs": ("vae", {"metrics": "[rmse]"}, "metric (=rmse) requires predictions that are one tensor"),
    "a built-in model of several inputs": ("recommender", {"model": "mlp", "batch": "{inputs: [dense, sparse], targets: click}"}, "model (=mlp) requires inputs that are one tensor, but they are a dict with 'dense' (5,) and 'sparse' (3,)"),
    "a built-in loss of several targets": ("recommender", {"batch": "{inputs: dense, targets: [click, sparse]}"}, "loss (=bce) requires targets that are one tensor"),
    "unpacked, but only one": ("vae", {"batch": "{inputs: x, targets: x, call: unpack}"}, "batch.call (=unpack) requires several inputs, but they are a tensor"),
    "a name that the network does not take": ("recommender", {"batch": "{inputs: [dense, click], targets: click, call: unpack}"}, "unexpected keyword argument 'click'"),
    "an init that adapts to data": ("recommender", {"metrics": "[]\n  init: lsuv"}, "init (=lsuv) requires inputs that are one tensor"),
    "a negative place": ("siamese", {"batch": "{inputs: -1, targets: 2}"}, "batch.inputs (=-1)"),
    "built-in data": ("recommender", {"data": None}, "batch.inputs requires data with a target. Remove it."),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_said_by_plan_in_one_line(wrong, tmp_path, capsys, monkeypatch):
    name, changes, message = WRONG[wrong]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(networks, "asked", lambda *question: in_this_process(*question))
    (tmp_path / "nests_code.py").write_text(CODE + MORE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("nests_code", None)
    path = recipe(tmp_path, name, **{key: value for key, value in changes.items() if value})
    text = path.read_text()
    text = text.replace('{target: "nests_code:mlp"}', "mlp")
    path.write_text(
        text.replace('{target: "nests_code:clicks"}', "digits") if "data" in changes and not changes["data"] else text
    )
    assert run_command(["plan", "r.yaml"]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len([one for one in captured.err.splitlines() if message in one]) == 1
    assert "bug in ablate" not in captured.err
    sys.modules.pop("nests_code", None)


@pytest.mark.parametrize(
    ("trick", "works"), [("flip", False), ("random_erasing", False), ("mixup", False), ("class_weights", True), ("label_smoothing", True), ("weight_decay", True), ("ema", True)]
)  # fmt: skip
def test_tricks_on_several_inputs(trick, works, code, tmp_path, heard):
    """Those of images say why not; those of targets, weights and losses work, alone and in a stack."""
    path = recipe(tmp_path, "patients")
    path.write_text(path.read_text() + f"variants: [{{name: trick, add: [{trick}]}}]\n")
    settings = Recipe.load(path).variants[1].settings
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    if not works:
        with pytest.raises(
            ValueError, match=rf"trick \(={trick}\) requires inputs that are one tensor, but they are a dict"
        ):
            train(Assignment(settings, (0,), tmp_path), parts, heard())
        return
    alone, stack = heard(), heard()
    train(Assignment(settings, (1,), tmp_path), parts, alone)
    train(Assignment(settings, (0, 1, 2), tmp_path), parts, stack)
    for mine, other in zip(alone.lines[0], stack.lines[1], strict=True):
        assert mine["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-9)


def test_batches_that_are_collated_do_not_stack(code, tmp_path, heard):
    settings = Recipe.load(recipe(tmp_path, "texts")).variants[0].settings
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    with pytest.raises(CannotStack, match=r"batch\.collate"):
        assemble(Assignment(settings, (0, 1), tmp_path), parts)


def test_the_form_of_batches_is_in_the_fingerprint_and_its_absence_is_not(code, tmp_path):
    def known(**changes):
        return facts(Recipe.load(recipe(tmp_path, "vae", **changes)).variants[0].settings, folder=tmp_path)

    assert "batch" not in known(batch="{}")["settings"]
    assert known()["settings"]["batch"]["inputs"] == "x"
    text = (tmp_path / "nests_code.py").read_text()
    before = (
        known(batch='{collate: {target: "other_code:pad"}}')
        if (tmp_path / "other_code.py").write_text("def pad(rows): return rows\n")
        else None
    )
    (tmp_path / "other_code.py").write_text("def pad(rows): return rows[:]\n")
    assert before["code"] != known(batch='{collate: {target: "other_code:pad"}}')["code"]
    assert text


AIRBENCH = """
study: airbench
seeds: 3
baseline:
  name: base
  precision: float64
  shuffle: false
  stack: 3
  data: {target: "airbench_code:pictures"}
  model: {target: "airbench_code:Net"}
  loss: {target: "airbench_code:smoothed"}
  optimizer:
    name: several
    parts:
      - {match: "2d", use: {name: sgd, lr: {linear: [0.2, 0]}, momentum: 0.6, nesterov: true}}
      - {use: {target: "torch.optim:SGD", lr: 0.05}}
  batch_size: 16
  steps: 7
  metrics: [accuracy]
  batch: {inputs: image, targets: label}
"""

AIRBENCH_CODE = """
import torch
from torch import nn
from torch.nn import functional as F

def pictures():
    make = torch.Generator().manual_seed(0)
    image, label = torch.rand(52, 3, 8, 8, generator=make, dtype=torch.float64), torch.arange(52) % 10
    return {"image": image[:40], "label": label[:40]}, {"image": image[40:], "label": label[40:]}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 12, 2, bias=True)
        self.whiten.weight.requires_grad_(False)
        self.block, self.norm, self.head = nn.Conv2d(12, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 10, bias=False)
    def forward(self, image):
        x = F.gelu(self.norm(self.block(F.gelu(self.whiten(image)))))
        return self.head(x.amax((2, 3))) / 9

def smoothed(prediction, label):
    return F.cross_entropy(prediction, label, label_smoothing=0.2)
"""


def test_a_speed_run_with_two_optimizers_and_a_number_of_steps(tmp_path, heard, monkeypatch):
    """The tenth project, in the style of airbench: frozen whitening, two optimizers, 7 steps of 3 in an epoch."""
    (tmp_path / "airbench_code.py").write_text(AIRBENCH_CODE)
    (tmp_path / "r.yaml").write_text(AIRBENCH)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = Recipe.load(tmp_path / "r.yaml").variants[0].settings
    code = importlib.import_module("airbench_code")
    parts = load_parts(settings.data, tmp_path, double=True, form=settings.batch)
    train_half, valid_half = code.pictures()
    for seeds in ((0,), (0, 1, 2)):
        report = heard()
        train(Assignment(settings, seeds, tmp_path), parts, report)
        for place, seed in enumerate(seeds):
            seed_globals(seed, "model")
            network = code.Net().double()
            wide = [p for p in network.parameters() if p.dim() > 1 and p.requires_grad]
            flat = [p for p in network.parameters() if p.dim() < 2]
            one = torch.optim.SGD(wide, 0.2, momentum=0.6, nesterov=True)
            two = torch.optim.SGD(flat, 0.05)
            found, step = [], 0
            while step < 7:
                network.train()
                total = seen = 0.0
                for rows in torch.arange(40).split(16)[: 7 - step]:
                    one.param_groups[0]["lr"] = 0.2 * (1 - step / 6)
                    network.zero_grad()
                    loss = code.smoothed(network(train_half["image"][rows]), train_half["label"][rows])
                    loss.backward()
                    one.step()
                    two.step()
                    total, seen, step = total + loss.item() * len(rows), seen + len(rows), step + 1
                network.eval()
                with torch.no_grad():
                    valid = code.smoothed(network(valid_half["image"]), valid_half["label"]).item()
                found.append((total / seen, valid))
            ours = [(line["train_loss"], line["valid_loss"]) for line in report.lines[place]]
            assert len(ours) == len(found) == 3
            for mine, expected in zip(ours, found, strict=True):
                assert mine == pytest.approx(expected, rel=1e-6)
