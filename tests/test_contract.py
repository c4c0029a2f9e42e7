"""The contract of everything in the registry: each entry is tested as soon as it is registered.

Tricks are run in process: two seeds, two batches, 8×8 images, with the hooks called in the order that
`ablate.tricks.trick` documents, and with the settings in `Trick.examples`. Other kinds need a line in ``EXAMPLES`` only
if some field has no default.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ablate.data.dataset import Batch, Keypoints, Part, Parts, Spec
from ablate.layers.branches import ResidualBlock
from ablate.layers.dropout import NoisyDropout, noisy_layers, replace_dropout
from ablate.optimizers.build import parameter_groups, rate_setter, value_setter
from ablate.recipe.settings import Choice, Settings
from ablate.registry import KINDS, Entry, entries, lookup
from ablate.rng.noise import Noise
from ablate.schedules import parse_schedule
from ablate.tricks.trick import Context, Trick, overrides

FOLDER = tempfile.TemporaryDirectory()
WEIGHTS = Path(FOLDER.name) / "weights.pt"
"""Weights of two layers of `pictures_network`: the file ``weights.pt`` of examples."""

EXAMPLES: dict[tuple[str, str], dict] = {
    ("optimizer", "several"): {"parts": [{"match": "2d", "use": "muon"}, {"use": {"name": "sgd", "lr": 0.1}}]},
    ("schedule", "constant"): {"value": 0.1},
    ("schedule", "linear"): {"ends": [0.1, 0.01]},
    ("schedule", "cosine"): {"ends": [0.1, 0.01]},
    ("schedule", "exponential"): {"start": 0.1, "gamma": 0.9},
    ("schedule", "step"): {"start": 0.1, "gamma": 0.5, "size": 3},
    ("schedule", "multistep"): {"start": 0.1, "gamma": 0.5, "milestones": [3, "80%"]},
    ("schedule", "polynomial"): {"ends": [0.1, 0.01], "power": 0.9},
    ("schedule", "one_cycle"): {"values": [0.01, 0.1, 0.001], "rise": "40%"},
    ("schedule", "cosine_restarts"): {"ends": [0.1, 0.01], "period": "20%", "factor": 2},
    ("schedule", "formula"): {"formula": "0.1 * 0.95 ** epoch"},
    ("schedule", "points"): {"points": [[0, 0.1], ["50%", 0.2]]},
    ("data", "csv"): {"path": "table.csv", "target": "price"},
    ("data", "images"): {"path": "pets"},
    ("data", "npz"): {"path": "arrays.npz"},
    ("loss", "multi_task"): {"tasks": [{"outputs": 2}, {"loss": "cross_entropy", "outputs": 3, "weight": 0.5}]},
    ("trainer", "joined"): {"members": ["eyes", "mouth"]},
    ("trainer", "command"): {"command": "python train.py --lr {lr}"},
    ("trainer", "target"): {"target": "train:main"},
    ("schedule", "warmup"): {"warmup": 2, "then": {"linear": [0.1, 0]}},
}
"""Settings of those that have a field without a default."""

SOURCED = ("trick", "watch", "optimizer", "init", "loss", "model")
"""Kinds whose cards must say where the thing comes from."""

FULL = ("optimizer", "schedule", "trick", "watch")
"""Kinds whose cards have every heading."""

ALL = entries()


@pytest.fixture(autouse=True, scope="session")
def weights_to_start_from():
    draw = torch.Generator().manual_seed(5)
    shapes = {"conv1.weight": (4, 1, 3, 3), "hidden1.weight": (8, 36), "hidden1.bias": (8,)}
    torch.save({name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}, WEIGHTS)


named = pytest.mark.parametrize("entry", ALL, ids=lambda entry: f"{entry.kind}-{entry.name}")


def example(entry: Entry):
    if entry.kind == "trick":
        return entry.settings(**entry.settings.examples[0])
    return entry.settings(**EXAMPLES.get((entry.kind, entry.name), {}))


@named
def test_it_has_a_card(entry):
    card = entry.card
    assert 4 <= len(card.summary.split()) <= 16
    assert card.summary.endswith(".")
    assert card.source or entry.kind not in SOURCED
    assert entry.kind not in FULL or (card.source and card.helps and card.costs and card.interacts)
    for text in (card.summary, card.source, card.helps, card.costs, card.interacts):
        assert "\n" not in text
    assert entry.version >= 1
    assert entry.settings.__doc__


@named
def test_its_settings_are_read_back_from_what_they_write(entry):
    settings = example(entry)
    read = parse_schedule if entry.kind == "schedule" else entry.settings.model_validate
    again = read(settings.dump())
    assert again == settings
    assert again.dump() == settings.dump()


@named
def test_its_settings_are_frozen_and_refuse_unknown_keys(entry):
    settings = example(entry)
    with pytest.raises(ValueError, match="unheard_of"):
        entry.settings(**settings.model_dump(), unheard_of=1)
    field = next(iter(entry.settings.model_fields), None)
    if field is not None:
        with pytest.raises(ValueError, match="frozen"):
            setattr(settings, field, getattr(settings, field))


@named
def test_its_shorthand_is_a_field(entry):
    assert entry.settings.shorthand is None or entry.settings.shorthand in entry.settings.model_fields


@named
def test_its_fields_say_what_they_are(entry):
    for name, field in entry.settings.model_fields.items():
        assert field.description or entry.kind == "schedule", f"{name} has no description"


def test_every_kind_has_entries():
    assert {entry.kind for entry in ALL} == set(KINDS)


def test_the_catalogue_needs_no_heavy_module():
    heavy = ("torch", "mlflow", "sklearn", "pandas", "scipy", "matplotlib")
    code = f"import sys, ablate.registry as r; r.entries(); print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


# networks, initial values, optimizers


@pytest.mark.parametrize("entry", entries("model"), ids=lambda entry: entry.name)
def test_a_network_is_the_same_on_the_meta_device(entry):
    model = example(entry).build((1, 12, 12), 3)
    with torch.device("meta"):
        meta = example(entry).build((1, 12, 12), 3)
    assert {name: p.shape for name, p in model.named_parameters()} == {
        name: p.shape for name, p in meta.named_parameters()
    }
    assert all(p.is_meta for p in meta.parameters())
    assert model(torch.rand(2, 1, 12, 12)).shape == ((2, 3, 12, 12) if entry.settings.places else (2, 3))
    assert not any(name.isdigit() for name, _ in model.named_children()), "layers need telling names"


@pytest.mark.parametrize(
    "entry", [entry for entry in entries("optimizer") if entry.name != "several"], ids=lambda entry: entry.name
)
def test_an_optimizer_lowers_a_loss_and_holds_its_scheduled_rate(entry):
    settings = entry.settings(**EXAMPLES.get(("optimizer", entry.name), {}), lr={"linear": [0.01, 0.002]})
    model = network()
    optimizer = settings.build(parameter_groups(settings, model.named_parameters(), epochs=20, steps_per_epoch=1))
    set_values = value_setter(optimizer, settings, 20, 1)
    inputs, targets = torch.rand(16, 1, 8, 8), torch.rand(16, 4)
    losses = []
    for step in range(20):
        set_values(step)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 - 0.008 * step / 19)
        loss = nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


# tricks

MARKS = Keypoints(((0, 1),), ("left", "right"), centre=4.0, scale=4.0, frame=8)
BATCHES, N, SEEDS = 2, 6, (0, 1)


@dataclass(frozen=True)
class World:
    """What a trick is run in: data, a network of one or more kinds of layers, and a loss."""

    spec: Spec
    loss: Callable[..., torch.Tensor] = nn.functional.mse_loss

    epochs: int = 1
    dropout: bool = False

    @property
    def context(self) -> Context:
        return Context(self.spec, (0,), self.epochs, BATCHES, samples=BATCHES * N)

    def network(self, seed: int = 0) -> nn.Sequential:
        model = pictures_network() if len(self.spec.input_shape) == 3 else volumes_network()
        if self.dropout:
            layers = OrderedDict(model.named_children())
            model = nn.Sequential(OrderedDict(dropped=NoisyDropout(0.5), **layers))
        lookup("init", "he_normal").settings().apply(model, seed)
        return model

    def data(self) -> Parts:
        draw = torch.Generator().manual_seed(0)

        def part(n: int) -> Part:
            inputs, targets = torch.rand(n, *self.spec.input_shape, generator=draw), torch.rand(n, 4, generator=draw)
            # classes of unlike size
            return Part(inputs, (targets[:, 0] * 3).round().long() if self.spec.classes else targets * 2 - 1)

        return Parts(part(BATCHES * N), part(N), self.spec)


PICTURES = World(Spec((1, 8, 8), 4, "regression", keypoints=MARKS))
NUMBERS = World(Spec((1, 8, 8), 4, "regression"))
CLASSES = World(Spec((1, 8, 8), 4, "classification", classes=tuple("abcd")), nn.functional.cross_entropy)
VOLUMES = World(Spec((1, 8, 8, 8), 4, "regression"))
LONG = World(PICTURES.spec, epochs=3)
DROPPED = World(PICTURES.spec, dropout=True)

WORLDS = {
    "images": PICTURES,
    "numbers": NUMBERS,
    "classes": CLASSES,
    "volumes": VOLUMES,
    "epochs": LONG,
    "dropout": DROPPED,
}
"""The values of `Trick.example_needs`."""


def world(name: str) -> World:
    return WORLDS[lookup("trick", name).settings.example_needs]


CASES = [(entry.name, fields) for entry in entries("trick") for fields in entry.settings.examples]


def cases(hook: str | None = None, *, stacked: bool = False) -> pytest.MarkDecorator:
    """Every trick with its settings; those with their own version of a hook; those that see a whole stack."""
    chosen = []
    for name, fields in CASES:
        trick = lookup("trick", name).settings
        if (hook is None or getattr(trick, hook) is not getattr(Trick, hook)) and (
            not stacked or (trick.stacked and trick.stacks is True)
        ):
            chosen.append(pytest.param(name, fields, id=name))
    return pytest.mark.parametrize(("name", "fields"), chosen)


every_trick = cases()


def pictures_network() -> nn.Sequential:
    layers = {
        "conv1": nn.Conv2d(1, 4, 3),
        "norm1": nn.BatchNorm2d(4),
        "conv_act1": nn.ReLU(),
        "pool1": nn.MaxPool2d(2),
        "block1": ResidualBlock(nn.Sequential(OrderedDict(conv=nn.Conv2d(4, 4, 3, padding=1)))),
        "flatten": nn.Flatten(),
        "hidden1": nn.Linear(36, 8),
        "hidden_act1": nn.ReLU(),
        "output": nn.Linear(8, 4),
    }
    return nn.Sequential(OrderedDict(layers))


def volumes_network() -> nn.Sequential:
    layers = {
        "conv1": nn.Conv3d(1, 4, 3),
        "conv_act1": nn.ReLU(),
        "pool1": nn.MaxPool3d(2),
        "flatten": nn.Flatten(),
        "output": nn.Linear(108, 4),
    }
    return nn.Sequential(OrderedDict(layers))


def network(seed: int = 0) -> nn.Sequential:
    return PICTURES.network(seed)


def settings(epochs: int = 1) -> Settings:
    choices = {kind: Choice(kind, None, "a:b", {}) for kind in ("data", "model", "init")}
    for kind, name, fields in (("loss", "cross_entropy", {}), ("optimizer", "sgd", {"lr": 0.05})):
        choices[kind] = Choice(kind, name, None, lookup(kind, name).settings(**fields))
    return Settings(**choices, epochs=epochs)


def tensors(parts: Parts) -> list[torch.Tensor]:
    return [tensor for part in (parts.train, parts.valid) for tensor in (part.inputs, part.targets)]


class Training:
    """Two batches of one seed with some tricks: what the batches became, the losses, the weights, and who was stopped."""

    def __init__(self, *tricks: Trick, seed: int = 0, world: World = PICTURES) -> None:
        self.handed_in, self.batches, self.losses = world.data(), [], []
        kept = [tensor.clone() for tensor in tensors(self.handed_in)]
        self.settings, parts, model = settings(world.epochs), self.handed_in, world.network(seed)
        for trick in tricks:
            self.settings = trick.on_settings(self.settings)
        tricks = tuple(sorted(tricks, key=lambda trick: trick.order))
        together = max((trick.batches_per_step() for trick in tricks), default=1)
        steps = -(-BATCHES // together)
        for trick in tricks:
            trick.bind(replace(world.context, seeds=(seed,), steps_per_epoch=steps))
            parts = trick.on_data(parts)
        replace_dropout(model)
        self.changed = {}
        for trick in tricks:
            if overrides(trick, "on_model"):
                model, self.changed[type(trick).__name__] = trick.on_model(model)
        streams = {id(trick): Noise((seed,), f"trick/{type(trick).__name__}") for trick in tricks}
        for name, layer in noisy_layers(model).items():
            layer.bind(Noise((seed,), f"dropout/{name}"))
        chosen, epochs = self.settings.optimizer.options, world.epochs
        groups = parameter_groups(chosen, model.named_parameters(), epochs=epochs, steps_per_epoch=steps)
        optimizer = chosen.build(groups)
        changes = [trick.on_rate for trick in tricks if overrides(trick, "on_rate")]
        set_values = rate_setter(optimizer, value_setter(optimizer, chosen, epochs, steps), changes)
        parameters = dict(model.named_parameters())
        for trick in tricks:
            trick.between_epochs(0, model.state_dict(), optimizer)
        order, targets = torch.arange(len(parts.train)), parts.train.targets
        for trick in tricks:
            order = trick.on_order(order, targets, Noise((seed,), f"order/{type(trick).__name__}"))
        self.stops = []
        for step in range(epochs * steps):
            model.train()
            for trick in tricks:
                trick.now.set(step)
            set_values(step)
            batches = []
            for number in range(BATCHES)[step % steps * together : (step % steps + 1) * together]:
                rows = order[(torch.arange(N) + number * N) % len(parts.train)]
                inputs, targets = parts.train.inputs[rows], parts.train.targets[rows]
                batch = Batch(inputs, targets, targets, parts.spec, positions=rows, epoch=step // steps + 1)
                for trick in tricks:
                    batch = trick.on_batch(batch, streams[id(trick)])
                assert torch.equal(batch.true_targets, targets)
                batches.append(batch)
            self.batches += batches
            gradients = Step(world, model, tricks, batches)
            loss = gradients()
            for trick in tricks:
                trick.on_pass(gradients, parameters)
            for trick in tricks:
                trick.on_gradients(parameters)
            optimizer.step()
            for trick in tricks:
                trick.on_weights(parameters)
            self.losses.append(loss.detach())
            if (step + 1) % steps == 0:
                metrics = {name: np.array([float(loss.detach())]) for name in ("train_loss", "valid_loss")}
                self.stops += [trick.on_epoch(step // steps + 1, metrics) for trick in tricks]
                self.judged = {n: v.clone() for trick in tricks for n, v in (trick.evaluation_weights() or {}).items()}
                for trick in tricks:
                    trick.between_epochs(step // steps + 1, model.state_dict(), optimizer)
        self.model, self.parts = model, parts
        assert all(torch.equal(a, b) for a, b in zip(tensors(self.handed_in), kept, strict=True)), (
            "data in memory were changed"
        )

    def weights(self) -> dict[str, torch.Tensor]:
        return {**self.model.state_dict(), **self.judged}


class Step:
    """The gradients of one step's batches, which a trick may ask for again (`ablate.tricks.trick.Gradients`)."""

    def __init__(self, world: World, model: nn.Module, tricks: tuple[Trick, ...], batches: list[Batch]) -> None:
        self.world, self.model, self.tricks, self.batches = world, model, tricks, batches
        self.samples = N * len(batches)

    def __call__(self, part: slice | None = None) -> torch.Tensor:
        assert part is None or len(self.batches) == 1
        total = torch.zeros(())
        self.model.zero_grad()
        for batch in self.batches:
            if part is not None:
                batch = replace(batch, inputs=batch.inputs[part], targets=batch.targets[part])
            prediction = self.model(batch.inputs)
            loss = self.world.loss(prediction, batch.targets)
            for trick in self.tricks:
                loss = trick.on_loss(loss, prediction, batch)
            loss = loss / len(self.batches)
            loss.backward()
            total = total + loss
        return total


