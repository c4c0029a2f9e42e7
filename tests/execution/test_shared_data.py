"""Data that are loaded once for all jobs of a study, and own networks that stack on the first run."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys

import numpy as np
import pytest
import torch

from ablate.data import shared
from ablate.data.dataset import Part, Parts, Spec
from ablate.data.load import load_parts, load_whole
from ablate.data.side_effects import Surroundings
from ablate.engine.contract import Assignment
from ablate.engine.training import train
from ablate.execution import preparation
from ablate.execution.events import Loading, RunStarted
from ablate.execution.executors import local
from ablate.execution.executors.early_import import UNFIT
from ablate.execution.run_options import RunOptions
from ablate.execution.run_study import run_study
from ablate.planning.plan import make_plan
from ablate.recipe import Recipe
from ablate.recipe.folds import Folds
from ablate.recipe.settings import Choice
from ablate.store.store import Store

OWN = """
from pathlib import Path
import os
import time
import torch
from torch import nn

VOCABULARY = []
SIZE = None

def noted():
    with open(Path(__file__).parent / "calls", "a") as file:
        file.write("x")

def load(n=96):
    noted()
    print("96 samples, as always")
    x = torch.rand(n, 6)
    y = (x[:, 0] > x[:, 1]).long()
    return {"train": (x[: n // 2], y[: n // 2]), "valid": (x[n // 2 :], y[n // 2 :])}

def load_and_set(n=96):
    global SIZE
    SIZE = 8
    return load(n)

class Rows(torch.utils.data.Dataset):
    def __init__(self, parts):
        self.parts = parts
    def __len__(self):
        return len(self.parts[0])
    def __getitem__(self, index):
        return self.parts[0][index] + torch.rand(()), self.parts[1][index]

def load_rows():
    return {name: Rows(part) for name, part in load().items()}

def load_when_told():
    while not (Path(__file__).parent / "told").exists():
        time.sleep(0.01)
    return load()

def broken():
    raise KeyError("no such file")

def endless():
    while True:
        time.sleep(0.1)

class Net(nn.Sequential):
    def __init__(self, outputs, width=8):
        super().__init__(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, outputs))

class Sized(Net):
    def __init__(self, outputs):
        super().__init__(outputs, SIZE)
"""

RECIPE = """
study: own
data: {{target: "mine:{data}"}}
seeds: {seeds}
baseline: {{name: base, model: {{target: "mine:{model}"}}, loss: cross_entropy, optimizer: {{name: sgd, lr: 0.1}}, epochs: 2, batch_size: 16}}
"""

VARIANTS = """
variants:
  - {name: wide, set: {model.width: 12}}
  - {name: fast, set: {optimizer.lr: 0.3}}
  - {name: long, set: {epochs: 3}}
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe with a data function and a network of its own; its path."""

    def written(data="load", model="Net", seeds=3, more=""):
        (tmp_path / "mine.py").write_text(OWN)
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(data=data, model=model, seeds=seeds) + more)
        return tmp_path / "recipe.yaml"

    return written


@pytest.fixture
def calls(tmp_path):
    """How often the data function was called."""
    return lambda: len((tmp_path / "calls").read_text()) if (tmp_path / "calls").exists() else 0


@pytest.fixture
def nothing_shared():
    """Afterwards, this process shares and keeps no data."""
    yield
    for file in shared._offered.values():
        os.close(file)
    shared._offered.clear()
    shared._kept.clear()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Import a module of the user's, which is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    path = list(sys.path)

    def imported(text, name="theirs"):
        (tmp_path / f"{name}.py").write_text(text)
        return importlib.import_module(name)

    yield imported
    sys.path[:] = path
    for name in ("mine", "theirs", "another"):
        sys.modules.pop(name, None)


def lines_of(store, run):
    """The numbers of a run's epochs."""
    return [{k: v for k, v in line.items() if k not in ("time", "seconds")} for line in store.metrics(run.fingerprint)]


def same_as_alone(path, root, heard):
    """Whether each job of a study gave the numbers and weights of a training in this process that loads for itself."""
    recipe, store = Recipe.load(path), Store(root)
    for variant in recipe.variants:
        runs = {run.seed: run for run in make_plan(recipe, store).runs_of(variant.name)}
        for stack in {run.record.stack or (run.seed,) for run in runs.values()}:
            report = heard()
            settings = variant.settings
            data = load_parts(settings.data, recipe.folder, form=settings.batch)
            train(Assignment(settings, tuple(stack), recipe.folder), data, report)
            for replica, seed in enumerate(stack):
                for stored, alone in zip(lines_of(store, runs[seed]), report.lines[replica], strict=True):
                    assert stored["train_loss"] == alone["train_loss"]
                    assert stored["valid_loss"] == alone["valid_loss"]
                kept = torch.load(store.run_folder(runs[seed].fingerprint) / "last.pt", weights_only=True)
                assert all(torch.equal(kept[name], value) for name, value in report.kept[replica, "last"].items())


@pytest.mark.parametrize("flags", [(), ("--no-check",)])
def test_a_data_function_is_called_once_for_all_jobs(write, calls, ablate, tmp_path, heard, module, flags):
    path = write(more=VARIANTS)
    done = ablate("run", path, *flags, "--format", "json")
    assert done.code == 0, done.err
    assert {row["status"] for row in done.rows().values()} == {"finished"}
    assert calls() == 1
    same_as_alone(path, tmp_path / "runs", heard)
    logs = [log.read_text() for log in tmp_path.glob("runs/store/*/log.txt") if "PID" in log.read_text()]
    assert all(text.count("96 samples, as always") == text.count("PID") for text in logs), "as if each had called it"


def test_each_dataset_is_loaded_once(write, calls, ablate):
    path = write(
        seeds=2,
        more=VARIANTS + "  - {name: more, set: {data.n: 128}}\n  - {name: wide more, from: wide, set: {data.n: 128}}\n",
    )
    done = ablate("run", path)
    assert done.code == 0, done.err
    assert calls() == 2


def test_it_is_called_once_again_for_what_is_left_to_train(write, calls, ablate):
    path = write(more=VARIANTS)
    assert ablate("run", path, "--seeds", "2").code == 0
    assert ablate("run", path).code == 0
    assert calls() == 2
    assert "0 to train" in ablate("run", path).err
    assert calls() == 2


def test_one_run_gets_the_data_that_the_checks_loaded(write, calls, ablate):
    assert ablate("run", write(seeds=1)).code == 0
    assert calls() == 1


@pytest.mark.parametrize("data", ["digits", "arrays"])
def test_built_in_data_give_the_same_numbers(data, ablate, tmp_path, heard):
    if data == "arrays":
        x = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
        np.savez(tmp_path / "arrays.npz", inputs=x, targets=(x[:, 0] > 0).astype(np.int64))
        data = "{name: npz, path: arrays.npz, valid: 0.3}"
    (tmp_path / "recipe.yaml").write_text(
        f"data: {data}\nseeds: 2\nbaseline: {{model: {{name: mlp, hidden: [4]}}, loss: cross_entropy, optimizer: adam, epochs: 2}}\n"
    )
    done = ablate("run", "recipe.yaml")
    assert done.code == 0, done.err
    same_as_alone(tmp_path / "recipe.yaml", tmp_path / "runs", heard)


def test_a_function_that_sets_a_global_is_called_by_each_job(write, calls, ablate, tmp_path, heard, module):
    path = write(data="load_and_set", model="Sized", seeds=4)
    done = ablate("run", path, "--format", "json")
    assert [row["status"] for row in done.rows().values()] == ["finished"], done.err
    jobs = {run.record.stack or run.seed for run in make_plan(Recipe.load(path), Store(tmp_path / "runs")).runs}
    assert calls() == 1 + len(jobs)
    same_as_alone(path, tmp_path / "runs", heard)


def test_streamed_data_are_read_by_each_job(write, calls, ablate):
    done = ablate("run", write(data="load_rows", seeds=2, more="\nvariants: [{name: wide, set: {model.width: 12}}]\n"))
    assert done.code == 0, done.err
    assert calls() > 2


def test_what_loading_raises_is_the_error_of_the_runs(write, ablate):
    done = ablate("run", write(data="broken", seeds=2), "--format", "json")
    assert done.code == 1
    assert [row["status"] for row in done.rows().values()] == ["failed"]
    assert "failed: KeyError: 'no such file' (mine.py, line " in done.err


def test_loading_takes_no_longer_than_a_job_may(write, ablate):
    done = ablate("run", write(data="endless", seeds=2), "--timeout", "1", "--format", "json")
    assert [row["status"] for row in done.rows().values()] == ["timeout"]


@pytest.mark.parametrize("code", [3, UNFIT])
def test_a_function_that_ends_its_process_ends_no_command(code, write, ablate):
    path = write(seeds=1)
    (path.parent / "mine.py").write_text(OWN.replace("    noted()\n", f"    os._exit({code})\n", 1))
    done = ablate("run", path, "--format", "json", "--retries", "0")
    assert [row["status"] for row in done.rows().values()] == ["interrupted"], "its training had not begun"


IMPORTED = """
import inspect
early = "import_and_wait" in [frame.function for frame in inspect.stack()]
with open(Path(__file__).parent / "imports", "a") as file:
    file.write(f"{os.getpid()} {early}\\n")
print("imported")
"""

WHEN_IMPORTED = """
def load_when_imported():
    while len((Path(__file__).parent / "imports").read_text().splitlines()) < 3:
        time.sleep(0.01)
    return load()
"""


@pytest.fixture
def import_of(write, ablate, tmp_path):
    """Train two variants at once, whose module does ``more`` when it is imported: the command, the processes that
    imported it early, the others that did, those that trained, and their logs.
    """

    def trained(more="", data="load", *flags):
        path = write(data=data, seeds=1, more="\nvariants: [{name: wide, set: {model.width: 12}}]\n")
        (tmp_path / "mine.py").write_text(OWN + IMPORTED + WHEN_IMPORTED + more)
        done = ablate("run", path, "--jobs", "2", "--format", "json", *flags)
        lines = [line.split() for line in (tmp_path / "imports").read_text().splitlines()]
        early, others = ({int(pid) for pid, when in lines if when == kind} for kind in ("True", "False"))
        logs = [log.read_text() for log in tmp_path.glob("runs/store/*/log.txt")]
        return done, early, others, {int(log.split("PID: ")[1].split(")")[0]) for log in logs}, logs

    return trained


def test_jobs_import_the_module_while_the_data_are_loaded(import_of, tmp_path, heard, module):
    done, early, others, jobs, logs = import_of("", "load_when_imported", "--timeout", "60")
    assert {row["status"] for row in done.rows().values()} == {"finished"}, done.err
    assert jobs == early
    assert len(others) == 1
    assert all(log.splitlines().count("imported") == 1 + log.count("as always") for log in logs)
    same_as_alone(tmp_path / "recipe.yaml", tmp_path / "runs", heard)


@pytest.mark.parametrize(
    "more",
    [
        "torch.set_float32_matmul_precision('medium')\n",
        "os.environ['THEIRS'] = '1'\n",
        "if early:\n    raise OSError\n",
        "torch.cuda.is_initialized = lambda: True\n",
    ],
)
def test_a_job_begins_in_no_process_whose_import_was_unlike_its_own(import_of, more):
    done, early, others, jobs, _ = import_of(more)
    assert {row["status"] for row in done.rows().values()} == {"finished"}, done.err
    assert len(early) == 2
    assert jobs < others


def test_a_module_that_cannot_be_imported_is_the_error_of_the_runs(import_of):
    done, *_ = import_of("raise KeyError('no such library')\n")
    assert [row["status"] for row in done.rows().values()] == ["failed", "failed"]
    assert "failed: KeyError: 'no such library' (mine.py, line " in done.err


def test_processes_that_get_no_job_end(write, ablate, tmp_path):
    path = write(seeds=2)
    (tmp_path / "mine.py").write_text(OWN + IMPORTED)
    assert ablate("run", path, "--jobs", "2", "--set", "stack=2").code == 0
    for line in (tmp_path / "imports").read_text().splitlines():
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[0]), 0)


