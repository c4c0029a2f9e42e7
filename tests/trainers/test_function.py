"""Variants trained by a user's own function: its numbers are the function's, and each way to misbehave has an answer."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from ablate.engine.contract import Assignment
from ablate.execution.shutdown import EndAsked
from ablate.planning.networks import ask
from ablate.recipe import Recipe, RecipeError, identity
from ablate.trainers.shared.points import Points
from ablate.trainers.trainer import trainer_of
from tests.trainers.listening import Listening, train

TRAIN = """
import random
import numpy as np
import torch
from torch import nn

def batches(epoch):
    return torch.randperm(40).split(8)

def main(run, lr=0.1, width=4, noise=0.0):
    x, y = torch.linspace(-1, 1, 40)[:, None], torch.linspace(-1, 1, 40)[:, None].sin()
    net = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1))
    optimizer, done = torch.optim.SGD(net.parameters(), lr, momentum=0.9), 0
    if state := run.resume():
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["done"]
    for epoch in range(done + 1, run.epochs + 1):
        total = 0.0
        for some in batches(epoch):
            inputs = x[some] + noise * torch.randn(len(some), 1) + 1e-3 * random.random() + 1e-3 * np.random.rand()
            loss = nn.functional.mse_loss(net(inputs.float()), y[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(some)
        run.log(epoch=epoch, train_loss=total / 40)
        run.log(epoch=epoch, valid_loss=nn.functional.mse_loss(net(x), y), bias=net[2].bias)
        run.checkpoint({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "done": epoch})
    run.save(net)
"""

RECIPE = """
study: own
trainer: {target: "CODE:main"}
seeds: 2
baseline: {name: base, epochs: 4, args: {lr: 0.05, width: 4}}
variants:
  - {name: wide, set: {args.width: 8}}
  - {name: noisy, set: {args.noise: 0.1}}
"""

count = 0


@pytest.fixture
def write(tmp_path):
    """Write a recipe and a module of a new name beside it; returns the recipe's path."""

    def written(code=TRAIN, recipe=RECIPE):
        global count
        count += 1
        name = f"own_training_{count}"
        (tmp_path / f"{name}.py").write_text(code)
        (tmp_path / "own.yaml").write_text(recipe.replace("CODE", name))
        return tmp_path / "own.yaml"

    return written


def code(body, arguments="run"):
    return f"import torch\n\ndef main({arguments}):\n    " + body.replace("\n", "\n    ") + "\n"


BARE = "trainer: {target: 'CODE:main'}\nbaseline: {name: base}"


def outcome(write, body, recipe=BARE):
    return train(write(code(body), recipe)).outcomes[0]


# numbers


def test_its_numbers_are_those_of_the_function_called_by_hand(write):
    path = write()
    report = train(path, "noisy", seed=3)
    module = {}
    exec(TRAIN, module)
    lines = []

    class Bare:
        epochs = 4

        def log(self, **values):
            lines.append(
                {key: value.item() if torch.is_tensor(value) else float(value) for key, value in values.items()}
            )

        def nothing(self, *_):
            return None

        resume = checkpoint = save = nothing

    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    module["main"](Bare(), lr=0.05, width=8, noise=0.1)
    expected = []
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        expected.append({**first, **second})
    assert report.lines == expected
    assert [sorted(line) for line in report.lines] == [["bias", "epoch", "train_loss", "valid_loss"]] * 4
    [ended] = report.outcomes
    assert ended.status == "finished"
    assert ended.epoch == 4
    assert ended.results["last"] == {key: value for key, value in expected[-1].items() if key != "epoch"}
    assert ended.best_epoch == min(range(4), key=lambda i: expected[i]["valid_loss"]) + 1
    assert report.kept["last"]["0.weight"].shape == (8, 1)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(write, after):
    path = write()
    whole = train(path, "noisy", seed=1)
    first = train(path, "noisy", seed=1, due_at=(after,))
    again = train(path, "noisy", seed=1, state=first.saved[0])
    assert first.lines == whole.lines
    assert [*first.lines[:after], *again.lines] == whole.lines
    assert again.outcomes == whole.outcomes
    for name, value in whole.kept["last"].items():
        assert torch.equal(again.kept["last"][name], value)


def test_points_need_no_epochs(write):
    body = (
        "for step in (100, 250, 400):\n    run.log(step=step, epoch=step / 200, train_loss=1 / step)\nrun.log(bleu=3)"
    )
    report = train(write(code(body), BARE))
    assert report.lines == [
        {"epoch": 1, "at": {"epoch": 0.5, "step": 100}, "train_loss": 0.01},
        {"epoch": 2, "at": {"epoch": 1.25, "step": 250}, "train_loss": 0.004},
        {"epoch": 3, "at": {"epoch": 2.0, "step": 400}, "train_loss": 0.0025},
        {"epoch": 4, "at": {"epoch": 2.0, "step": 400}, "bleu": 3.0},
    ]
    assert report.outcomes[0].results["last"] == {"train_loss": 0.0025, "bleu": 3.0}


def test_the_best_point_is_that_of_the_monitored_metric(write):
    recipe = "trainer: {target: 'CODE:main'}\nmetrics: [accuracy]\n"
    recipe += "baseline: {name: base, select: best, monitor: {metric: accuracy}}"
    body = "for accuracy in (0.5, 0.9, 0.9, 0.7):\n    run.log(accuracy=accuracy, valid_loss=accuracy)"
    ended = outcome(write, body, recipe)
    assert (ended.best_epoch, ended.selected_epoch, ended.epoch) == (2, 2, 4)
    assert ended.results["selected"] == {"accuracy": 0.9, "valid_loss": 0.9}
    assert ended.results["last"] == {"accuracy": 0.7, "valid_loss": 0.7}


# answers to what functions do


def test_it_may_return_its_metrics(write):
    assert outcome(write, "return {'valid_loss': torch.tensor(0.5), 'bleu': 3}").results["last"] == {
        "valid_loss": 0.5,
        "bleu": 3.0,
    }
    both = "run.log(epoch=1, train_loss=1.0)\nrun.log(epoch=2, train_loss=0.5)\nreturn {'valid_loss': 0.25}"
    ended = outcome(write, both)
    assert (ended.epoch, ended.results["last"]) == (2, {"train_loss": 0.5, "valid_loss": 0.25})
    without = "run.log(train_loss=1.0)\nreturn {'valid_loss': 0.25}"
    assert outcome(write, without).epoch == 1
    assert outcome(write, "run.log(valid_loss=1.0)\nreturn torch.nn.Linear(1, 1)").status == "finished"


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "torch.tensor(float('nan'))"])
def test_a_loss_that_is_not_finite_is_a_divergence(write, value):
    body = f"run.log(epoch=1, valid_loss=1.0)\ntry:\n    run.log(epoch=2, valid_loss={value})\n"
    body += "except Exception:\n    pass\nraise RuntimeError('unreachable')"
    ended = outcome(write, body)
    assert (ended.status, ended.epoch) == ("diverged", 2)
    assert ended.reason in ("valid_loss (=nan) is not finite at epoch 2", "valid_loss (=inf) is not finite at epoch 2")
    assert outcome(write, "run.log(valid_loss=1.0, note=float('nan'))").results["last"] == {"valid_loss": 1.0}