def make(name: str, fields: dict) -> Trick:
    fields = {key: str(WEIGHTS) if value == "weights.pt" else value for key, value in fields.items()}
    trick = lookup("trick", name).settings(**fields)
    assert isinstance(trick, Trick)
    return trick


def equal(a: Training, b: Training) -> bool:
    mine, theirs = a.weights(), b.weights()
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in mine.items())


def same_state(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same_state(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same_state, a, b))
    return a == b


def test_every_trick_has_settings_to_be_tested_with():
    missing = [entry.name for entry in entries("trick") if not entry.settings.examples]
    assert not missing, f"no examples for {missing}"


@every_trick
def test_a_trick_trains_and_keeps_shapes(name, fields):
    run = Training(make(name, fields), world=world(name))
    for batch in run.batches:
        assert batch.inputs.shape == (N, *world(name).spec.input_shape)
        # class numbers may have become probabilities
        assert batch.targets.shape == (N, 4) or (world(name) is CLASSES and batch.targets.shape == (N,))
        assert batch.inputs.dtype == torch.float32
    assert all(loss.shape == () and loss.isfinite() for loss in run.losses)
    assert all(stop is None or (stop.shape == (1,) and stop.dtype == bool) for stop in run.stops)


@every_trick
def test_a_trick_changes_something(name, fields):
    run, plain = Training(make(name, fields), world=world(name)), Training(world=world(name))
    # what changes evaluation alone is asked for by its own tests, with networks that have what it needs
    assert not equal(run, plain) or run.settings != plain.settings or overrides(make(name, fields), "on_predict")


