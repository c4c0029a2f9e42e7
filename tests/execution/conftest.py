"""A recipe folder of the user's own, faces of noise, and studies whose jobs run in this process with a stub engine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ablate.data.examples import Examples
from ablate.data.faces import FRAME, POINTS
from ablate.engine.contract import Facts, Outcome
from ablate.execution.events import Event, ProcessExited, decode, encode
from ablate.execution.jobs import make_jobs
from ablate.execution.scheduler import Scheduler
from ablate.execution.worker import run_job
from ablate.notes.note import Note
from ablate.planning.plan import Plan, make_plan
from ablate.planning.study_file import write_study
from ablate.recipe import Recipe
from ablate.store.disk import Disk
from ablate.store.provenance import Provenance
from ablate.store.store import Store

ALWAYS = ("left_eye_center", "right_eye_center", "nose_tip", "mouth_center_bottom_lip")

MODEL = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, outputs, width=8):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, x):
        return self.layers(x)

class Broken(Net):
    def forward(self, x):
        raise RuntimeError("the second law")
"""

DATA = """
import torch
from torch.utils.data import TensorDataset

def load(n=48):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(n, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) > 0.5).long()
    return TensorDataset(x, y), TensorDataset(x[:16], y[:16])
"""

RECIPE = """
study: own
data: {target: data:load}
seeds: 2
baseline:
  name: plain
  model: {target: model:Net}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  batch_size: 16
  epochs: 3
variants:
  - {name: wide, set: {model.width: 16}}
"""


@pytest.fixture(scope="session")
def write_own() -> Callable[[Path], Path]:
    """Write a recipe with a network and data from files beside it into a folder; its path."""

    def write(folder: Path) -> Path:
        (folder / "model.py").write_text(MODEL)
        (folder / "data.py").write_text(DATA)
        (folder / "recipe.yaml").write_text(RECIPE)
        return folder / "recipe.yaml"

    return write


@pytest.fixture
def own(tmp_path: Path, write_own: Callable[[Path], Path]) -> Path:
    """A recipe with a network and data from files beside it; its path."""
    folder = tmp_path / "own"
    folder.mkdir()
    return write_own(folder)