def test_folds_share_what_they_are_made_of(write, calls, ablate):
    done = ablate("run", write(seeds=2, more="folds: 3\n"))
    assert done.code == 0, done.err
    assert calls() == 1


def test_own_networks_stack_on_the_first_run(write, ablate, tmp_path, heard, module):
    path = write(seeds=5)
    done = ablate("run", path)
    assert done.code == 0, done.err
    stacks = {run.record.stack for run in make_plan(Recipe.load(path), Store(tmp_path / "runs")).runs}
    assert sorted(map(len, stacks)) in ([2, 3], [5]), "one job per core, or one stack"
    same_as_alone(path, tmp_path / "runs", heard)
    assert "5 runs: 5 finished, 0 to train" in ablate("run", path).err


def test_facts_about_networks_are_those_that_a_plan_finds(write, ablate, tmp_path, calls):
    path = write(seeds=2, more=VARIANTS)
    assert ablate("run", path).code == 0
    found = (tmp_path / "runs" / "own" / "networks.json").read_text()
    assert len(json.loads(found)) == 4
    assert ablate("plan", path).code == 0
    assert calls() == 1, "nothing was unknown"
    (tmp_path / "runs" / "own" / "networks.json").unlink()
    assert ablate("plan", path).code == 0
    assert json.loads((tmp_path / "runs" / "own" / "networks.json").read_text()) == json.loads(found)