@cases("on_model")
def test_surgery_says_what_it_changed_and_leaves_names_and_values(name, fields):
    trick = make(name, fields)
    trick.bind(world(name).context)
    plain = world(name).network()
    model, changed = trick.on_model(world(name).network())
    names = {layer for layer, _ in model.named_modules()}
    assert changed
    assert set(changed) <= names
    assert {layer for layer, _ in plain.named_modules()} <= names
    assert all(
        torch.equal(value, model.state_dict()[key])
        for key, value in plain.state_dict().items()
        if key in model.state_dict()
    )
    with pytest.raises(ValueError, match=name):
        trick.on_model(nn.Identity())


@every_trick
def test_the_same_seed_gives_the_same_training_and_another_seed_another(name, fields):
    first, again, other = (Training(make(name, fields), seed=seed, world=world(name)) for seed in (0, 0, 1))
    assert equal(first, again)
    assert not equal(first, other)


@cases("on_batch")
def test_numbers_do_not_depend_on_which_other_tricks_are_on(name, fields):
    alone = Training(make(name, fields), world=world(name)).batches
    # dropout draws in every step, and so before this trick's second batch
    together = Training(make("dropout", {"conv": 0.5}), make(name, fields), world=world(name)).batches
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert torch.equal(a.targets, b.targets)


