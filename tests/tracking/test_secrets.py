"""Credentials of a tracking URI are in no file, no record of MLflow and no message, whatever command they are given to."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ablate.cli.app import run_command
from ablate.store.provenance import Provenance
from ablate.tracking.ledger import Ledger, Sent, SentStudy

NOBODY = "127.0.0.1:9"
URIS = [
    f"http://user:hunter2@{NOBODY}",
    f"http://user:p@hunter2@{NOBODY}",
    f"http://user:p/hunter2@{NOBODY}",
    f"http://user:p:hunter2@{NOBODY}/x",
    f"http://user:p%40%68unter2@{NOBODY}",
    f"http://user:p%hunter2@{NOBODY}",
    f"http://user:p?hunter2@{NOBODY}",
    f"http://hunter2@{NOBODY}",
    f"http://{NOBODY}?token=hunter2",
    f"http://{NOBODY}/?password=p@hunter2",
    f"user:hunter2@{NOBODY}",
    f"http://user: hunter2@{NOBODY}",
    f"htp://user:hunter2@{NOBODY}",
    f"postgresql+psycopg2://user:p@hunter2@{NOBODY}/db",
    f"postgresql+psycopg2://user:p/hunter2@{NOBODY}/db",
    f"postgresql+psycopg2://{NOBODY}/db?sslpassword=hunter2",
    f"mysql+nothing://user:hunter2@{NOBODY}/db",
]
IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
FLAG = [
    ["sync", "recipe.yaml"],
    ["ui", "recipe.yaml"],
    ["table", "--from-mlflow", "x", "--by", "params.v", "--debug"],
    ["sync", "recipe.yaml", "--oops"],
    ["sync", "recipe.yaml", "too much"],
    ["run", "recipe.yaml", "--no-mlflow"],
]
BY_ENVIRONMENT = [["sync", "recipe.yaml"], ["ui"], ["plan", "recipe.yaml", "--quick"]]


def written(folder: Path) -> bytes:
    """Every file in a folder, and what its MLflow database holds."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("uri", [*URIS[:3], *(pytest.param(uri, marks=pytest.mark.slow) for uri in URIS[3:])])
def test_no_command_shows_credentials(desk, uri, monkeypatch, capfd):
    monkeypatch.chdir(desk.folder)
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ablate.report.pictures.pictures", lambda *_: {})
    orders = [[*words, "--tracking-uri", uri] for words in FLAG] + [["sync", "recipe.yaml", uri]]
    for words in [*orders, *BY_ENVIRONMENT]:
        with monkeypatch.context() as patched:
            if words in BY_ENVIRONMENT:
                patched.setenv("MLFLOW_TRACKING_URI", uri)
            patched.setattr("sys.argv", ["ablate", *words])
            try:
                run_command(words)
            except Exception:  # with --debug
                import traceback

                traceback.print_exc()
    said = capfd.readouterr()
    assert NOBODY in said.err or "***" in said.err
    assert "unter2" not in said.out + said.err
    assert b"unter2" not in written(desk.folder)


def test_training_stores_no_credentials_and_mlflow_gets_none(fresh_desk):
    uri = URIS[1]
    done = fresh_desk.give("run", "recipe.yaml", "--seeds", "1", "--tracking-uri", uri, **IMPATIENT)
    assert done.returncode == 0
    assert (
        done.stderr.splitlines()[-1]
        .partition(": ablate sync ")[2]
        .startswith("recipe.yaml --seeds 1 (set MLFLOW_TRACKING_URI ")
    )
    assert fresh_desk.give("sync", "recipe.yaml", "--seeds", "1").returncode == 0
    with sqlite3.connect(fresh_desk.folder / "mlflow.db") as database:
        tags = dict(database.execute("SELECT key, value FROM tags WHERE key LIKE 'ablate.provenance.command'"))
    assert json.loads(tags["ablate.provenance.command"])[-2:] == ["--tracking-uri", f"http://{NOBODY}"]
    assert "hunter2" not in done.stdout + done.stderr
    assert b"hunter2" not in written(fresh_desk.folder)


def test_training_stores_nothing_of_a_webhook_and_mlflow_gets_nothing(fresh_desk, inbox):
    url = f"http://user:hunter2@{inbox.host}/hunter2?hunter2"
    done = fresh_desk.give("run", "recipe.yaml", "--seeds", "1", "--notify", url)
    assert done.returncode == 0
    [message] = inbox.messages
    assert (message["status"], message["runs"]) == ("finished", {"finished": 2})
    with sqlite3.connect(fresh_desk.folder / "mlflow.db") as database:
        tags = dict(database.execute("SELECT key, value FROM tags WHERE key LIKE 'ablate.provenance.command'"))
    assert json.loads(tags["ablate.provenance.command"])[-2:] == ["--notify", "***"]
    assert "hunter2" not in done.stdout + done.stderr
    assert b"hunter2" not in written(fresh_desk.folder)
    assert inbox.host.encode() not in written(fresh_desk.folder)


@pytest.mark.parametrize(
    ("uri", "old"),
    [
        (URIS[1], f"http://hunter2@{NOBODY}"),  # what versions before 0.2.0 wrote
        (URIS[8], URIS[8]),
        (f"postgresql://u:p/hunter2@{NOBODY}/db", f"postgresql://u:p/hunter2@{NOBODY}/db"),
    ],
)
def test_a_ledger_that_has_credentials_is_found_and_loses_them(lab, uri, old):
    from ablate.tracking.address import resolve

    lab.row("net1", lab.run("a0"))
    ledger, key = Ledger(lab.store, "faces"), resolve(uri).key(lab.store.root)
    ledger.write(old, SentStudy(Sent("run1", "faces")))
    found = ledger.read(key)
    assert found.study == Sent("run1", "faces")
    ledger.write(key, found)
    assert "hunter2" not in ledger.path.read_text()


def test_a_run_that_was_stored_with_credentials_is_sent_without_them(lab):
    lab.row("net1", lab.run("a0"))
    command: Any = ["ablate", "run", "r.yaml", "--tracking-uri", URIS[0]]
    lab.store.write_provenance("a0", Provenance(command=command))
    lab.sent()
    (seed,) = lab.found("seed").values()
    assert json.loads(seed.data.tags["ablate.provenance.command"])[-1] == f"http://{NOBODY}"
    assert b"hunter2" not in lab.database.read_bytes()