def test_a_killed_server_takes_the_data_along_and_no_run(write, calls, tmp_path, monkeypatch):
    path = write(seeds=2, more=VARIANTS)
    servers, killed = [], []
    serve = local.LocalExecutor._serve
    monkeypatch.setattr(local.LocalExecutor, "_serve", lambda self: servers.append(serve(self)) or servers[-1])

    def listen(event):
        if isinstance(event, RunStarted) and not killed:
            killed.append(servers[0].pid)
            os.kill(servers[0].pid, signal.SIGKILL)

    store = Store(tmp_path / "runs")
    done = run_study(make_plan(Recipe.load(path), store), store, RunOptions(jobs=2), listen=listen)
    assert {run.record.status for run in done.runs} == {"finished"}
    assert len(servers) == 2
    assert calls() > 1, "jobs of the second server load for themselves"


def test_slow_loading_is_told_once(write, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "SLOW", 0.0)
    path, store, heard = write(data="load_when_told", seeds=2), Store(tmp_path / "runs"), []

    def listen(event):
        heard.append(event)
        (tmp_path / "told").touch()

    done = run_study(make_plan(Recipe.load(path), store), store, RunOptions(), listen=listen)
    assert {run.record.status for run in done.runs} == {"finished"}
    assert heard[0] == Loading(begun=True)
    assert len([event for event in heard if isinstance(event, Loading)]) == 1