@pytest.fixture(scope="session")
def write_faces() -> Callable[..., NDArray[np.uint8]]:
    """Write ``faces.npz`` into a folder: pictures of noise, four of each person, with fifteen points; ``lacking``:
    every second one has only the four points that nearly all of the competition's have. Returns the pictures (n, 96,
    96).
    """

    def write(folder: Path, count: int, *, lacking: bool = False) -> NDArray[np.uint8]:
        rng = np.random.default_rng(0)
        keypoints = rng.uniform(20, 76, (count, len(POINTS), 2)).astype(np.float32)
        if lacking:
            keypoints[1::2, [i for i, name in enumerate(POINTS) if name not in ALWAYS]] = np.nan
        images = rng.integers(0, 256, (count, FRAME, FRAME), np.uint8)
        np.savez(folder / "faces.npz", images=images, keypoints=keypoints, person=np.arange(count) // 4)
        return images

    return write


STUB = """
study: stub
data: digits
seeds: 3
baseline:
  name: one
  model: {name: mlp, hidden: [4]}
  loss: cross_entropy
  optimizer: {name: sgd, lr: 0.1}
  epochs: 3
  checkpoint: {every: 1 epoch}
"""


class Pulled(BaseException):
    """The plug was pulled: nothing happens any more."""


class Lost(Pulled):
    """What ran the job is gone, and the job with it."""


class FaultyDisk(Disk):
    """A disk that counts its points and can fail from one of them on. It does not wait for the real disk, which only
    costs time here.
    """

    def __init__(
        self, at: int | None = None, fault: Callable[[str], BaseException | None] = lambda _: Pulled()
    ) -> None:
        super().__init__()
        self.at, self.fault = at, fault
        self.count = 0
        self.operations: list[tuple[str, Path]] = []
        self.files: list[Any] = []

    def point(self, operation: str, path: Path) -> None:
        self.count += 1
        self.operations.append((operation, path))
        if self.at is not None and self.count >= self.at and (fault := self.fault(operation)) is not None:
            raise fault

    def append(self, path: Path) -> Any:
        file = super().append(path)
        self.files.append(file)
        return file

    def create(self, path: Path) -> Any:
        file = super().create(path)
        self.files.append(file)
        return file

    def die(self) -> None:
        """What the system does for a process that has ended."""
        for file in filter(None, self.files):
            file.close()

    def _flush(self, descriptor: int) -> None:
        pass


def samples(seed: int) -> Examples:
    """Values of single samples, which differ between seeds."""
    return Examples(np.arange(3), {"valid_loss": np.float32([seed, 1, 2])})


class Stub:
    """A trainer that is instant and deterministic: a seed's numbers depend on nothing but the seed and the epoch. Says
    every kind of thing to its report.

    ``before_epoch`` is called with (seeds, epoch) and may raise.
    """

    def __init__(self, before_epoch: Callable[[tuple[int, ...], int], None] = lambda seeds, epoch: None) -> None:
        self.before_epoch = before_epoch
        self.trained: list[tuple[str, ...]] = []
        self.began_after: list[int] = []

    def __call__(self, job: Any, report: Any, state: Any) -> None:
        seeds, settings = job.assignment.seeds, job.assignment.settings
        self.trained.append(job.fingerprints)
        values = torch.tensor(seeds, dtype=torch.float64) + 1 if state is None else state["values"]
        first = 0 if state is None else state["epoch"]
        self.began_after.append(first)
        report.started(Facts(parameters=7, notes=[Note("text", values={"text": "a stub"})]))
        for epoch in range(first + 1, settings.epochs + 1):
            self.before_epoch(seeds, epoch)
            values = values * 0.9 + 0.01 * epoch
            for replica, value in enumerate(values.tolist()):
                line = {
                    "epoch": epoch,
                    "time": time.time(),
                    "seconds": 0.1,
                    "train_loss": value,
                    "valid_loss": value / 3,
                }
                report.epoch(replica, line)
            if epoch < settings.epochs and report.due(epoch):
                report.checkpoint({"epoch": epoch, "values": values})
        for replica, value in enumerate(values.tolist()):
            report.weights(replica, "last", {"weight": values[replica]})
            report.weights(replica, "best", {"weight": values[replica] / 2})
            numbers = {"train_loss": value, "valid_loss": value / 3}
            results = {"selected": numbers, "last": numbers, "best": numbers}
            outcome = Outcome(seeds[replica], "finished", settings.epochs, "", 1, settings.epochs, results)
            report.ended(replica, replace(outcome, examples=samples(seeds[replica])))


class InProcess:
    """Jobs run here, one after another, when they are started. ``whole``: a pulled plug takes the command along, not
    only the job.
    """

    losses, title = 3, ""

    def __init__(self, training: Any, disk: Callable[[], FaultyDisk], whole: bool) -> None:
        self.training, self.disk, self.whole = training, disk, whole
        self.heard: list[Event] = []

    def submit(self, job: Any) -> None:
        disk = self.disk()

        def listen(event: Event) -> None:
            self.heard.append(decode(encode(event)))

        code, lost = 0, False
        try:
            run_job(job, Store(job.root, disk), listen, training=self.training)
        except Pulled as end:
            disk.die()
            if self.whole:
                raise
            code, lost = -9, isinstance(end, Lost)
        self.heard.append(ProcessExited(job=job.number, code=code, infrastructure=lost))

    def submit_all(self, jobs: Any) -> int:
        raise AssertionError("nothing runs here without a command")

    def waiting(self, names: Any) -> set[str]:
        return set(names)

    def cancel(self, number: int) -> None:
        raise AssertionError("nothing runs between two calls")

    def poll(self, wait: float | None) -> list[Event]:
        heard, self.heard = self.heard, []
        return heard

    def close(self) -> None:
        pass


class StubStudy:
    """A study of stub runs below a folder: seeds in stacks of two, jobs in this process."""

    def __init__(self, root: Path, recipe: Recipe) -> None:
        self.root, self.recipe = root, recipe

    def command(
        self,
        disk: FaultyDisk | None = None,
        job_disk: Callable[[], FaultyDisk] | None = None,
        *,
        training: Any = None,
        recipe: Recipe | None = None,
        stack: int = 2,
        fresh: bool = False,
        retry_failed: bool = False,
        timeout: float | None = None,
        **options: Any,
    ) -> list[Event]:
        """What `ablate run` does, up to the table; the events of its jobs."""
        whole = job_disk is None
        disk = disk or FaultyDisk()
        store = Store(self.root, disk)
        try:
            plan = make_plan(recipe or self.recipe, store)
            write_study(plan, store)
            missing = plan.to_do(fresh=fresh, retry_failed=retry_failed)
            jobs = make_jobs(
                missing, plan, store, Provenance(), stack=lambda run, count: stack, fresh=fresh, timeout=timeout
            )
            executor = InProcess(training or Stub(), job_disk or (lambda: disk), whole)
            return list(Scheduler(["cpu"], store, executor=executor, **options).run(jobs))
        finally:
            disk.die()

    def plan(self, recipe: Recipe | None = None) -> Plan:
        return make_plan(recipe or self.recipe, Store(self.root))

    def finished(self) -> set[str]:
        return {run.fingerprint for run in self.plan().runs if run.record.status == "finished"}

    def results(self) -> dict[str, Any]:
        """All that training has left behind, but for times and hosts."""
        store, found = Store(self.root), {}
        for folder in sorted((self.root / "store").iterdir()):
            status = json.loads((folder / "status.json").read_text())
            lines = [{k: v for k, v in line.items() if k != "time"} for line in store.metrics(folder.name)]
            weights = [
                torch.load(folder / f"{name}.pt", weights_only=True)["weight"].item() for name in ("best", "last")
            ]
            constant = ("status", "reason", "seed", "epoch", "epochs", "results", "best_epoch", "parameters", "stack")
            names = {path.name for path in folder.iterdir() if not path.name.startswith("checkpoint")}
            files = {re.sub(r"^lock\.\d+$", "lock", name) for name in names}
            found[folder.name] = ({key: status.get(key) for key in constant}, lines, weights, files)
        return found


@pytest.fixture
def stub_study(tmp_path: Path) -> Callable[..., StubStudy]:
    """Studies of one row and three seeds, with ``more`` text after the recipe, in folders of their own."""

    def make(name: str = "runs", more: str = "", **flags: Any) -> StubStudy:
        path = tmp_path / f"{name}.yaml"
        path.write_text(STUB + more)
        return StubStudy(tmp_path / name, Recipe.load(path, **flags))

    return make


@pytest.fixture(scope="session")
def study_in() -> type[StubStudy]:
    """Makes a study of a recipe in a folder of runs."""
    return StubStudy


@pytest.fixture
def faulty_disk() -> type[FaultyDisk]:
    return FaultyDisk


@pytest.fixture(scope="session")
def stub() -> type[Stub]:
    return Stub


@pytest.fixture
def pulled() -> type[Pulled]:
    return Pulled


@pytest.fixture
def lost() -> type[Lost]:
    return Lost