def test_a_divergence_that_is_caught_is_still_one(write):
    body = "try:\n    run.log(valid_loss=float('nan'))\nexcept BaseException:\n    pass\nrun.log(valid_loss=1.0)"
    assert outcome(write, body).status == "diverged"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", "it reported no metrics. Call run.log(valid_loss=…), or return {'valid_loss': …}"),
        ("return 0.5", "it reported no metrics"),
        ("import sys\nsys.exit(3)", "ended with sys.exit(3)"),
        ("import sys\nsys.exit('no data')", "ended with sys.exit('no data')"),
        (
            "run.log(valid_loss='low')",
            "metric valid_loss (=low, a str) must be a number, or a tensor with one element.",
        ),
        ("run.log(valid_loss=torch.ones(2))", "must be a number, or a tensor with one element."),
        ("run.log(valid_loss=None)", "metric valid_loss (=None, a NoneType) must be a number"),
        ("run.log(seconds=1.0)", "metric (=seconds) must have another name"),
        ("run.epochs", "run.epochs requires 'epochs' in the recipe. Add it under 'baseline'."),
    ],
)
def test_a_mistake_is_one_line(write, body, message):
    with pytest.raises((ValueError, TypeError)) as found:
        outcome(write, body)
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_sys_exit_without_an_error_is_the_end(write):
    assert outcome(write, "import sys\nrun.log(valid_loss=1.0)\nsys.exit()").status == "finished"


