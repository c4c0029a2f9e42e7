"""Studies made by hand in a store, and a SQLite file that MLflow has prepared once for all tests."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ablate.recipe.recipe import Change, Compare, Recipe, Variant
from ablate.recipe.settings import Choice, Settings
from ablate.study.records import RunRecord, StudyRecord, VariantRecord
from ablate.study.store import Store
from ablate.tracker.publish import Artifacts, Published, publish

BEGAN = 1_700_000_000.0  # seconds since 1970


def settings(**fields: Any) -> Settings:
    choices = {kind: Choice(kind, None, f"mine:{kind}", {"width": 3}) for kind in Settings.CHOICES}
    return Settings(**{**choices, "epochs": 4, **fields})


def line(epoch: int, **metrics: Any) -> dict[str, Any]:
    values = {"train_loss": 1 / epoch, "valid_loss": 2 / epoch}
    return {"epoch": epoch, "time": BEGAN + 10.5 * epoch, "seconds": 10.5, **values, **metrics}


@dataclass
class Lab:
    """A study in a store: rows are added by name, runs by status and number of epochs."""

    root: Path
    name: str = "faces"
    rows: dict[str, VariantRecord] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return Store(self.root / "runs")

    @property
    def database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def study(self) -> StudyRecord:
        rows = tuple(self.rows.values())
        variants = tuple(row.variant for row in rows)
        recipe = Recipe(self.name, "Points on a face.", variants, (0, 1), Compare(), None, self.root, "study: faces\n")
        return StudyRecord(recipe, rows)

    def row(self, name: str, *runs: RunRecord, parent: str | None = None, **fields: Any) -> None:
        changes = (Change(name, "add", "flip"),) if parent else ()
        variant = Variant(name, parent, f"what {name} is", changes, settings(**fields), {"valid_loss": 0.25})
        self.rows[name] = VariantRecord(variant, runs)

    def run(self, fingerprint: str, seed: int = 0, status: Any = "finished", epochs: int = 4, **more: Any) -> RunRecord:
        """Write the files of a run and return what is known of it."""
        self.write_lines(fingerprint, [line(epoch + 1) for epoch in range(epochs)])
        provenance = {"git_commit": "abc123", "versions": {"torch": "2.13"}, "device": "cpu"}
        self.store.write_json(self.store.run_folder(fingerprint) / "provenance.json", provenance)
        finished = None if status in ("queued", "running") else BEGAN + 100
        known = RunRecord(fingerprint, seed, None, status, epoch=epochs, epochs=4, started=BEGAN, finished=finished)
        if status == "finished":
            known = replace(known, selected_epoch=4, results={"selected": {"valid_loss": 0.5}}, seconds=42.0)
        return replace(known, **more)

    def write_lines(self, fingerprint: str, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(each) + "\n" for each in lines)
        self.store.write_text(self.store.run_folder(fingerprint) / "metrics.jsonl", text)

    def publish(self, artifacts: Artifacts | None = None, **options: Any) -> Published:
        return publish(self.study, self.store, tracking_uri=self.uri, artifacts=artifacts, **options)

    def sent(self, artifacts: Artifacts | None = None, **options: Any) -> Published:
        """Publish, which must succeed."""
        published = self.publish(artifacts, **options)
        assert published.ok, published.reason
        return published

    @property
    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.uri)

    def found(self, kind: str, uri: str | None = None) -> dict[str, Any]:
        """The study's MLflow runs of a kind, by name."""
        from mlflow import MlflowClient

        client = MlflowClient(uri or self.uri)
        experiment = client.get_experiment_by_name(self.name)
        runs = client.search_runs([experiment.experiment_id], f"tags.`ablate.kind` = '{kind}'")
        names = [run.info.run_name for run in runs]
        assert len(names) == len(set(names)), f"twice in MLflow: {names}"
        return {run.info.run_name: run for run in runs}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with MLflow's tables: seconds of migrations, hence once."""
    lab = Lab(tmp_path_factory.mktemp("prepared"))
    lab.row("net1", lab.run("f1"))
    lab.sent()
    from mlflow import MlflowClient

    client = MlflowClient(lab.uri)
    experiment = client.get_experiment_by_name(lab.name)
    client.rename_experiment(experiment.experiment_id, "somebody else's")
    return lab.database


@pytest.fixture
def lab(tmp_path: Path, prepared: Path) -> Lab:
    """An empty study beside a prepared database."""
    shutil.copy(prepared, tmp_path / "mlflow.db")
    return Lab(tmp_path)


@pytest.fixture
def study_of_two(lab: Lab) -> Lab:
    """net1 with two finished seeds, net2 with one finished and one running."""
    lab.row("net1", lab.run("a0"), lab.run("a1", seed=1))
    lab.row("net2", lab.run("b0"), lab.run("b1", seed=1, status="running", epochs=2), parent="net1", batch_size=32)
    return lab