def test_time_for_loading_is_no_time_of_the_checks(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(preparation.time, "monotonic", lambda: now[0])
    one = preparation.Patience(5.0, 100.0)
    assert one.until == float("inf"), "it has not begun"
    one.begin()
    now[0] = 2.0
    one.turn(loading=True)
    one.begin()
    assert one.until == 102.0, "what began was heard late"
    now[0] = 60.0
    one.turn(loading=False)
    assert one.until == 63.0


SPEC = Spec((3,), 2, "classification")


def own_parts(**more):
    x = torch.arange(60.0).view(20, 3)
    y = torch.arange(20) % 2
    return Parts(Part(x[:10], y[:10], rows=torch.arange(10)), Part(x[10:], y[10:], **more), SPEC, notes={"train": 10})


CHOICE = Choice("data", None, "theirs:load", {})


def shared_by_this_process(parts):
    """Whether data are shared, and what another process gets."""
    key = shared.key_of(CHOICE, None, double=False, form=None)
    shared.offer([key])
    said = shared.share(key, parts)
    return said, shared.taken(CHOICE, None, double=False, form=None)


def test_shared_tensors_keep_types_and_strides(nothing_shared):
    inputs = {
        "image": torch.rand(4, 3, 5, 5).to(memory_format=torch.channels_last),
        "wide": torch.rand(3, 4).t(),
        "one": torch.tensor([1.5], dtype=torch.float64).expand(4),
        "half": torch.arange(4, dtype=torch.bfloat16),
        "flags": (torch.tensor([True, False, True, True]), torch.empty(4, 0), None),
    }
    said, taken = shared_by_this_process(Parts(Part(inputs, torch.arange(4)), Part(inputs, torch.arange(4)), SPEC))
    assert said
    for name in ("image", "wide", "one", "half"):
        got = taken.train.inputs[name]
        assert torch.equal(got, inputs[name])
        assert (got.dtype, got.stride()) == (inputs[name].dtype, inputs[name].stride())
    assert torch.equal(taken.train.inputs["flags"][0], inputs["flags"][0])
    assert taken.train.inputs["flags"][1].shape == (4, 0)
    assert taken.valid.inputs["wide"].data_ptr() == taken.train.inputs["wide"].data_ptr(), "written once"


def test_who_writes_to_shared_data_changes_nothing_for_others(nothing_shared):
    said, taken = shared_by_this_process(own_parts())
    assert said
    assert taken.notes == {"train": 10}
    before = taken.train.inputs.clone()
    taken.train.inputs.zero_()
    again = shared.taken(CHOICE, None, double=False, form=None)
    assert torch.equal(again.train.inputs, before)
    assert torch.equal(again.train.rows, torch.arange(10))
    file = next(iter(shared._offered.values()))
    with pytest.raises(PermissionError):
        os.pwrite(file, b"x", 0)


def test_samples_of_an_own_class_are_shared(nothing_shared, module, tmp_path):
    text = "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: object\nload = None\n"
    theirs = module(text)
    key = shared.key_of(CHOICE, tmp_path, double=False, form=None)
    shared.offer([key])
    assert shared.share(key, Parts(Part(theirs.Pair(torch.ones(4, 2)), torch.ones(4, 1)), own_parts().valid, SPEC))
    del sys.modules["theirs"]
    sys.path.remove(str(tmp_path))  # where a job finds it only once it has looked for the function
    taken = load_parts(CHOICE, tmp_path)
    assert type(taken.train.inputs) is sys.modules["theirs"].Pair
    assert torch.equal(taken.train.inputs.a, torch.ones(4, 2))


@pytest.mark.parametrize(
    "parts",
    [
        own_parts(dataset=[1, 2]),
        own_parts(groups=torch.rand(10).requires_grad_()),
        own_parts(groups=torch.eye(10).to_sparse()),
        own_parts(groups=torch.empty(10, device="meta")),
        own_parts(groups=torch.nn.Parameter(torch.rand(10), requires_grad=False)),
        own_parts(groups=lambda: None),
    ],
    ids=["streamed", "gradient", "sparse", "device", "subclass", "no pickle"],
)
def test_what_is_not_only_tensors_in_memory_is_not_shared(parts, nothing_shared):
    assert shared_by_this_process(parts) == (False, None)


def test_large_data_are_not_shared(nothing_shared, monkeypatch):
    shared.offer(["another"])
    assert shared.share("another", own_parts())
    size = os.fstat(shared._offered["another"]).st_size
    monkeypatch.setattr(shared, "most_to_share", lambda: 3 * size // 2)
    assert shared_by_this_process(own_parts()) == (False, None), "both together are more"
    assert os.fstat(shared._offered[shared.key_of(CHOICE, None, double=False, form=None)]).st_size == 0


def test_a_system_without_files_in_memory_shares_nothing(nothing_shared, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert shared_by_this_process(own_parts()) == (False, None)


def test_a_file_that_was_not_completed_is_not_used(nothing_shared):
    key = shared.key_of(CHOICE, None, double=False, form=None)
    shared.offer([key])
    os.pwrite(shared._offered[key], b"begun", 0)
    assert shared.taken(CHOICE, None, double=False, form=None) is None


def test_folds_of_shared_data_are_those_of_data_that_are_loaded(nothing_shared, module, tmp_path):
    module("import torch\ndef load():\n    x = torch.rand(30, 2)\n    return (x[:20], x[:20]), (x[20:], x[20:])\n")
    alone = load_parts(CHOICE, tmp_path, Folds(3), 1)
    whole, clean = load_whole(CHOICE, tmp_path, Folds(3), double=False, form=None)
    key = shared.key_of(CHOICE, tmp_path, double=False, form=None)
    shared.offer([key])
    assert clean
    assert shared.share(key, whole)
    state = torch.get_rng_state()
    fold = load_parts(CHOICE, tmp_path, Folds(3), 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(fold.valid.inputs, alone.valid.inputs)
    assert torch.equal(fold.valid.rows, alone.valid.rows)
    assert fold.notes == alone.notes


def test_a_function_that_knows_folds_is_not_called_for_all_of_them(module, tmp_path):
    module("def load(fold, folds):\n    raise AssertionError('called')\n")
    assert load_whole(CHOICE, tmp_path, Folds(3), double=False, form=None) == (None, False)


STATE = """
import os
import numpy as np
import torch
from collections import defaultdict

WORDS, COUNT, TABLE, MEAN = [], None, {"size": 3}, np.zeros(3)
CENTRE = torch.zeros(2)

class Scaler:
    mean = None
    def __init__(self):
        self.kept = {"by": 1}

SCALER = Scaler()
NESTED = {"deep": [Scaler()]}

def cached():
    pass
"""

CHANGES = [
    "theirs.COUNT = 7",
    "theirs.NEW = 1",
    "theirs.WORDS.append('a')",
    "theirs.TABLE['size'] = 4",
    "theirs.TABLE['more'] = 4",
    "theirs.MEAN[0] = 1.0",
    "theirs.CENTRE.add_(1)",
    "theirs.Scaler.mean = 3.0",
    "theirs.SCALER.mean = 3.0",
    "theirs.SCALER.kept['by'] = 2",
    "theirs.NESTED['deep'][0].mean = 1.0",
    "theirs.cached.kept = 1",
    "theirs.os.environ['ABLATE_TEST_WORD'] = 'a'",
    "theirs.torch.set_default_dtype(torch.float64)",
    "module('X = 1', 'another')",
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_other_code_could_read_is_noticed(change, module, monkeypatch):
    theirs = module(STATE)
    monkeypatch.setenv("ABLATE_TEST_WORD", "none")
    before = Surroundings()
    assert before.are_as_now()
    try:
        exec(change, {"theirs": theirs, "torch": torch, "module": module})
        assert not before.are_as_now()
    finally:
        torch.set_default_dtype(torch.float32)


def test_reading_and_logging_change_nothing(module):
    theirs = module(STATE + "import logging, warnings\nLOG = logging.getLogger('theirs')\n")
    before = Surroundings()
    theirs.LOG.debug("a line")
    with pytest.warns(UserWarning, match="mind"):
        theirs.warnings.warn("mind", stacklevel=1)
    assert [len(theirs.WORDS), theirs.SCALER.kept["by"], theirs.MEAN.sum()] == [0, 1, 0.0]
    assert before.are_as_now()
