"""MLflow on PostgreSQL: through its server over HTTP, and directly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ablate.tracking.publish import Artifacts, publish
from ablate.tracking.ui import page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def over_postgres(postgres: str) -> Iterator[str]:
    """The address of an MLflow server on PostgreSQL."""
    with page(postgres, 0, None) as shown:
        yield shown.url.partition("/#")[0]


def test_study_is_run_and_published_through_a_server_on_postgres(desk, over_postgres, postgres, is_whole):
    done = desk.give("run", "recipe.yaml", MLFLOW_TRACKING_URI=over_postgres)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr
    is_whole(over_postgres)
    is_whole(postgres)
    done = desk.give("sync", "recipe.yaml", MLFLOW_TRACKING_URI=over_postgres)
    assert done.stderr == f"tiny is uploaded to {over_postgres}\n"
    is_whole(over_postgres)


def test_publishing_into_postgres_itself_sends_increments_once(study_of_two, over_postgres, postgres, monkeypatch):
    lab = study_of_two
    monkeypatch.chdir(lab.root)  # without a server, MLflow puts artifacts into the working folder
    artifacts = Artifacts("study: faces\n", {}, "| a |", {}, {"net1": {"valid_loss": 0.5, "p": float("nan")}})
    assert publish(lab.study, lab.store, tracking_uri=postgres, artifacts=artifacts).ok
    lab.write_lines("b1", [{"epoch": n, "time": 1_700_000_000 + 10.5 * n, "train_loss": 1 / n} for n in range(1, 1202)])
    again = publish(lab.study, lab.store, tracking_uri=postgres, artifacts=artifacts)
    assert (again.ok, again.runs, again.points) == (True, 0, 1199)
    from mlflow import MlflowClient

    seed = lab.found("seed", postgres)["net2 · seed 1"]
    history = MlflowClient(postgres).get_metric_history(seed.info.run_id, "train_loss")
    assert [point.step for point in history] == list(range(1, 1202))
    assert "unused" not in (lab.store.study_folder("faces") / "published.json").read_text()