def test_select_best_requires_its_metric(write):
    with pytest.raises(ValueError, match="select: best requires valid_loss, which it did not report"):
        outcome(write, "run.log(accuracy=1.0)", "trainer: {target: 'CODE:main'}\nbaseline: {name: base, select: best}")


@pytest.mark.parametrize(
    "state", ["{'a': object()}", "{'a': [1, {'b': np.ones(3)}]}", "[lambda: 1]", "{(1,): 2, 'x': iter([])}"]
)
def test_a_state_that_could_not_be_read_again_is_refused_when_it_is_saved(write, state):
    body = f"import numpy as np\nrun.log(valid_loss=1.0)\nrun.checkpoint({state})"
    path = write(code(body), BARE)
    with pytest.raises(TypeError, match=r"run.checkpoint: state\[.* must be a tensor, a number, a string, or a dict"):
        train(path, due_at=(1,))


def test_a_state_is_made_only_if_it_is_due(write):
    body = "made = []\nfor epoch in range(4):\n    run.log(valid_loss=1.0)\n    run.checkpoint(lambda: made.append(1) or {})\n"
    body += "return {'made': len(made)}"
    path = write(code(body), BARE)
    report = train(path, due_at=(1, 3))
    assert report.outcomes[0].results["last"]["made"] == 2
    assert len(report.saved) == 2


# ending politely


def test_an_end_waits_for_the_checkpoint_that_follows(write):
    path = write()
    with pytest.raises(EndAsked):
        train(path, end_at=2, seed=1)
    report = Listening(path.parent, end_at=2)
    settings = Recipe.load(path).variant("base").settings
    with pytest.raises(EndAsked):
        trainer_of(settings).train(Assignment(settings, (1,), path.parent), report, None)
    assert len(report.lines) == 2
    assert report.saved[0]["epoch"] == 2


def test_without_checkpoints_it_ends_in_log(write):
    body = "for epoch in range(1, 9):\n    run.log(epoch=epoch, valid_loss=1.0)\nraise RuntimeError('unreachable')"
    path = write(code(body), BARE)
    report = Listening(path.parent, end_at=2)
    settings = Recipe.load(path).variant("base").settings
    with pytest.raises(EndAsked):
        trainer_of(settings).train(Assignment(settings, (1,), path.parent), report, None)
    assert len(report.lines) == 2


def test_an_end_that_is_caught_is_no_result(write):
    body = "try:\n    for epoch in range(1, 9):\n        run.log(epoch=epoch, valid_loss=1.0)\nexcept BaseException:\n    pass"
    path = write(code(body), BARE)
    report = Listening(path.parent, end_at=2)
    settings = Recipe.load(path).variant("base").settings
    with pytest.raises(EndAsked):
        trainer_of(settings).train(Assignment(settings, (1,), path.parent), report, None)
    assert report.outcomes == []


# files


def test_files_and_weights(write, tmp_path):
    body = "net = torch.nn.Linear(2, 1)\n(run.folder / 'notes.txt').write_text('seed %d' % run.seed)\nrun.save(net)\n"
    body += "run.save(__file__)\nreturn {'valid_loss': 1.0}"
    report = train(write(code(body), BARE), seed=5)
    assert (tmp_path / "work" / "notes.txt").read_text() == "seed 5"
    assert len(list((tmp_path / "work").glob("own_training_*.py"))) == 1
    assert report.kept["last"].keys() == {"weight", "bias"}


def test_an_argument_can_come_from_the_environment(write, monkeypatch):
    recipe = "trainer: {target: 'CODE:main'}\nbaseline: {name: base, args: {token: {env: ABLATE_TEST_TOKEN}}}"
    path = write(code("return {'valid_loss': len(token)}", "run, token"), recipe)
    with pytest.raises(ValueError, match="requires the environment variable ABLATE_TEST_TOKEN, which is not set"):
        train(path)
    monkeypatch.setenv("ABLATE_TEST_TOKEN", "hush")
    assert train(path).outcomes[0].results["last"] == {"valid_loss": 4.0}
    assert "hush" not in json.dumps(Recipe.load(path).variant("base").settings.dump())