@cases("on_batch", stacked=True)
def test_a_stack_of_seeds_gets_what_each_gets_alone(name, fields):
    spec, single = world(name).spec, world(name).data().train
    inputs = torch.stack([single.inputs[:N], single.inputs[N:]])
    targets = torch.stack([single.targets[:N], single.targets[N:]])
    positions = torch.arange(2 * N).view(2, N)

    def applied(inputs, targets, positions, seeds):
        trick = make(name, fields)
        trick.bind(Context(spec, seeds, 1, BATCHES, samples=2 * N))
        trick.on_data(world(name).data())
        trick.now.set(1)
        noise = Noise(seeds, "trick/x")
        return [trick.on_batch(Batch(inputs, targets, targets, spec, positions=positions), noise) for _ in range(2)]

    stacked = applied(inputs, targets, positions, SEEDS)
    for i, seed in enumerate(SEEDS):
        for together, alone in zip(stacked, applied(inputs[i], targets[i], positions[i], (seed,)), strict=True):
            assert torch.equal(together.inputs[i], alone.inputs)
            assert torch.equal(together.targets[i], alone.targets)


def parameters_of(values: list[torch.Tensor], gradients: list[torch.Tensor]) -> dict[str, nn.Parameter]:
    parameters = {str(i): nn.Parameter(value.clone()) for i, value in enumerate(values)}
    for parameter, gradient in zip(parameters.values(), gradients, strict=True):
        parameter.grad = gradient.clone()
    return parameters


