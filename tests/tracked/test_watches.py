"""What is watched, against a plain loop in float64 that computes the same numbers by hand; alone and in a stack of
three seeds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Part, Parts, Spec
from ablate.engine.assembly import assemble
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.recipe.fingerprint import fingerprint
from ablate.recipe.settings import Choice, Settings
from ablate.registry import entries, lookup
from ablate.tracked.activations import alive_units
from ablate.tricks.trick import Context

EPOCHS, BATCH, SEEDS = 3, 8, (0, 1, 2)
LAYERS = ("conv1", "hidden1", "output")
RELUS = ("conv_act1", "hidden_act1")
EVERYTHING = [
    ("gradient_norm", {}),
    ("update_ratio", {}),
    ("dead_relus", {"samples": 12}),
    ("activation_variance", {"samples": 12}),
    ("confidence", {}),
    ("near_zero", {"below": 0.05}),
    ("train_valid_ratio", {}),
    ("jitter", {"epochs": 2}),
    ("speed", {}),
]


def choice(kind: str, name: str, **options: Any) -> Choice:
    return Choice(kind, name, None, lookup(kind, name).settings(**options))


def settings(watch=EVERYTHING, tricks=(), **fields: Any) -> Settings:
    base: dict[str, Any] = {
        "data": choice("data", "digits"),
        "model": choice("model", "convnet", channels=[4], kernels=[3], hidden=[12]),
        "init": choice("init", "he_normal"),
        "loss": choice("loss", "cross_entropy"),
        "optimizer": choice("optimizer", "sgd", lr=0.3, momentum=0.9),
        "watch": tuple(choice("watch", name, **options) for name, options in watch),
        "tricks": tuple(choice("trick", name, **options) for name, options in tricks),
        "batch_size": BATCH,
        "epochs": EPOCHS,
        "precision": "float64",
    }
    return Settings(**(base | fields))


@pytest.fixture
def data() -> Parts:
    draw = torch.Generator().manual_seed(3)

    def part(n: int) -> Part:
        return Part(torch.rand(n, 1, 8, 8, generator=draw).double(), torch.randint(0, 3, (n,), generator=draw))

    return Parts(part(36), part(20), Spec((1, 8, 8), 3, "classification", ("a", "b", "c")))


class Report:
    """Keeps the lines of each seed, and the states after each epoch."""

    def __init__(self) -> None:
        self.lines: dict[int, list[dict[str, Any]]] = {}
        self.states: list[Any] = []
        self.last: dict[int, Any] = {}

    def started(self, facts): ...

    def epoch(self, replica, line):
        self.lines.setdefault(replica, []).append(dict(line))

    def due(self, epoch):
        return True

    def checkpoint(self, state):
        import copy

        self.states.append(copy.deepcopy(state))

    def weights(self, replica, which, state):
        if which == "last":
            self.last[replica] = state

    def ended(self, replica, outcome): ...


def run(settings: Settings, data: Parts, seeds=(0,), resume=None) -> Report:
    report = Report()
    train(Assignment(settings, seeds, Path()), data, report, resume)
    return report


def by_hand(data: Parts, seed: int, limit: float | None = None) -> list[dict[str, float]]:
    """The numbers of each epoch from a loop that knows nothing of stacks, hooks or devices."""
    made = assemble(Assignment(settings(watch=()), (seed,), Path()), data)
    net: nn.Module = made.network.double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    lines: list[dict[str, float]] = []
    losses: list[float] = []
    for epoch in range(1, EPOCHS + 1):
        sums: dict[str, list[float]] = {}
        order = made.order(epoch)
        net.train()
        for rows in order.split(BATCH):
            loss = nn.functional.cross_entropy(net(data.train.inputs[rows]), data.train.targets[rows])
            optimizer.zero_grad()
            loss.backward()
            total = 0.0
            for layer in LAYERS:
                own = sum(float((p.grad**2).sum()) for p in net.get_submodule(layer).parameters())
                sums.setdefault(f"gradient_norm/{layer}", []).append(own**0.5)
                total += own
            sums.setdefault("gradient_norm", []).append(total**0.5)
            if limit is not None:
                for p in net.parameters():
                    p.grad *= min(1.0, limit / (total**0.5 + 1e-6))
            before = {layer: net.get_submodule(layer).weight.detach().clone() for layer in LAYERS}
            optimizer.step()
            ratios = []
            for layer in LAYERS:
                moved = float(((net.get_submodule(layer).weight.detach() - before[layer]) ** 2).sum()) ** 0.5
                ratios.append(moved / float((before[layer] ** 2).sum()) ** 0.5)
                sums.setdefault(f"update_ratio/{layer}", []).append(ratios[-1])
            sums.setdefault("update_ratio", []).append(sum(ratios) / len(ratios))
        line = {name: sum(values) / len(values) for name, values in sums.items()}
        net.eval()
        with torch.no_grad():
            outputs = net(data.valid.inputs)
            clean = float(nn.functional.cross_entropy(net(data.train.inputs), data.train.targets))
            losses.append(float(nn.functional.cross_entropy(outputs, data.valid.targets)))
            x, out = data.train.inputs[[i * 3 for i in range(12)]], {}
            for name, layer in net.named_children():
                x = out[name] = layer(x)
        line["train_valid_ratio"] = clean / losses[-1]
        if epoch > 1:
            line["jitter"] = abs(losses[-1] - losses[-2]) / 2**0.5
        sizes = torch.cat([net.get_submodule(layer).weight.detach().abs().flatten() for layer in LAYERS])
        line["near_zero"] = float((sizes < 0.05).double().mean())
        p = outputs.softmax(1).numpy()
        line |= {"confidence": p.max(1).mean(), "confidence_spread": p.max(1).std()}
        line["entropy"] = -(p * np.log(p)).sum(1).mean()
        dead, units = 0, 0
        for name in RELUS:
            seen = out[name].numpy()
            seen = seen.max(axis=tuple(i for i in range(seen.ndim) if i != 1))
            line[f"dead_relus/{name}"] = float((seen == 0).mean())
            dead, units = dead + int((seen == 0).sum()), units + len(seen)
            line[f"activation_variance/{name}"] = float(np.var(out[name].numpy()))
        line["dead_relus"] = dead / units
        line["activation_variance"] = float(np.mean([line[f"activation_variance/{name}"] for name in RELUS]))
        lines.append(line)
    return lines


def agree(found: list[dict[str, Any]], expected: list[dict[str, float]], names=None) -> None:
    for line, numbers in zip(found, expected, strict=True):
        for name, value in numbers.items():
            if names is None or name.partition("/")[0] in names:
                assert line[name] == pytest.approx(value, rel=1e-9, abs=1e-12), name
        assert ("jitter" in line) == ("jitter" in numbers)


@pytest.mark.parametrize("stack", ["off", 3])
def test_every_number_is_what_a_plain_loop_finds_for_each_seed(stack, data):
    report = run(settings(stack=stack), data, SEEDS)
    for replica, seed in enumerate(SEEDS):
        agree(report.lines[replica], by_hand(data, seed))
    # seeds differ, so that numbers that mixed them would show
    assert len({report.lines[i][0]["gradient_norm"] for i in range(3)}) == 3
    assert any(line["dead_relus"] > 0 for lines in report.lines.values() for line in lines)


def test_the_gradient_is_seen_before_it_is_clipped(data):
    clipped = settings(
        [("gradient_norm", {}), ("update_ratio", {}), ("jitter", {"epochs": 2})], [("clip_norm", {"limit": 0.1})]
    )
    names = {"gradient_norm", "update_ratio"}
    agree(run(clipped, data).lines[0], by_hand(data, 0, limit=0.1), names)


@pytest.mark.parametrize("stack", ["off", 3])
def test_watching_changes_nothing(stack, data):
    tricks = [("dropout", {}), ("max_norm", {"limit": 0.5})]
    plain, seen = (run(settings(watch, tricks, stack=stack), data, SEEDS) for watch in ((), EVERYTHING))
    for replica in range(3):
        for one, other in zip(plain.lines[replica], seen.lines[replica], strict=True):
            assert all(other[name] == one[name] for name in ("train_loss", "valid_loss", "lr"))
        for name, value in plain.last[replica].items():
            assert torch.equal(value, seen.last[replica][name])


@pytest.mark.parametrize("stack", ["off", 3])
def test_a_resumed_training_goes_on_watching_as_if_nothing_had_been(stack, data):
    whole = run(settings(stack=stack), data, SEEDS)
    rest = run(settings(stack=stack), data, SEEDS, resume=whole.states[0])
    timed = {"time", "seconds", "epoch_seconds", "samples_per_second", "peak_memory_mib"}
    for replica in range(3):
        for one, other in zip(whole.lines[replica][1:], rest.lines[replica], strict=True):
            assert {k: v for k, v in one.items() if k not in timed} == {
                k: v for k, v in other.items() if k not in timed
            }


def test_a_resumed_training_may_watch_something_else(data):
    whole = run(settings([("gradient_norm", {})]), data)
    rest = run(settings([("jitter", {})]), data, resume=whole.states[0])
    assert "jitter" not in rest.lines[0][0]
    assert rest.lines[0][1]["jitter"] > 0


def test_steps_between_measured_ones_are_left_out(data):
    # 36 samples in batches of 8 are five steps, of which two thirds are not looked at: 0 and 3 are
    first = run(settings([("gradient_norm", {"every": 3, "per_layer": False})], epochs=1), data).lines[0][0]
    each = by_steps(data)
    assert first["gradient_norm"] == pytest.approx((each[0] + each[3]) / 2, rel=1e-9)
    assert not any("/" in name for name in first)


def by_steps(data: Parts) -> list[float]:
    made = assemble(Assignment(settings(watch=()), (0,), Path()), data)
    net, found = made.network.double(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for rows in made.order(1).split(BATCH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(data.train.inputs[rows]), data.train.targets[rows]).backward()
        found.append(float(sum((p.grad**2).sum() for p in net.parameters()) ** 0.5))
        optimizer.step()
    return found


def test_a_unit_is_dead_when_no_sample_and_no_place_switches_it_on():
    maps = torch.zeros(2, 3, 2, 2)
    maps[1, 0, 1, 1] = 0.1
    assert alive_units(maps).tolist() == [True, False, False]
    assert alive_units(torch.tensor([[0.0, 1.0], [0.0, 0.0]])).tolist() == [False, True]


def test_a_network_without_relus_has_no_share_of_dead_ones(data):
    tanh = choice("model", "mlp", hidden=[4], activation="tanh")
    line = run(settings([("dead_relus", {}), ("activation_variance", {})], model=tanh, epochs=1), data).lines[0][0]
    assert "dead_relus" not in line
    assert line["activation_variance"] > 0


def test_speed_counts_the_samples_of_all_seeds(data):
    lines = run(settings([("speed", {})], stack=3, epochs=1), data, SEEDS).lines
    first = lines[0][0]
    assert first["samples_per_second"] * first["epoch_seconds"] == pytest.approx(3 * 36)
    assert first["peak_memory_mib"] > 10


def test_confidence_of_one_output_is_that_of_two_classes():
    watch = lookup("watch", "confidence").settings()
    watch.bind(Context(Spec((1,), 1, "classification", ("no", "yes")), (0,), 1, 1), 3)
    watch.on_valid(torch.tensor([[0.0], [1000.0], [-2.0]]), torch.tensor([0, 1, 0]))
    values = watch.on_epoch(1, {})
    p = 1 / (1 + np.exp(-2.0))
    assert float(values["confidence"]) == pytest.approx((0.5 + 1 + p) / 3)
    assert float(values["entropy"]) == pytest.approx((np.log(2) - p * np.log(p) - (1 - p) * np.log(1 - p)) / 3)


def test_what_is_watched_does_not_make_a_run_another(tmp_path):
    assert fingerprint(settings(), 0, folder=tmp_path) == fingerprint(settings(()), 0, folder=tmp_path)


def test_no_two_watches_measure_the_same_name():
    names = [name for entry in entries("watch") for name in entry.settings.names]
    assert len(names) == len(set(names))
    assert all(entry.settings.names for entry in entries("watch"))


@pytest.mark.parametrize("stack", ["off", 3])
def test_rates_are_recorded_as_applied(stack, data):
    falling = {"linear": [0.2, 0.1], "per": "epoch"}
    sgd = choice("optimizer", "sgd", lr=falling, momentum=0.8, groups=[{"match": "output*", "lr": 0.05}])
    lines = run(settings((), optimizer=sgd, stack=stack), data, SEEDS).lines[1]
    assert [line["lr"] for line in lines] == pytest.approx([0.2, 0.15, 0.1])
    assert {(line["momentum"], line["lr/output*"]) for line in lines} == {(0.8, 0.05)}
    adam = choice("optimizer", "adam", lr=0.01)
    assert run(settings((), optimizer=adam, stack=stack), data, SEEDS).lines[0][0]["momentum"] == pytest.approx(0.9)