# recipes


PLAIN = "trainer: {target: 'CODE:main'}\nbaseline: {name: base, args: {lr: 0.1}}\n"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (PLAIN.replace("CODE:main", "CODE"), "must be module:attribute, such as train:main."),
        (PLAIN.replace("CODE:main", "no_such_module:main"), "is in module 'no_such_module', which was not found."),
        (PLAIN.replace("CODE:main", "CODE:mian"), "Did you mean 'own_training_"),
        (PLAIN.replace("target:", "targt:"), "must have 'target', 'command' or 'name'. Did you mean 'target'?"),
        (PLAIN.replace("{target: 'CODE:main'}", "'CODE:main'"), "Write trainer: {target: own_training_"),
        (PLAIN.replace("{target: 'CODE:main'}", "joined"), "trainer (=joined) must be one of"),
        (PLAIN.replace("'CODE:main'", "'CODE:main', lr: 3"), "trainer.lr is not a setting of target."),
        (
            PLAIN.replace("'CODE:main'", "'CODE:main', args: {lr: 3}"),
            "trainer.args is not allowed. Write 'args' under 'baseline'.",
        ),
        (PLAIN.replace("name: base", "model: mlp"), "model cannot be used with trainer (=target), which trains with"),
        (PLAIN.replace("name: base", "add: [flip]"), "trick (=flip) cannot be used with trainer (=target)"),
        (PLAIN.replace("name: base", "batch_size: 8"), "batch_size cannot be used with trainer (=target)"),
        (PLAIN.replace("name: base", "watch: [gradient_norm]"), "watch cannot be used with trainer (=target)"),
        (PLAIN.replace("{lr: 0.1}", "[0.1]"), "args (=[0.1]) must be a mapping, such as {lr: 0.1}."),
        (PLAIN + "variants: [{name: b, joined: [base]}]", "joined requires a network of the built-in loop"),
        (
            PLAIN + "compare: {metric: bleu}",
            "must be a metric of all variants, but base only has train_loss, valid_loss.",
        ),
        (PLAIN + "metrics: [bleu]\ncompare: {metric: bleu}", "requires compare.better. Set it to lower or higher."),
        (PLAIN + "metrics: [{name: bleu, better: more}]", "metrics[0].better (=more) must be lower or higher."),
        (PLAIN + "metrics: [{name: bleu, k: 3}]", "metrics[0].k is not a setting of a metric that your own code"),
        (PLAIN + "metrics: [bleu, bleu]", "metrics[1] (=bleu) is listed twice. Remove one of them."),
        (PLAIN + "metrics: [{target: 'm:f'}]", "metrics[0].target is not supported"),
        ("baseline: {data: digits, model: mlp, loss: mse, optimizer: sgd, args: {lr: 1}}", "args requires a trainer"),
        (PLAIN.replace("name: base", "epochs: 3"), "epochs (=3) is not used by own_training_"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line_each(write, recipe, message):
    path = write(code("return {'valid_loss': 1.0}", "run, lr"), recipe)
    with pytest.raises(RecipeError) as found:
        Recipe.load(path)
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("arguments", "args", "message"),
    [
        ("run, lr=1", "widht: 3", "args.widht is not an argument of own_training_N:main. It takes: lr"),
        ("run, width=1", "widht: 3", "args.widht is not an argument of own_training_N:main. Did you mean 'width'?"),
        ("run, lr", "", "args.lr is required by own_training_N:main. Add it under 'args'"),
        ("run, lr=1", "run: 3", "args.run is not an argument of own_training_N:main. It takes: lr"),
        ("run, **more", "run: 3", "args.run is the run itself, the first argument of own_training_N:main. Remove it"),
        ("", "", "trainer.target (=own_training_N:main) must take the run as its first argument"),
        ("run, **more", "anything: 3", None),
        ("run, *, lr, width=2", "lr: 3", None),
    ],
)
def test_arguments_are_checked_when_planned(write, arguments, args, message):
    path = write(
        code("pass", arguments), f"trainer: {{target: 'CODE:main'}}\nbaseline: {{name: base, args: {{{args}}}}}"
    )
    recipe = Recipe.load(path)
    [network] = ask(recipe, [recipe.variant("base").settings])
    assert network.error == (message and message.replace("own_training_N", f"own_training_{count}"))