@pytest.mark.parametrize("hook", ["on_gradients", "on_weights"])
def test_parameters_of_a_stack_change_as_each_seeds_own(hook):
    shapes = [(5, 3, 2, 2), (4, 5), (4,), ()]
    draw = torch.Generator().manual_seed(0)
    # seeds of unlike size: what is measured over both would show
    values, gradients = (
        [
            torch.randn(len(SEEDS), *shape, generator=draw).mul_(torch.tensor([1.0, 9.0]).view(-1, *(1 for _ in shape)))
            for shape in shapes
        ]
        for _ in range(2)
    )
    ran = []
    for name, fields in CASES:
        trick = make(name, fields)
        if not (overrides(trick, hook) and trick.stacked and trick.stacks is True):
            continue
        ran.append(name)
        trick.bind(replace(world(name).context, seeds=SEEDS))
        together = parameters_of(values, gradients)
        trick.between_epochs(0, {key: weight.detach() for key, weight in together.items()}, None)
        getattr(trick, hook)(together)
        for i, seed in enumerate(SEEDS):
            single = make(name, fields)
            single.bind(replace(world(name).context, seeds=(seed,)))
            alone = parameters_of([v[i] for v in values], [g[i] for g in gradients])
            single.between_epochs(0, {key: weight.detach() for key, weight in alone.items()}, None)
            getattr(single, hook)(alone)
            for key, parameter in alone.items():
                for a, b in ((together[key][i], parameter), (together[key].grad[i], parameter.grad)):
                    torch.testing.assert_close(a, b, rtol=1e-6, atol=0, msg=lambda text, name=name: f"{name}: {text}")
    assert ran


@every_trick
def test_a_trick_that_cannot_stack_says_why(name, fields):
    stacks = make(name, fields).stacks
    assert stacks is True or (isinstance(stacks, str) and len(stacks.split()) > 3)


@every_trick
def test_its_state_survives_a_checkpoint(name, fields, tmp_path):
    trick = make(name, fields)
    Training(trick, world=world(name))
    torch.save(trick.state(), tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    fresh = make(name, fields)
    fresh.bind(replace(trick.context))
    fresh.restore(saved)
    assert same_state(fresh.state(), trick.state())
    assert overrides(trick, "state") == overrides(trick, "restore")


@every_trick
def test_its_settings_survive_a_recipe(name, fields):
    trick = make(name, fields)
    assert make(name, trick.dump()) == trick