def test_what_is_not_a_function_is_told_when_planned(write):
    path = write("main = 3", PLAIN.replace(", args: {lr: 0.1}", ""))
    recipe = Recipe.load(path)
    [network] = ask(recipe, [recipe.variant("base").settings])
    assert "must be a function, but is an int" in str(network.error)


# identity


def identity_of(path, variant="base"):
    return identity(Recipe.load(path).variant(variant).settings, folder=path.parent)


def test_the_identity_is_code_and_arguments(write, tmp_path):
    path = write()
    module = next(tmp_path.glob("own_training_*.py"))
    before = identity_of(path)
    assert identity_of(path, "wide") != before
    module.write_text("# a comment\n" + TRAIN)
    assert identity_of(path) == before
    path.write_text(path.read_text() + "metrics: [accuracy]\nreach: {valid_loss: 0.1}\n")
    assert identity_of(path) == before
    module.write_text(TRAIN.replace("momentum=0.9", "momentum=0.8"))
    assert identity_of(path) != before


def test_files_in_arguments_count_with_their_contents(write, tmp_path):
    (tmp_path / "words.txt").write_text("a b c")
    path = write(code("pass", "run, path"), PLAIN.replace("lr: 0.1", "path: words.txt"))
    before = identity_of(path)
    (tmp_path / "words.txt").write_text("a b d")
    assert identity_of(path) != before


# the table


def test_a_metric_that_is_not_reported_is_told_with_the_fix(write, ablate, tmp_path):
    recipe = "trainer: {target: 'CODE:main'}\nmetrics: [accuracy]\nseeds: 3\nbaseline: {name: base}\n"
    path = write(code("run.log(accuracy=run.seed)"), recipe)
    done = ablate("run", path)
    assert done.code == 0
    assert "valid_loss was not reported: set compare.metric to a metric that your code reports" in done.out
    assert ablate("table", path, "--metric", "accuracy", "--format", "json").rows()["base"]["accuracy"] == 1.0


def test_folds_are_given_and_averaged(write, ablate):
    recipe = "trainer: {target: 'CODE:main'}\nfolds: 3\nseeds: 3\nbaseline: {name: base, args: {lr: 0.5}}\n"
    path = write(code("return {'valid_loss': lr + run.fold + run.seed / 100}", "run, lr"), recipe)
    done = ablate("run", path, "--format", "json")
    assert done.code == 0, done.err
    assert done.rows()["base"]["valid_loss"] == pytest.approx(0.5 + 1 + 0.01, rel=1e-12)
    assert done.rows()["base"]["seeds"] == 3


# points


def test_seconds_are_those_of_the_training_so_far(write, monkeypatch):
    settings = Recipe.load(write(code("pass"), BARE)).variant("base").settings
    clock = iter([101.0, 103.0, 504.0])
    monkeypatch.setattr("ablate.trainers.shared.points.time.monotonic", lambda: next(clock))
    lines = []
    points = Points(settings, lines.append, _clock=100.0)
    for _ in range(2):
        points.add({"valid_loss": 1.0})
        points.flush()
    resumed = Points(settings, lines.append, _clock=500.0)
    resumed.restore(points.state())
    resumed.add({"valid_loss": 1.0})
    resumed.flush()
    assert [line["seconds"] for line in lines] == [1.0, 3.0, 7.0]


@pytest.mark.parametrize(
    ("where", "first"), [({"epoch": 0}, 2.5), ({"step": 0}, 2.5), ({"epoch": 1}, None), ({"epoch": 1, "step": 0}, 2.5)]
)
def test_a_loss_before_training_is_the_first_loss(write, where, first):
    body = f"run.log(train_loss=3.5, valid_loss=2.5, **{where})\nrun.log(epoch=2, valid_loss=0.5)"
    assert train(write(code(body, "run, lr"), PLAIN)).outcomes[0].first_loss == first
